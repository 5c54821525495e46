"""A data set read once from end to end: every bad record, what the good ones cost, and what stands in it twice.

In: the sources of each split, a processor, settings. Out: a `CheckReport` of plain values. Unlike measuring, every
picture is decoded. Nothing stops at a bad record. Works in processes; prints nothing.
"""

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ivl.data.check_report import CheckReport, Duplicate, SourceCheck, SplitCheck
from ivl.data.example import ExampleSource
from ivl.data.faults import Fault, fault_of
from ivl.data.fitting import prepare
from ivl.data.measure import IdBook, Measures
from ivl.data.settings import DataSettings
from ivl.data.sources import OpenedSource
from ivl.data.workers import choose_workers, run_chunks
from ivl.errors import DataError, InputError, SettingsError
from ivl.processing.images import load_image, open_file, shown_path
from ivl.processing.processor import Processor
from ivl.processing.video import load_frames
from ivl.types import ImagePart, Message, TextPart, VideoPart

Progress = Callable[[str, int, int], None]
"""Told the set's name, the records done and the records there are."""

_CHUNK = 8
"""Records a process takes at a time: decoding them takes about a second at most."""
_WORTH_A_PROCESS = 200
"""Records for which starting a process pays."""


def check(
    splits: Mapping[str, Sequence[OpenedSource]],
    processor: Processor,
    settings: DataSettings,
    *,
    workers: int | None = None,
    on_progress: Progress | None = None,
) -> CheckReport:
    """Read all records of all splits, the training split first.

    workers: processes; 0: this one; None: by the number of cores and records.
    Raises SettingsError, MissingExtraError where a video needs PyAV, and DataError where a process is lost.
    """
    twins = _Twins()
    checked = []
    for name, sources in splits.items():
        twins.begin(name)
        parts = []
        for each in sources:
            work = _Checking(source=each.examples, processor=processor, settings=settings)
            parts.append(_check_source(work, each.source.repeat_time, twins, workers, on_progress))
        checked.append(SplitCheck(name=name, sources=tuple(parts), duplicates=tuple(twins.within)))
    return CheckReport(
        splits=tuple(checked),
        shared_records=tuple(twins.between),
        num_shared_pictures=twins.num_shared_pictures,
        max_length=settings.max_length,
        tokens_per_tile=processor.config.tokens_per_tile,
    )


@dataclass(frozen=True, kw_only=True)
class _Row:
    """A record that was read."""

    columns: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Tokens, tiles, trained tokens, tiles an image."""
    id: str = ""
    loses_tiles: bool = False
    digest: bytes = b""
    pictures: tuple[bytes, ...] = ()
    fault: Fault | None = None


@dataclass(frozen=True, kw_only=True)
class _Checking:
    """Reads records by their numbers, in whatever process."""

    source: ExampleSource
    processor: Processor
    settings: DataSettings

    def __call__(self, numbers: Sequence[int]) -> list[_Row]:
        return [self._row(index) for index in numbers]

    def _row(self, index: int) -> _Row:
        where = self.source.where(index)
        try:
            example = self.source[index]
            fitted = prepare(example, self.processor, self.settings)
        except SettingsError:
            raise
        except InputError as error:
            return _Row(fault=fault_of(error, where))
        try:
            pictures = tuple(self._decode(part) for message in example.messages for part in message.parts)
        except SettingsError as error:  # of a clip that its video cannot have
            return _Row(fault=fault_of(DataError(str(error), rule="record"), where))
        except InputError as error:
            return _Row(fault=fault_of(error, where))
        known = tuple(each for each in pictures if each)
        size = fitted.size
        return _Row(
            columns=(size.num_tokens, size.num_tiles, size.num_trained, fitted.max_tiles),
            id=example.id,
            loses_tiles=fitted.loses_tiles,
            digest=_digest(_written(example.messages), *known),
            pictures=known,
        )

    def _decode(self, part: object) -> bytes:
        """Decode a picture or video, and give the digest of its bytes; nothing for a text."""
        if isinstance(part, ImagePart):
            load_image(part.source, as_viewed=self.processor.as_viewed)
            return _source_digest(part.source)
        if isinstance(part, VideoPart):
            load_frames(
                part.source,
                part.num_frames,
                start_s=part.start_s,
                end_s=part.end_s,
                as_viewed=self.processor.as_viewed,
            )
            return _source_digest(part.source)
        return b""


class _Twins:
    """Remembers what stood where, split by split."""

    def __init__(self) -> None:
        self._seen: dict[bytes, tuple[str, str]] = {}
        self._pictures: dict[bytes, str] = {}
        self._shared: set[bytes] = set()
        self._split = ""
        self.within: list[Duplicate] = []
        self.between: list[Duplicate] = []

    @property
    def num_shared_pictures(self) -> int:
        return len(self._shared)

    def begin(self, split: str) -> None:
        self._split, self.within = split, []

    def add(self, row: _Row, where: str) -> None:
        split, first = self._seen.setdefault(row.digest, (self._split, where))
        if first != where or split != self._split:
            (self.within if split == self._split else self.between).append(Duplicate(where=where, first=first))
        for picture in row.pictures:
            if self._pictures.setdefault(picture, self._split) != self._split:
                self._shared.add(picture)


def _check_source(
    work: _Checking, repeat_time: float, twins: _Twins, workers: int | None, on_progress: Progress | None
) -> SourceCheck:
    source, count = work.source, len(work.source)
    columns = np.zeros((4, count), np.int32)
    loses_tiles = np.zeros(count, np.bool_)
    faults: dict[int, Fault] = {}
    book = IdBook()
    workers = choose_workers(workers, count, _WORTH_A_PROCESS)
    for numbers, rows in run_chunks(work, range(count), workers=workers, chunk_size=_CHUNK):
        for index, row in zip(numbers, rows, strict=True):
            columns[:, index], loses_tiles[index] = row.columns, row.loses_tiles
            if row.fault is not None:
                faults[index] = row.fault
                continue
            book.add(index, row.id, source.where(index))
            twins.add(row, source.where(index))
        if on_progress is not None:
            on_progress(source.name, numbers[-1] + 1, count)
    note = book.note(source.name)
    if note is None:
        faults |= book.faults
        columns[:, list(book.faults)] = 0
        loses_tiles[list(book.faults)] = False
    tokens, tiles, trained, max_tiles = columns
    measures = Measures(
        num_tokens=tokens,
        num_tiles=tiles,
        num_trained=trained,
        max_tiles=max_tiles.astype(np.int16),
        faults=dict(sorted(faults.items())),
        notes=() if note is None else (note,),
    )
    return SourceCheck(source=source, measures=measures, repeat_time=repeat_time, loses_tiles=loses_tiles)


def _written(messages: Sequence[Message]) -> bytes:
    """Roles and texts, with a mark where a picture stands."""
    turns = [[each.role, [part.text if isinstance(part, TextPart) else 0 for part in each.parts]] for each in messages]
    return json.dumps(turns).encode()


def _source_digest(source: object) -> bytes:
    """Of the bytes of a picture or video; of a folder of frames, its name."""
    if isinstance(source, bytes):
        return _digest(source)
    text = str(source)
    if text[:5].lower() == "data:" or Path(text).is_dir():
        return _digest(text.encode("utf-8", "surrogateescape"))
    digest = hashlib.sha256()
    with open_file(Path(text), shown_path(text)) as file:
        while block := file.read(2**20):
            digest.update(block)
    return digest.digest()[:16]


def _digest(*pieces: bytes) -> bytes:
    """16 bytes that differ where a piece differs."""
    digest = hashlib.sha256()
    for piece in pieces:
        digest.update(len(piece).to_bytes(8, "little") + piece)
    return digest.digest()[:16]
