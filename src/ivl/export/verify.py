"""Whether a written folder is the model that it was made of: number by number, and by what the two say.

In: the source's parameters (base, and adapter beside it) and those read back from the new files. Out: `Comparison`, or
CheckpointError. Two things are compared, and neither needs a model in memory, only a layer or two of it:

- Every parameter: one that nothing was added to must be the source's, rounded to the stored type, bit for bit; one that
  an adapter changed must lie within that rounding of base + adapter, added up in float64.
- The logits of one prompt, in float64: the source as base *and* adapter side by side, never merged; the new folder as
  it was read back. The prompt is fixed: one small synthetic picture between token ids spread over the vocabulary. It
  goes through all layers that the model uses.

Shapes: T tokens, V vocabulary, D text width, N tiles, I image tokens of a tile.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ivl.errors import CheckpointError
from ivl.export.stream import ModelWeights, chunks
from ivl.model.adapter_io import LowRank
from ivl.model.adapter_merge import gain_of
from ivl.model.attention import PackedAttention
from ivl.model.decoder import DecoderLayer
from ivl.model.internvl import InternVL
from ivl.model.names import Rows
from ivl.model.vit import VisionLayer
from ivl.model.weights import Uninitialised

WIDE = torch.float64
EXACT = 1e-5
"""What logits may always differ by."""
ROUNDED = 32
"""Where numbers were rounded: this often the coarsest type's epsilon, of the largest logit, if that is more. What
errors in weights become in logits depends on the model; random weights make ten epsilons of it, trained ones less."""
_EMBEDDING = "language_model.embed_tokens.weight"
_TEXT_TOKENS = 8
_SIDE = 4
"""Image tokens a side: a small picture will do, because it is weights that are compared."""
_MERGED_IN_FLOAT32 = 2.0**-20
"""Of the largest number in a row: what adding up in float32 may lose."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """How far a new folder is from its source."""

    difference: float
    """The largest of all logits."""
    tolerance: float
    largest_logit: float
    num_parameters: int
    """Numbers that were compared: all there are."""


def compare(source: ModelWeights, written: ModelWeights, tell: Callable[[int, int], None]) -> Comparison:
    """Compare a written model with its source. Raises CheckpointError where they differ by more than rounding.

    tell: is given the parameters that were compared so far, and how many there are.
    """
    for number, name in enumerate(source.shapes, start=1):
        _check(name, source, written)
        tell(number, len(source.shapes))
    with torch.inference_mode():
        difference, largest = _logits(source, written)
    tolerance = max(EXACT, ROUNDED * _coarsest_rounding(source, written) * largest)
    if not difference <= tolerance:  # a NaN is no difference that can be allowed
        raise CheckpointError(
            f"the written model is not its source: logits differ by {difference:.3g}, allowed are {tolerance:.3g}; "
            "nothing is kept of it (please report this)"
        )
    return Comparison(
        difference=difference,
        tolerance=tolerance,
        largest_logit=largest,
        num_parameters=sum(torch.Size(shape).numel() for shape in source.shapes.values()),
    )


def _check(name: str, source: ModelWeights, written: ModelWeights) -> None:
    """Compare all numbers of a parameter. Raises CheckpointError."""
    stored = written.stored_as(name)
    kind = torch.finfo(stored)
    for rows in chunks(Rows(name=name, start=0, stop=source.shapes[name][0]), source.shapes):
        dtype = WIDE if source.changes(name) else stored
        ours, theirs = source.rows(rows, dtype), written.rows(rows, dtype)
        if source.changes(name):
            room = kind.eps / 2 * ours.abs() + _MERGED_IN_FLOAT32 * ours.abs().amax(dim=1, keepdim=True)
            same = bool(((ours - theirs).abs() <= room + kind.smallest_normal).all())
        else:
            same = torch.equal(ours, theirs)
        if not same:
            raise CheckpointError(
                f"the written model is not its source: {name} differs in rows {rows.start} to {rows.stop - 1} by more "
                "than rounding; nothing is kept of it (please report this)"
            )


def _logits(source: ModelWeights, written: ModelWeights) -> tuple[float, float]:
    """The largest difference of two logits, and the largest logit; some rows of the head (V, D) at a time."""
    states = [(weights, _hidden_states(weights)) for weights in (source, written)]
    name = _EMBEDDING if source.config.text.tie_embeddings else "language_model.lm_head.weight"
    difference = largest = torch.zeros((), dtype=WIDE)
    for rows in chunks(Rows(name=name, start=0, stop=source.shapes[name][0]), source.shapes):
        ours, theirs = (F.linear(hidden, weights.rows(rows, WIDE)) for weights, hidden in states)
        # maximum passes NaN on
        difference = torch.maximum(difference, (ours - theirs).abs().max())
        largest = torch.maximum(largest, ours.abs().max())
    return float(difference), float(largest)


def _hidden_states(weights: ModelWeights) -> Tensor:
    """Of the prompt, (T, D): text, the picture's tokens, text."""
    config = weights.config
    model = _streamed(weights)
    picture = model.encode_tiles(_picture(_SIDE * config.shuffle_factor * config.vision.patch_size))[0]  # (I, D)
    ids = [(7919 * number + 1) % config.text.vocab_size for number in range(2 * _TEXT_TOKENS)]
    text = torch.cat([weights.rows(Rows(name=_EMBEDDING, start=each, stop=each + 1), WIDE) for each in ids])
    embeds = torch.cat((text[:_TEXT_TOKENS], picture, text[_TEXT_TOKENS:]))
    offsets = [0, len(embeds)]
    return model.hidden_states(embeds, offsets, PackedAttention(offsets))


def _streamed(weights: ModelWeights) -> InternVL:
    """A model without vocabulary, the adapter beside it, whose layers are read when their turn comes."""
    config = weights.config
    short = replace(
        config,
        vision=replace(config.vision, num_layers=1),
        text=replace(config.text, num_layers=1, vocab_size=1),
        image_token_id=None,
    )
    with Uninitialised(WIDE):
        model = InternVL(short).eval()
    model.config = config
    vision, language = model.vision_model, model.language_model
    del vision.layers, language.layers, language.embed_tokens, language.lm_head
    _fill(model, "", weights)
    vision.layers = _Layers(  # type: ignore[assignment]
        lambda: VisionLayer(config.vision), config.vision.num_layers, "vision_model.layers.", weights
    )
    language.layers = _Layers(  # type: ignore[assignment]
        lambda: DecoderLayer(config.text), config.text.num_layers, "language_model.layers.", weights
    )
    return model


class _Layers:
    """Layers that are read one after another; of the one before, nothing is left when the next has been read."""

    def __init__(self, make: Callable[[], nn.Module], count: int, prefix: str, weights: ModelWeights) -> None:
        self.make, self.count, self.prefix, self.weights = make, count, prefix, weights

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[nn.Module]:
        return self[:]

    def __getitem__(self, some: slice) -> Iterator[nn.Module]:
        for idx in range(self.count)[some]:
            with Uninitialised(WIDE):
                layer = self.make().eval()
            _fill(layer, f"{self.prefix}{idx}.", self.weights)
            yield layer


class _Beside(nn.Module):
    """A linear map and an adapter beside it: base(x) + scale * B(A(x)); under DoRA, each output by its gain."""

    def __init__(self, base: nn.Linear, weight: LowRank, where: str) -> None:
        super().__init__()
        self.base = base
        self.a, self.b, self.scale = weight.a.to(WIDE), weight.b.to(WIDE), weight.scale
        self.gain = None if weight.magnitude is None else gain_of(base.weight, weight, where)

    def forward(self, x: Tensor) -> Tensor:
        out = F.linear(x, self.base.weight) + self.scale * F.linear(F.linear(x, self.a), self.b)
        if self.gain is not None:
            out = out * self.gain
        return out if self.base.bias is None else out + self.base.bias


def _fill(module: nn.Module, prefix: str, weights: ModelWeights) -> None:
    """Read a module's numbers, and put the adapter beside those of its linear maps that it changes."""
    for name, parameter in module.named_parameters():
        parameter.data = weights.unmerged(f"{prefix}{name}", WIDE)
    for path, part in list(module.named_modules()):
        weight = weights.lora.get(f"{prefix}{path}")
        if weight is not None:
            assert isinstance(part, nn.Linear), f"{prefix}{path} is adapted, and no linear map"
            module.set_submodule(path, _Beside(part, weight, f"{prefix}{path}"))


def _picture(side: int) -> Tensor:
    """(1, 3, side, side): waves, of the size that normalised pixels have."""
    steps = torch.arange(side, dtype=WIDE)
    rows, columns = torch.meshgrid(steps, steps, indexing="ij")
    return torch.stack([2 * torch.sin(rows / (3 + c) + columns * (c + 1) / 7) for c in range(3)])[None]


def _coarsest_rounding(source: ModelWeights, written: ModelWeights) -> float:
    """Epsilon of the coarsest type that a number was rounded to; 0 where none was."""
    coarsest = 0.0
    for name in source.shapes:
        own, stored = source.stored_as(name), written.stored_as(name)
        if source.changes(name) or torch.promote_types(own, stored) != stored:
            coarsest = max(coarsest, torch.finfo(stored).eps)
    return coarsest
