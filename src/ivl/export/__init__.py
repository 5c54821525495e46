"""Merging, exporting and publishing: from a base, an adapter or a run to model folders that others can use.

`merge` and `export` write a new folder, whole and compared with its source, or nothing. In: folders and hub ids. Out:
`Exported`. A checkpoint on disk is all that this room knows of training.
"""

import os

import torch

from ivl.export.source import ModelSource, find_source
from ivl.export.verify import Comparison
from ivl.export.writing import SHARD_BYTES, Exported, ExportPlan, Options, Tell, merge_source, plan, write
from ivl.model.names import Layout

__all__ = ["Comparison", "ExportPlan", "Exported", "ModelSource", "Options", "export", "find_source", "merge", "plan"]


def merge(
    base: str | os.PathLike[str],
    adapter: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    dtype: str | torch.dtype | None = None,
    max_tiles: int | None = None,
    max_shard_bytes: int = SHARD_BYTES,
    verify: bool = True,
    tell: Tell | None = None,
) -> Exported:
    """Write `base` with `adapter` made part of its weights as a new model folder, in the base's own layout.

    base: a folder or hub id. adapter: its folder, or that of its run. The other options are those of `export`.
    """
    options = Options(dtype=dtype, max_tiles=max_tiles, max_shard_bytes=max_shard_bytes)
    return write(merge_source(base, adapter), out, options, verify=verify, tell=tell)


def export(
    source: str | os.PathLike[str],
    out: str | os.PathLike[str],
    *,
    layout: Layout = "official",
    base: str | os.PathLike[str] | None = None,
    dtype: str | torch.dtype | None = None,
    max_tiles: int | None = None,
    max_shard_bytes: int = SHARD_BYTES,
    verify: bool = True,
    tell: Tell | None = None,
) -> Exported:
    """Write a run, a checkpoint, an adapter with its base, or a model as a new model folder in `layout`.

    base: the model that an adapter or a run was trained from, where it is not found by itself. dtype: of all weights;
    None: as they are. max_tiles: tiles of a picture at most, where the new folder is served; None: as the base.
    verify: read the new folder again and compare it with the source, number by number and by the logits of one prompt.

    Raises CheckpointError, ConfigError, AdapterError, SettingsError, HubError; nothing is then left of the new folder.
    """
    options = Options(layout=layout, dtype=dtype, max_tiles=max_tiles, max_shard_bytes=max_shard_bytes)
    return write(find_source(source, base), out, options, verify=verify, tell=tell)
