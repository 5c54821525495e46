"""InternVL's meta file: one JSON object that names data sets and how much of each is used.

In: the object `{name: {root, annotation, data_augment, repeat_time, max_dynamic_patch}}`. Out: a DataSource for each.
Opens none of them. Raises DataError that names the data set and the field.
Source: shell/data/*.json and dataset.py of https://github.com/OpenGVLab/InternVL (commit 2410d1d).
"""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from ivl.data.settings import DataSource
from ivl.errors import DataError, shown


def is_meta(record: Mapping[str, Any]) -> bool:
    """Whether a JSON object is a meta file rather than a record."""
    values = list(record.values())
    return all(isinstance(value, dict) for value in values) and any("annotation" in value for value in values)


def expand_meta(meta: Mapping[str, Any], source: DataSource, path: Path, data_root: Path) -> list[DataSource]:
    """The data sets that a meta file names, in its order.

    source: how a recipe names the meta file; its repeat_time multiplies theirs, its other fields stand where an entry
    says nothing. path: of the meta file. Relative paths are sought in data_root, then beside the meta file.
    """
    return [_entry(name, entry, source, path, data_root) for name, entry in meta.items()]


def _entry(name: str, entry: Mapping[str, Any], source: DataSource, path: Path, data_root: Path) -> DataSource:
    where = f"{path.name}: data set {name!r}"
    for key in ("annotation", "root"):
        if not isinstance(entry.get(key), str) or not (entry[key] or key == "root"):
            raise DataError(f"{where} has {key}={shown(entry.get(key))}: a path is needed")
    repeat = entry.get("repeat_time", 1)
    if not _is_number(repeat) or not 1e-6 <= repeat * source.repeat_time <= 1e4:
        raise DataError(f"{where} has repeat_time={shown(repeat)}: a number from 1e-6 to 10000 is needed")
    tiles = entry.get("max_dynamic_patch", source.max_dynamic_patch)
    if tiles is not None and (not isinstance(tiles, int) or not _is_number(tiles) or tiles < 1):
        raise DataError(f"{where} has max_dynamic_patch={shown(tiles)}: a whole number of at least 1 is needed")
    augment = entry.get("data_augment", source.data_augment)
    if not isinstance(augment, bool):
        raise DataError(f"{where} has data_augment={shown(augment)}: true or false is needed")
    return replace(
        source,
        path=_found(entry["annotation"], path, data_root),
        image_folder=_found(entry["root"], path, data_root),
        name=name,
        repeat_time=repeat * source.repeat_time,
        max_dynamic_patch=tiles,
        data_augment=augment,
    )


def _found(text: str, path: Path, data_root: Path) -> str:
    """The path in data_root, or beside the meta file where only that is there."""
    named = Path(text).expanduser()
    near = path.parent / named
    return str(near.absolute() if near.exists() and not (data_root / named).exists() else named)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)
