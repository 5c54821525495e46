"""Merging and exporting: a source in, a whole and checked model folder out, or nothing.

In: what to make a folder of (`source.py` finds the parts), its layout and type. Out: the folder, and `Exported`; or
`ExportPlan`, which says what would be written and writes nothing.

The order of things: all that can be refused is refused before the first byte; then the small files, the weights tensor
by tensor, the comparison with the source, and config.json last. Until then the folder has a hidden name and no
config.json, so that a kill leaves nothing that loads.
"""

import glob
import os
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from ivl.errors import CheckpointError, SettingsError, nearest
from ivl.export.files import SideFiles, with_max_tiles
from ivl.export.source import TRAINED_FILE, ModelSource, adapter_source, find_source
from ivl.export.stream import ModelWeights, Place, streamed_sources
from ivl.export.verify import Comparison, compare
from ivl.model.adapter_io import check_shape, read_adapter
from ivl.model.checkpoint import Checkpoint, differences, find_tensors, open_checkpoint
from ivl.model.config import InternVLConfig
from ivl.model.folder_io import new_folder, open_file, refuse_occupied, sync
from ivl.model.names import LAYOUTS, Layout, Rows, parameter_shapes, stored_tensors
from ivl.model.safetensors_io import FLOATS, read_header
from ivl.model.weights import check_room, checked_dtype, free_bytes, shard_files, write_shards

Tell = Callable[[str, int, int], None]
"""Is told what is being done ("writing" in bytes, "checking" in parameters), how much is done and how much is to do."""
SHARD_BYTES = 5 * 10**9
_TOKENIZER = ("tokenizer.json", "tokenizer.model", "vocab.json")


@dataclass(frozen=True, kw_only=True)
class Options:
    """How a folder is to be written."""

    layout: Layout | None = None
    """None: that of the source."""
    dtype: str | torch.dtype | None = None
    """Of all weights: "float32", "bfloat16", "float16", "float64". None: each tensor keeps the type it has."""
    max_tiles: int | None = None
    """Tiles that a picture is cut into at most, where the new folder is served. None: as in the source."""
    max_shard_bytes: int = SHARD_BYTES
    """Of one file of weights, unless a single tensor is larger."""


@dataclass(frozen=True, kw_only=True)
class ExportPlan:
    """What would be written."""

    folder: Path
    layout: Layout
    source: ModelSource
    files: tuple[tuple[str, int], ...]
    """Names and sizes in bytes; weights without their headers."""
    free_bytes: int
    """On the disk of the new folder."""
    notes: tuple[str, ...]

    @property
    def num_bytes(self) -> int:
        return sum(size for _, size in self.files)


@dataclass(frozen=True, kw_only=True)
class Exported:
    """What was written."""

    folder: Path
    layout: Layout
    source: ModelSource
    files: tuple[tuple[str, int], ...]
    """Names and sizes in bytes."""
    comparison: Comparison | None
    """With the source; None where none was wanted."""
    notes: tuple[str, ...]
    """One line each: what a person should know of the new folder."""
    seconds: float

    @property
    def num_bytes(self) -> int:
        return sum(size for _, size in self.files)

    @property
    def difference(self) -> float | None:
        """The largest difference of two logits between the new folder and its source."""
        return None if self.comparison is None else self.comparison.difference


def merge_source(base: str | os.PathLike[str], adapter: str | os.PathLike[str]) -> ModelSource:
    """The parts of a merge: `adapter` may also be a run or one of its checkpoints. Raises AdapterError."""
    found = find_source(adapter, base) if Path(adapter).expanduser().is_dir() else None
    if found is None or found.adapter is None:
        return adapter_source(Path(adapter).expanduser(), base)
    return found


def plan(source: ModelSource, out: str | os.PathLike[str], options: Options) -> ExportPlan:
    """What `write` would write. Raises what it would refuse, but for a disk that is too small."""
    job = _Job(source, out, options, _silent)
    with tempfile.TemporaryDirectory(prefix="ivl-export-") as folder:
        notes = job.side.write(Path(folder))
        small = [(path.name, path.stat().st_size) for path in sorted(Path(folder).iterdir())]
    return ExportPlan(
        folder=job.target,
        layout=job.layout,
        source=source,
        files=(*((name, sum(each.num_bytes for each in shard)) for name, shard in job.shards.items()), *small),
        free_bytes=free_bytes(job.target),
        notes=(*source.notes, *notes, *_leftovers(job.target)),
    )


def write(
    source: ModelSource,
    out: str | os.PathLike[str],
    options: Options,
    *,
    verify: bool = True,
    tell: Tell | None = None,
) -> Exported:
    """Write the new folder `out` and compare it with its source.

    Raises CheckpointError, ConfigError, AdapterError, SettingsError for a source, an option or a disk that will not do,
    and CheckpointError when the written model is not its source; in every case nothing is left under that name.
    """
    begun = time.perf_counter()
    tell = tell or _silent
    job = _Job(source, out, options, tell)
    check_room(job.target, job.num_bytes + job.side.num_bytes)
    leftovers = _leftovers(job.target)
    with new_folder(job.target) as partial:
        notes = job.side.write(partial)
        write_shards(partial, job.shards)
        comparison = _verified(job, partial, tell) if verify else None
        for path in partial.iterdir():
            sync(path)  # before config.json, so that hardly a moment lies between it and the folder's name
        job.side.write_config(partial)
    return Exported(
        folder=job.target,
        layout=job.layout,
        source=source,
        files=tuple((path.name, path.stat().st_size) for path in sorted(job.target.iterdir())),
        comparison=comparison,
        notes=(*source.notes, *notes, *leftovers),
        seconds=time.perf_counter() - begun,
    )


class _Job:
    """A source that was checked, and what is to become of it; nothing is written yet."""

    def __init__(self, source: ModelSource, out: str | os.PathLike[str], options: Options, tell: Tell) -> None:
        dtype = None if options.dtype is None else checked_dtype(options.dtype)
        if options.layout not in (None, *LAYOUTS):
            raise SettingsError(f"layout={options.layout!r} is not allowed: {nearest(str(options.layout), LAYOUTS)}")
        size = options.max_shard_bytes
        if not isinstance(size, int) or size < 1:
            raise SettingsError(f"max_shard_bytes={size!r} is not allowed: a whole number of at least 1")
        self.target = Path(out).expanduser()
        refuse_occupied(self.target)
        checkpoint = open_checkpoint(source.model)
        adapter = None if source.adapter is None else read_adapter(source.adapter, checkpoint.config)
        trained = None if source.trained is None else _trained_places(source.trained, checkpoint.config)
        self.weights = ModelWeights(checkpoint, adapter, trained)
        self.layout: Layout = options.layout or checkpoint.layout
        self.written = 0
        self.tell = tell
        sources = streamed_sources(self.weights, self.layout, dtype, self._wrote)
        self.num_bytes = sum(each.num_bytes for each in sources)
        self.shards = shard_files(sources, size)
        stored = {each.dtype for each in sources}
        common = next(iter(stored)) if len(stored) == 1 else None
        self.side = SideFiles(
            folders=_homes(source),
            own_layout=checkpoint.layout,
            layout=self.layout,
            config=with_max_tiles(checkpoint.config, options.max_tiles),
            dtype=dtype if checkpoint.layout == self.layout else common,
            max_tiles=options.max_tiles,
        )
        self.side.check()

    def _wrote(self, num_bytes: int) -> None:
        self.written += num_bytes
        self.tell("writing", self.written, self.num_bytes)


def _homes(source: ModelSource) -> tuple[Path, ...]:
    """Where small files come from: the model's folder, then its base's; the first has the tokenizer, if any has."""
    homes = [source.model, *([source.base] if source.base is not None else [])]
    return tuple(sorted(homes, key=lambda home: not any((home / name).exists() for name in _TOKENIZER)))


def _verified(job: _Job, partial: Path, tell: Tell) -> Comparison:
    written = ModelWeights(_reopen(partial, job.weights.config, job.layout))
    return compare(job.weights, written, lambda done, total: tell("checking", done, total))


def _reopen(folder: Path, config: InternVLConfig, layout: Layout) -> Checkpoint:
    """The weights of a folder that has no config.json yet, checked as `open_checkpoint` does."""
    found, wanted = find_tensors(folder, layout), stored_tensors(config, layout)
    for problem in differences(folder, wanted, found, config):
        raise CheckpointError(problem)
    tensors = tuple((file, wanted[name], entry) for name, (file, entry) in found.items())
    return Checkpoint(folder=folder, config=config, layout=layout, tensors=tensors)


def _trained_places(folder: Path, config: InternVLConfig) -> dict[str, Place]:
    """The parameters that a checkpoint of a run holds, by our names. Raises CheckpointError where they do not fit."""
    where, shapes = str(folder / TRAINED_FILE), parameter_shapes(config)
    with open_file(folder, TRAINED_FILE) as file:
        header = read_header(file, where)
    for name, entry in header.items():
        if name not in shapes or entry.dtype not in FLOATS:
            raise CheckpointError(f"{where}: tensor {name!r:.160} of {entry.dtype} is no parameter of the base")
        check_shape(name, entry.shape, shapes[name], where)
    return {
        name: Place(
            folder=folder,
            file=TRAINED_FILE,
            rows=Rows(name=name, start=0, stop=entry.shape[0]),
            dtype=entry.dtype,
            offset=entry.offset,
        )
        for name, entry in header.items()
    }


def _leftovers(target: Path) -> tuple[str, ...]:
    """A line for what killed runs left half done beside the new folder."""
    parent = target.absolute().parent
    found = sorted(parent.glob(f".{glob.escape(target.name)}.partial-*")) if parent.is_dir() else []
    return tuple(f"{path} was left by a run that was stopped: remove it" for path in found)


def _silent(stage: str, done: int, total: int) -> None:
    pass
