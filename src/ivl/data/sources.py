"""A data set of any format, opened: `open_source` for one, `open_sources` for a recipe's list.

In: a DataSource, as a recipe names it. Out: an ExampleSource, whose records are read one by one and in any order, and
which other processes can be sent. The format is told by the content, never by the file's name. Opens no pictures.
Raises DataError for what no record can be read from; faults of single records come when these are read.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from ivl.data.example import Example, ExampleSource
from ivl.data.formats import find_reader, read_record
from ivl.data.indexing import lines_of
from ivl.data.meta import expand_meta, is_meta
from ivl.data.pictures import PictureFolder
from ivl.data.records import RecordFile, open_data
from ivl.data.settings import DataSettings, DataSource
from ivl.data.table import TableFile
from ivl.errors import DataError, nearest
from ivl.processing.images import shown_path

_LOOKED_AT = 8
"""Records whose format is told before anything else is read."""
_DATA_FILES = ("metadata.csv", "metadata.tsv", "metadata.jsonl")
_DATA_SUFFIXES = {".csv", ".tsv", ".jsonl", ".json"}

_File: TypeAlias = RecordFile | TableFile


@dataclass(kw_only=True, eq=False)
class FileSource:
    """The examples of one file."""

    name: str
    file: _File
    folder: PictureFolder
    max_tiles: int | None = None
    data_augment: bool = False

    def __len__(self) -> int:
        return len(self.file)

    @property
    def identity(self) -> str:
        """Equal only for an unchanged file whose records are read alike; says nothing of the pictures' files."""
        return f"{self.file.identity} in {self.folder.root}, {self.max_tiles} tiles"

    def digest(self) -> str:
        """SHA-256 of the file's bytes, wherever it lies."""
        with Path(self.file.path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()

    def where(self, index: int) -> str:
        """`name:line` of the record."""
        return self.file.where(index)

    def __getitem__(self, index: int) -> Example:
        """The record at `index`; its pictures are there but not opened. Raises DataError."""
        if not 0 <= index < len(self):
            raise IndexError(f"{self.name} has {len(self)} records, and none at {index}")
        record, where = self.file.read(index), self.where(index)
        try:
            messages = read_record(record, self.folder)
        except DataError as error:
            raise DataError(f"{where}: {error}") from None
        return Example(
            messages=messages,
            where=where,
            id=_id(record),
            max_tiles=self.max_tiles,
            data_augment=self.data_augment,
        )


@dataclass(frozen=True, kw_only=True)
class OpenedSource:
    """One data set of a mixture, opened."""

    source: DataSource
    """As the recipe or its meta file names it."""
    examples: ExampleSource


def open_source(source: DataSource, settings: DataSettings) -> ExampleSource:
    """The data set that `source` names. Raises DataError: missing, an unknown format, several sets in a meta file."""
    opened = open_sources((source,), settings)
    if len(opened) != 1:
        raise DataError(f"{source.path} names {len(opened)} data sets: open them with open_sources")
    return opened[0].examples


def open_sources(sources: Sequence[DataSource], settings: DataSettings) -> list[OpenedSource]:
    """The data sets of a mixture; a meta file stands for all that it names. Raises DataError."""
    opened = [each for source in sources for each in _open(source, settings)]
    names = Counter(each.name for _, each in opened)
    for source, each in opened:
        if names[each.name] > 1 and source.name is None:  # two files of one name in different folders
            each.name = each.file.name = source.path
    return [OpenedSource(source=source, examples=each) for source, each in opened]


def _open(source: DataSource, settings: DataSettings, in_meta: bool = False) -> list[tuple[DataSource, FileSource]]:
    root = Path(settings.data_root).expanduser()
    path = _data_file(root / Path(source.path).expanduser())
    name = source.name or path.name
    file: _File = RecordFile(path, name) if _is_json(path, name) else TableFile(path, name)
    if not len(file):
        raise DataError(f"{name}: {shown_path(str(path))} has no records")
    first = _check_format(file)
    if first is not None and len(file) == 1 and is_meta(first):
        if in_meta:
            raise DataError(f"{name}: {shown_path(str(path))} is a meta file inside of another: name its data sets")
        return [each for inner in expand_meta(first, source, path, root) for each in _open(inner, settings, True)]
    folder = source.image_folder if source.image_folder is not None else settings.image_folder
    try:
        pictures = PictureFolder(path.parent if folder is None else root / Path(folder).expanduser())
    except DataError as error:
        raise DataError(f"{name}: {error}") from None
    opened = FileSource(
        name=name,
        file=file,
        folder=pictures,
        max_tiles=source.max_dynamic_patch,
        data_augment=source.data_augment,
    )
    return [(source, opened)]


def _data_file(path: Path) -> Path:
    """The file that a path means: itself, or the one in a folder."""
    if not path.is_dir():
        if not path.exists():
            raise DataError(f"{shown_path(str(path))} does not exist: {_advice(path)}")
        return path
    names = sorted(each.name for each in path.iterdir())
    if any(name.startswith("sivqa_") and name.endswith(".json") for name in names):
        raise DataError(
            f"{shown_path(str(path))} is the FoodieQA data set as it is published: run `ivl data foodieqa {path} "
            "-o OUT` and train on OUT/train.json"
        )
    found = [name for name in _DATA_FILES if name in names]
    found = found or [name for name in names if Path(name).suffix.lower() in _DATA_SUFFIXES and name[0] != "."]
    if len(found) != 1:
        raise DataError(
            f"the folder {shown_path(str(path))} has {', '.join(found[:5]) or 'no data file'}: name one file, or put a "
            "metadata.csv with the columns image, question, answer beside the pictures"
        )
    return path / found[0]


def _advice(path: Path) -> str:
    folder = path.parent
    if not folder.is_dir():
        return f"nor does its folder {shown_path(str(folder))}; data paths are relative to data_root"
    names = [each.name for each, _ in zip(folder.iterdir(), range(1000), strict=False)]
    hint = nearest(path.name, names) if names else ""
    return hint if hint.startswith("did you mean") else "check the path; data paths are relative to data_root"


def _is_json(path: Path, name: str) -> bool:
    """Whether a file is JSON rather than a table: one of its first lines begins as JSON does."""
    with open_data(path, name) as file:
        heads = [line.lstrip()[:1] for (_, _, line, _), _ in zip(lines_of(file), range(20), strict=False)]
    first = next((head for head in heads if head), b"")
    return first == b"[" or b"{" in heads


def _check_format(file: _File) -> dict[str, Any] | None:
    """The first record. Raises DataError where none of the first readable records has a known format."""
    first: dict[str, Any] | None = None
    fault: DataError | None = None
    for index in range(min(len(file), _LOOKED_AT)):
        try:
            record: dict[str, Any] = dict(file.read(index))
        except DataError:  # told when the record is read
            continue
        first = record if first is None else first
        try:
            if not is_meta(record):
                find_reader(record)
            return first
        except DataError as error:
            fault = fault or DataError(f"{file.where(index)}: {error}")
    if fault is not None:
        raise fault
    return first


def _id(record: dict[str, Any] | dict[str, str]) -> str:
    value = record.get("id")
    return str(value) if isinstance(value, str | int) else ""
