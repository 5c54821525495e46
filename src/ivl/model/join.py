"""A vision model and a language model -> an InternVL2 with a fresh connector, before stage 1 of its training.

The two may be the halves of one model, which then gets another connector (`renewed_config`).

In: two `Part`s. Out: config.json and weights in a folder, file by file: memory is needed for one file's weights. What
is new is the connector (torch's default for linear maps, as in the official code; ones and zeros in its norm; a
Q-Former begins as BERT does) and the rows of new tokens in embedding table and head (the mean of the rows that there
were, as transformers does when it resizes, but without its noise of 1e-9). Knows no tokenizer: which ids are new is
told.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ivl.errors import ConfigError
from ivl.model.config import ConnectorKind, InternVLConfig, QFormerConfig, Template
from ivl.model.config_export import to_official
from ivl.model.config_io import INDEX_FILE, WEIGHT_FILE
from ivl.model.connector import make_connector
from ivl.model.names import Rows, StoredTensor, parameter_shapes, part_of, stored_tensors
from ivl.model.part import Part
from ivl.model.safetensors_io import Source, write_file

FILE_BYTES = 2 * 10**9
"""Of weights in one file, unless a single tensor is larger."""
_POSITIONS = "vision_model.position_embedding"
_TABLES = ("language_model.embed_tokens.weight", "language_model.lm_head.weight")
_CHUNK_ROWS = 4096


@dataclass(frozen=True, kw_only=True)
class Vocabulary:
    """What the extended tokenizer needs of the model."""

    num_known: int
    """Ids below it are the language model's own tokens."""
    new_ids: tuple[int, ...]
    image_token_id: int

    @property
    def size(self) -> int:
        """One more than the highest id."""
        return max(self.num_known, *(token_id + 1 for token_id in self.new_ids), self.image_token_id + 1)


def joined_config(
    vision: Part,
    text: Part,
    vocabulary: Vocabulary,
    template: Template,
    *,
    max_tiles: int = 12,
    image_size: int | None = None,
) -> InternVLConfig:
    """The configuration of the joined model; the widths of the two need not agree, the connector leads over.

    image_size: pixels a side of a tile; None: what the vision model is for. Raises ConfigError where the tokenizer is
    not the language model's, or where tiles of this size cannot be cut into patches and joined 2 x 2.
    """
    known = text.config.text.vocab_size
    if vocabulary.num_known > known:
        raise ConfigError(
            f"{text.folder}: the tokenizer has ids up to {vocabulary.num_known - 1}, but the model's vocab_size is "
            f"{known}: the tokenizer files belong to another model"
        )
    own = vision.config.image_size if vision.is_whole else vision.config.vision.image_size
    size = image_size or own
    return InternVLConfig(
        vision=replace(vision.config.vision, image_size=size),
        # Rows beyond the tokenizer's ids, with which vocabularies are padded, stay.
        text=replace(text.config.text, vocab_size=max(known, vocabulary.size)),
        select_layer=vision.config.select_layer,
        image_token_id=vocabulary.image_token_id,
        template=template,
        image_size=size,
        max_tiles=max_tiles,
    )


def renewed_config(whole: InternVLConfig, kind: ConnectorKind, qformer: QFormerConfig | None = None) -> InternVLConfig:
    """The configuration of a model that keeps all but its connector. qformer: a Q-Former's sizes; None: BLIP-2's."""
    sizes = (qformer or QFormerConfig()) if kind == "qformer" else None
    return replace(whole, connector=kind, qformer=sizes)


def whole_vocabulary(config: InternVLConfig) -> Vocabulary:
    """Of a whole model, which needs no new token. Raises ConfigError where its folder names no image token."""
    if config.image_token_id is None:
        raise ConfigError("the model's folder names no <IMG_CONTEXT> token: its tokenizer files are missing")
    return Vocabulary(num_known=config.text.vocab_size, new_ids=(), image_token_id=config.image_token_id)


def write_joined(
    vision: Part,
    text: Part,
    config: InternVLConfig,
    vocabulary: Vocabulary,
    folder: Path,
    *,
    dtype: str | torch.dtype | None = None,
    seed: int = 0,
    file_bytes: int = FILE_BYTES,
) -> None:
    """Write the weights and, last, config.json of the model of `joined_config` into an empty folder, official layout.

    dtype: of all weights; None: the language model's. seed: of the connector. Raises CheckpointError where a file ends
    early or changed since it was checked.
    """
    dtype = getattr(torch, dtype) if isinstance(dtype, str) else dtype or text.dtype
    assert isinstance(dtype, torch.dtype), f"{dtype} is no type of numbers"
    raw = to_official(config, str(dtype).removeprefix("torch."))
    joint = _Joint(vision, text, config, vocabulary, dtype, _fresh_connector(config, seed))
    files = _files(list(stored_tensors(config, "official").values()), file_bytes // dtype.itemsize)
    index: dict[str, str] = {}
    for number, tensors in enumerate(files, start=1):
        name = WEIGHT_FILE if len(files) == 1 else f"model-{number:05}-of-{len(files):05}.safetensors"
        write_file(folder / name, [joint.source(tensor) for tensor in tensors])
        index |= {tensor.name: name for tensor in tensors}
    if len(files) > 1:
        size = sum(math.prod(tensor.shape) for tensors in files for tensor in tensors) * dtype.itemsize
        _write_json(folder / INDEX_FILE, {"metadata": {"total_size": size}, "weight_map": index})
    _write_json(folder / "config.json", raw)


class _Joint:
    """Makes the tensors of the joined model, one at a time."""

    def __init__(
        self,
        vision: Part,
        text: Part,
        config: InternVLConfig,
        vocabulary: Vocabulary,
        dtype: torch.dtype,
        connector: dict[str, Tensor],
    ) -> None:
        self.parts: dict[str, Part] = {"vision_model": vision, "language_model": text}
        self.config = config
        self.vocabulary = vocabulary
        self.dtype = dtype
        self.connector = connector
        self.shapes = parameter_shapes(config)

    def source(self, tensor: StoredTensor) -> Source:
        """The tensor with its numbers in memory."""
        name = tensor.rows[0].name
        if name in self.connector:
            return Source(name=tensor.name, shape=tensor.shape, pieces=(self.connector[name].to(self.dtype),))
        if name == _POSITIONS:
            flat = self._positions()
        elif name in _TABLES:
            flat = self._table(name)
        else:
            flat = self._read(*tensor.rows)
        return Source(name=tensor.name, shape=tensor.shape, pieces=(flat,))

    def _read(self, *rows: Rows) -> Tensor:
        """Rows of parameters of one part, one after another."""
        sizes = [(each.stop - each.start) * math.prod(self.shapes[each.name][1:]) for each in rows]
        flat = torch.empty(sum(sizes), dtype=self.dtype)
        for each, piece in zip(rows, flat.split_with_sizes(sizes), strict=True):
            self.parts[part_of(each.name)].read(each, piece)
        return flat

    def _positions(self) -> Tensor:
        """Bicubic for tiles of another size, as the official trainer's `resize_pos_embeddings`."""
        old, new = self.parts["vision_model"].config.vision, self.config.vision
        table = self._read(Rows(name=_POSITIONS, start=0, stop=1 + old.patches_per_side**2))
        if old.patches_per_side == new.patches_per_side:
            return table
        table = table.view(-1, old.hidden_size)
        grid = table[1:].float().T.reshape(1, -1, old.patches_per_side, old.patches_per_side)
        grid = F.interpolate(grid, size=(new.patches_per_side,) * 2, mode="bicubic", align_corners=False)
        return torch.cat((table[:1], grid[0].flatten(1).T.to(self.dtype))).flatten()

    def _table(self, name: str) -> Tensor:
        """Embedding table or head, new tokens' rows included."""
        known, width = self.parts["language_model"].config.text.vocab_size, self.shapes[name][1]
        table = torch.empty(self.shapes[name], dtype=self.dtype)
        self.parts["language_model"].read(Rows(name=name, start=0, stop=known), table[:known].view(-1))
        own, total = table[: self.vocabulary.num_known], torch.zeros(width, dtype=torch.float64)
        for start in range(0, len(own), _CHUNK_ROWS):
            total += own[start : start + _CHUNK_ROWS].double().sum(dim=0)
        mean = (total / len(own)).to(self.dtype)
        table[known:] = mean
        table[list(self.vocabulary.new_ids)] = mean
        return table.view(-1)


def _fresh_connector(config: InternVLConfig, seed: int) -> dict[str, Tensor]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        connector = make_connector(config)
    return {f"connector.{name}": tensor.detach() for name, tensor in connector.named_parameters()}


def _files(tensors: Sequence[StoredTensor], most: int) -> list[list[StoredTensor]]:
    """The tensors in their own order, cut into files of at most `most` values."""
    files: list[list[StoredTensor]] = [[]]
    size = 0
    for tensor in tensors:
        count = math.prod(tensor.shape)
        if files[-1] and size + count > most:
            files.append([])
            size = 0
        files[-1].append(tensor)
        size += count
    return files


def _write_json(path: Path, value: object) -> None:
    path.write_text(json.dumps(value, indent=2, ensure_ascii=False) + "\n", "utf-8")
