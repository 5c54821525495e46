"""The safetensors format: headers checked field by field, numbers moved in pieces.

In: open files, tensors. Out: a checked table of what a file holds; numbers read straight into the memory of a
tensor (converted by chunks where the type differs); files written from pieces of tensors. Knows no names and
no models.

A file is 8 bytes (little-endian length of the header), the header (JSON: name -> dtype, shape, data_offsets),
data. The header comes from a stranger, so nothing in it is believed:
https://github.com/huggingface/safetensors#format.

Why not the `safetensors` package: it maps files, and mapped pages count as used memory while a model loads;
it names no tensor when a header is wrong; it cannot read a row range of a tensor straight into another one,
on which the streamed splitting of fused weights rests; and it writes only whole tensors.
"""

import json
import math
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor

from ivl.errors import CheckpointError

assert sys.byteorder == "little", "safetensors data is little-endian, and so must this machine be"

MAX_HEADER_BYTES = 32 * 2**20
"""The header of a 76-billion-parameter model in one file takes about 150 kB."""
CHUNK_BYTES = 4 * 2**20
"""Scratch memory while numbers are converted or come from another device."""

FLOATS = {"F64": torch.float64, "F32": torch.float32, "F16": torch.float16, "BF16": torch.bfloat16}
"""What a model's weights may be stored as."""
TYPES = FLOATS | {
    "BOOL": torch.bool, "U8": torch.uint8, "I8": torch.int8, "U16": torch.uint16, "I16": torch.int16,
    "U32": torch.uint32, "I32": torch.int32, "U64": torch.uint64, "I64": torch.int64, "C64": torch.complex64,
    "F8_E4M3": torch.float8_e4m3fn, "F8_E5M2": torch.float8_e5m2,
}  # fmt: skip
"""What is read and written at all: an optimizer keeps bytes and counts as well."""
_ITEM_BYTES = {
    "BOOL": 1, "U8": 1, "I8": 1, "F8_E4M3": 1, "F8_E5M2": 1, "F8_E8M0": 1,
    "U16": 2, "I16": 2, "F16": 2, "BF16": 2,
    "U32": 4, "I32": 4, "F32": 4, "U64": 8, "I64": 8, "F64": 8, "C64": 8,
}  # fmt: skip
_STORED = {dtype: name for name, dtype in TYPES.items()}


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One tensor in a file."""

    dtype: str
    """As the format spells it: "F32", "BF16", ..."""
    shape: tuple[int, ...]
    offset: int
    """Where its data begins, in bytes from the beginning of the file."""
    num_bytes: int


def read_header(file: BinaryIO, where: str) -> dict[str, Entry]:
    """The tensors of a safetensors file by name, in the order of their data.

    Checks that the data of all tensors together fill the file without gap or overlap, and every size.
    `where` names the file in messages. Raises CheckpointError.
    """
    size = os.fstat(file.fileno()).st_size
    file.seek(0)
    head = _read(file, min(size, 8), where)
    if head == b"version ":
        raise CheckpointError(f"{where} is a Git LFS pointer, not the weights: run `git lfs pull`")
    if len(head) < 8:
        raise CheckpointError(f"{where} has {size} bytes, too few for a safetensors file: download it again")
    length = int.from_bytes(head, "little")
    if length > size - 8:
        raise CheckpointError(
            f"{where} is cut short or no safetensors file: its header claims {length} bytes, it has {size}"
        )
    if length > MAX_HEADER_BYTES:
        raise CheckpointError(f"{where}: a header of {length} bytes is refused, at most {MAX_HEADER_BYTES} are read")
    table = _parse(_read(file, length, where), where)
    entries = {name: _entry(name, value, 8 + length, where) for name, value in table.items()}
    return _check_cover(entries, 8 + length, size, where)


def read_into(file: BinaryIO, offset: int, dtype: str, target: Tensor, where: str) -> None:
    """Fill `target`, contiguous and on any device, with its number of values stored as `dtype` from `offset`
    on."""
    assert target.is_contiguous(), "values are read into contiguous memory"
    flat = target.view(-1)
    source = TYPES[dtype]
    file.seek(offset)
    if flat.dtype == source and flat.device.type == "cpu":
        _fill(file, flat.view(torch.uint8).numpy().data, where)
        return
    scratch = bytearray(min(CHUNK_BYTES, flat.numel() * source.itemsize))
    step = max(1, len(scratch) // source.itemsize)
    for start in range(0, flat.numel(), step):
        part = flat[start : start + step]
        view = memoryview(scratch)[: part.numel() * source.itemsize]
        _fill(file, view, where)
        part.copy_(torch.frombuffer(view, dtype=source))


@dataclass(frozen=True, kw_only=True, eq=False)
class Source:
    """A tensor to be written: its values are those of `pieces`, one after another."""

    name: str
    shape: tuple[int, ...]
    pieces: tuple[Tensor, ...]

    @property
    def dtype(self) -> torch.dtype:
        return self.pieces[0].dtype

    @property
    def num_bytes(self) -> int:
        return math.prod(self.shape) * self.dtype.itemsize


def write_file(path: Path, tensors: Sequence[Source]) -> None:
    """Write a safetensors file; the values pass through at most one chunk of scratch memory."""
    # Wide types first keeps every tensor's data aligned to its type.
    ordered = sorted(tensors, key=lambda tensor: -tensor.dtype.itemsize)
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    end = 0
    for tensor in ordered:
        begin, end = end, end + tensor.num_bytes
        stored = _STORED[tensor.dtype]
        header[tensor.name] = {"dtype": stored, "shape": list(tensor.shape), "data_offsets": [begin, end]}
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    with path.open("xb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        for tensor in ordered:
            _write_pieces(file, tensor)
        assert file.tell() == 8 + len(text) + end, f"{path} is not as long as its header says"


def can_store(dtype: torch.dtype) -> bool:
    """Whether weights of this type can be written and read again."""
    return dtype in FLOATS.values()


def read_all(file: BinaryIO, where: str) -> dict[str, Tensor]:
    """Every tensor of a file, as stored, on the CPU. Raises CheckpointError."""
    tensors: dict[str, Tensor] = {}
    for name, entry in read_header(file, where).items():
        if entry.dtype not in TYPES:
            raise CheckpointError(f"{where}: tensor {name!r:.160} is stored as {entry.dtype}, which is not read")
        tensors[name] = torch.empty(entry.shape, dtype=TYPES[entry.dtype])
        read_into(file, entry.offset, entry.dtype, tensors[name], where)
    return tensors


def write_all(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Write whole tensors, on any device, as a new safetensors file."""
    write_file(path, [Source(name=name, shape=tuple(t.shape), pieces=(t.detach(),)) for name, t in tensors.items()])


def _write_pieces(file: BinaryIO, tensor: Source) -> None:
    num_values = 0
    for piece in tensor.pieces:
        assert piece.dtype == tensor.dtype, f"the pieces of {tensor.name} differ in type"
        num_values += piece.numel()
        flat, step = piece.contiguous().view(-1), CHUNK_BYTES // tensor.dtype.itemsize
        for start in range(0, flat.numel(), step):
            file.write(flat[start : start + step].cpu().view(torch.uint8).numpy().data)
    assert num_values == math.prod(tensor.shape), f"the pieces of {tensor.name} make {num_values} values"


def _read(file: BinaryIO, size: int, where: str) -> bytes:
    data = bytearray(size)
    _fill(file, memoryview(data), where)
    return bytes(data)


def _fill(file: BinaryIO, view: memoryview, where: str) -> None:
    """Read until `view` is full."""
    done = 0
    while done < len(view):
        count = file.readinto(view[done:])  # type: ignore[attr-defined]
        if not count:
            raise CheckpointError(f"{where} ends early: it was cut short or changed while it was read")
        done += count


def _parse(text: bytes, where: str) -> dict[str, Any]:
    if not text.startswith(b"{"):
        raise CheckpointError(f"{where}: the header is not a JSON object: this is no safetensors file")
    try:
        table = json.loads(text, object_pairs_hook=_unique)
    except (ValueError, RecursionError) as fault:
        reason = "nested too deeply" if isinstance(fault, RecursionError) else fault
        raise CheckpointError(f"{where}: the header is damaged ({reason}): download the file again") from None
    assert isinstance(table, dict), "a JSON text that begins with a brace is an object"
    table.pop("__metadata__", None)
    return table


def _unique(pairs: Iterable[tuple[str, Any]]) -> dict[str, Any]:
    table: dict[str, Any] = {}
    for name, value in pairs:
        if name in table:
            raise ValueError(f"{name!r} stands in it twice")
        table[name] = value
    return table


def _entry(name: str, value: object, data_start: int, where: str) -> Entry:
    """Check one line of the header on its own."""

    def refuse(why: str) -> CheckpointError:
        return CheckpointError(f"{where}: tensor {name!r} {why}")

    if not isinstance(value, dict) or value.keys() != {"dtype", "shape", "data_offsets"}:
        raise refuse("needs exactly the fields dtype, shape and data_offsets")
    dtype, shape, offsets = value["dtype"], value["shape"], value["data_offsets"]
    if not isinstance(dtype, str) or dtype not in _ITEM_BYTES:
        raise refuse(f"has the unknown dtype {dtype!r}; known are {', '.join(_ITEM_BYTES)}")
    if not isinstance(shape, list) or len(shape) > 8 or not all(_is_count(side) for side in shape):
        raise refuse(f"has the shape {shape!r}: a list of at most 8 whole numbers is needed")
    if not isinstance(offsets, list) or len(offsets) != 2 or not all(_is_count(offset) for offset in offsets):
        raise refuse(f"has the data_offsets {offsets!r}: two whole numbers are needed")
    begin, end = offsets
    needed = math.prod(shape) * _ITEM_BYTES[dtype]
    if end - begin != needed:
        raise refuse(f"of {dtype} {shape} needs {needed} bytes but its data_offsets {offsets} hold {end - begin}")
    return Entry(dtype=dtype, shape=tuple(shape), offset=data_start + begin, num_bytes=needed)


def _check_cover(entries: dict[str, Entry], start: int, size: int, where: str) -> dict[str, Entry]:
    """Check that the tensors, in the order of their data, fill the file from `start` to its end."""
    ordered = dict(sorted(entries.items(), key=lambda item: (item[1].offset, item[1].num_bytes)))
    end, before = start, "the header"
    for name, entry in ordered.items():
        if entry.offset < end:
            raise CheckpointError(f"{where}: the data of tensor {name!r} overlap those of {before!r}")
        if entry.offset > end:
            raise CheckpointError(f"{where}: {entry.offset - end} bytes before tensor {name!r} belong to no tensor")
        end, before = entry.offset + entry.num_bytes, name
    if end > size:
        raise CheckpointError(
            f"{where} is cut short: tensor {before!r} ends at byte {end} of {size}: download it again"
        )
    if end < size:
        raise CheckpointError(f"{where}: {size - end} bytes after tensor {before!r} belong to no tensor")
    return ordered


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
