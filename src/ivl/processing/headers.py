"""What the bytes of a picture claim, read before any decoder sees them.

In: the bytes of a file. Out: its kind, the orientation in its EXIF data, a GIF without what is not needed,
and a sentence about what would make a decoder grow out of bounds. Knows no PIL, no limits set by a person, no
files.

Pillow's own check of the size comes after a file is opened. These faults strike while it is opened: a WebP
canvas is allocated; each entry of an EXIF or TIFF directory is copied, though thousands may name the same
bytes (2 MB of JPEG fill 4 GB); comments of a GIF are joined in quadratic time (15 MB take minutes).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

Kind = Literal["JPEG", "PNG", "WebP", "GIF", "BMP", "TIFF"]

_SIGNATURES: tuple[tuple[bytes, Kind], ...] = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
)
# What people hand over instead of a picture, to say so. (offset, bytes, what it is)
_LOOKS_LIKE = (
    (4, b"ftypheic", "a HEIC photograph: save it as JPEG"),
    (4, b"ftypheix", "a HEIC photograph: save it as JPEG"),
    (4, b"ftypmif1", "a HEIC photograph: save it as JPEG"),
    (4, b"ftypavif", "an AVIF picture: save it as PNG"),
    (4, b"ftyp", "a video"),
    (0, b"%PDF", "a PDF document"),
    (0, b"%!PS", "a PostScript document"),
    (0, b"8BPS", "a Photoshop document: save it as PNG"),
    (0, b"SIMPLE  =", "a FITS file"),
    (0, b"<svg", "an SVG drawing: save it as PNG"),
    (0, b"<!DOC", "a web page"),
    (0, b"<html", "a web page"),
    (0, b"PK\x03\x04", "a zip archive"),
)

_MOST_SCANS = 200
"""Scans of a progressive JPEG: writers make about ten; each costs a pass over all pixels."""
_MOST_EXIF_SEGMENTS = 100
"""Pieces of EXIF data in a JPEG: one is usual. Pillow joins them in quadratic time."""
_MOST_GIF_BLOCKS = 2**20
"""Data blocks of at most 255 bytes that are walked in a GIF."""
_ORIENTATION = 0x0112
_LATE_NOTES = (b"Raw profile type exif", b"XML:com.adobe.xmp")
"""How the texts of a PNG begin that hold EXIF or XMP data."""
_SUB_DIRECTORIES = {0x8769, 0x8825, 0xA005}  # Exif, GPS, interoperability
_MOST_DIRECTORIES = 8
# Bytes of one value by TIFF type, as Pillow reads them.
_TYPE_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}


def sniff(data: bytes) -> Kind | None:
    """The kind of picture by its first bytes, None for all that is not read. A name counts for nothing."""
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WebP"
    return next((kind for signature, kind in _SIGNATURES if data.startswith(signature)), None)


def looks_like(data: bytes) -> str:
    """In words, what bytes that are no picture seem to be."""
    if not data:
        return "it is empty"
    start = data[:512].lstrip()
    for offset, signature, words in _LOOKS_LIKE:
        if (start if offset == 0 else data)[offset : offset + len(signature)] == signature:
            return f"it looks like {words}"
    if all(byte >= 32 or byte in b"\t\n\r\f" for byte in start):
        return "it looks like text"
    return "its first bytes are those of no known picture"


def find_bomb(data: bytes, kind: Kind) -> str | None:
    """What would make the decoder of this kind grow out of bounds, in words; None if nothing was found."""
    if kind == "JPEG" and data.count(b"Exif\0\0") > _MOST_EXIF_SEGMENTS:
        return f"it has more than {_MOST_EXIF_SEGMENTS} pieces of EXIF data"
    if kind == "JPEG" and data.count(b"\xff\xda") > _MOST_SCANS:
        return f"it has more than {_MOST_SCANS} scans"
    if kind == "TIFF" and _is_greedy(data):
        return "its directory of tags claims many times the bytes of the file"
    return None


def webp_canvas(data: bytes) -> tuple[int, int] | None:
    """Width and height in pixels from the header of a WebP; None if it is damaged."""
    try:
        if data[12:16] == b"VP8X":
            return 1 + int.from_bytes(data[24:27], "little"), 1 + int.from_bytes(data[27:30], "little")
        if data[12:16] == b"VP8L":
            (bits,) = struct.unpack_from("<I", data, 21)
            return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
        if data[12:16] == b"VP8 ":
            width, height = struct.unpack_from("<HH", data, 26)
            return width & 0x3FFF, height & 0x3FFF
    except struct.error:
        pass
    return None


def has_late_orientation(png: bytes) -> bool:
    """Whether a PNG may say after its pixels how it was held, where opening it does not see that."""
    at, after_pixels = len(b"\x89PNG\r\n\x1a\n"), False
    while at + 8 <= len(png):
        kind = png[at + 4 : at + 8]
        if kind == b"IEND":
            return False
        after_pixels = after_pixels or kind == b"IDAT"
        if after_pixels and (kind == b"eXIf" or png.startswith(_LATE_NOTES, at + 8)):
            return True
        at += 12 + int.from_bytes(png[at : at + 4], "big")
    return False


def read_orientation(exif: bytes) -> int:
    """Orientation 1 to 8 from EXIF data (with or without its "Exif" mark); 1 if there is none."""
    blob = _without_mark(exif)
    for entry in _entries(blob, _first_directory(blob)):
        if entry.tag == _ORIENTATION and entry.type_id == 3 and 1 <= entry.short_value <= 8:
            return entry.short_value
    return 1


@dataclass(frozen=True, kw_only=True)
class TrimmedGif:
    """A GIF with nothing but its palettes, frames and their timing."""

    data: bytes
    num_frames: int
    """Frames kept."""
    has_more: bool
    """More frames follow in the file."""


def trim_gif(data: bytes, most_frames: int) -> TrimmedGif | None:
    """Drop comments and all frames after `most_frames`; None if it has too many blocks to be walked."""
    at = 13 + _palette_bytes(data[10]) if len(data) > 13 else len(data)
    kept = [data[:at]]
    num_frames = num_blocks = 0
    while at < len(data) and data[at] != 0x3B:
        start, is_frame = at, data[at] == 0x2C
        if is_frame and num_frames == most_frames:
            return TrimmedGif(data=b"".join(kept) + b";", num_frames=num_frames, has_more=True)
        num_blocks += 1
        if is_frame or data[at] == 0x21:
            at += 11 + _palette_bytes(data[at + 9] if at + 9 < len(data) else 0) if is_frame else 2
            while at < len(data) and data[at]:
                at += 1 + data[at]
                num_blocks += 1
                if num_blocks > _MOST_GIF_BLOCKS:
                    return None
        at += 1  # the empty block at the end, or a byte of no meaning between blocks
        num_frames += is_frame
        if is_frame or data[start : start + 2] == b"!\xf9":
            kept.append(data[start:at])
        if num_blocks > _MOST_GIF_BLOCKS:
            return None
    # Only a file that ends as it should gets the end mark: the decoder must notice one that is cut off.
    return TrimmedGif(data=b"".join(kept) + data[at : at + 1], num_frames=num_frames, has_more=False)


def _palette_bytes(flags: int) -> int:
    return 3 * (2 << (flags & 7)) if flags & 0x80 else 0


@dataclass(frozen=True)
class _Entry:
    """One line of a directory: `size` bytes of value, at `offset` if they are more than four."""

    tag: int
    type_id: int
    size: int
    offset: int
    short_value: int


def _entries(blob: bytes, at: int | None) -> Iterator[_Entry]:
    """The entries of the directory at an offset of EXIF or TIFF data, as far as they are whole."""
    order = "<" if blob[:2] == b"II" else ">"
    if at is None or at + 2 > len(blob):
        return
    (count,) = struct.unpack_from(order + "H", blob, at)
    for line in range(at + 2, min(at + 2 + 12 * count, len(blob) - 11), 12):
        tag, type_id, values, offset = struct.unpack_from(order + "HHLL", blob, line)
        (short,) = struct.unpack_from(order + "H", blob, line + 8)
        yield _Entry(tag, type_id, values * _TYPE_BYTES.get(type_id, 0), offset, short)


def _first_directory(blob: bytes) -> int | None:
    if len(blob) < 8 or blob[:4] not in (b"II*\0", b"MM\0*"):
        return None
    (offset,) = struct.unpack_from("<L" if blob[:2] == b"II" else ">L", blob, 4)
    return int(offset)


def _without_mark(exif: bytes) -> bytes:
    while exif.startswith(b"Exif\0\0"):
        exif = exif[6:]
    return exif


def _is_greedy(tiff: bytes) -> bool:
    """Whether the directories that Pillow reads claim far more bytes than there are."""
    claimed = 0
    directories = [_first_directory(tiff)]
    for at in directories:  # grows while it is walked
        for entry in _entries(tiff, at):
            claimed += entry.size if entry.offset + entry.size <= len(tiff) else 0
            if entry.tag in _SUB_DIRECTORIES:
                directories.append(entry.short_value if entry.type_id == 3 else entry.offset)
            if claimed > 4 * len(tiff) + 65536 or len(directories) > _MOST_DIRECTORIES:
                return True
    return False
