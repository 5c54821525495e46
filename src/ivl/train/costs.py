"""What a training step computes: floating-point operations as a pure function of shapes, of what trains, and of counts.

In: a model's configuration, a recipe, numbers of tokens and tiles. Out: operations, forward, backward and recomputed.
Knows no clock, no device and no weights.

The formula. A linear map of (out, in) costs 2 out in for each row it is given, forward. Backward, the gradient of its
input costs as much again where anything below it trains, and the gradient of its weight once more where it trains
itself: a frozen map above trained ones costs 2x its forward in all, a trained one 3x, a frozen one below all that
trains 1x. An adapter of rank r adds 2 r (in + out) forward, the same for the gradients of its two matrices, and
2 r out, or 2 r (in + out) where its input needs a gradient, for what flows through it. Attention costs 4 L^2 H Dh for
scores and values of a sequence of L tokens, half of that where it is causal; its backward twice as much, if any of
queries, keys and values has a gradient. The head meets only labelled tokens.

Left out, as below a hundredth: norms, activations, rope, biases, softmax, the optimizer, what DoRA does to weights
alone. Recomputed layers are counted apart: MFU is without them (PaLM, Chowdhery et al. 2022, arXiv 2204.02311).

Shapes: L tokens of a sample, P patches of a tile, I image tokens of a tile, D width, V vocabulary, r rank.
"""

from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from ivl.data.example import PackedBatch
from ivl.model.adapter_io import linear_shapes
from ivl.model.config import InternVLConfig
from ivl.model.connector_table import connector_rows, connector_scores
from ivl.model.names import parameter_shapes
from ivl.train.config import TuneSettings
from ivl.train.trainable import find_trainable


@dataclass(frozen=True, kw_only=True)
class Flops:
    """Operations of some work."""

    forward: float = 0.0
    backward: float = 0.0
    recomputed: float = 0.0
    """Forward again, in the backward, where activations were not kept."""

    @property
    def model(self) -> float:
        """What MFU counts: forward and backward, nothing twice."""
        return self.forward + self.backward

    @property
    def total(self) -> float:
        """What the device does."""
        return self.model + self.recomputed

    def __add__(self, other: "Flops") -> "Flops":
        return Flops(
            forward=self.forward + other.forward,
            backward=self.backward + other.backward,
            recomputed=self.recomputed + other.recomputed,
        )

    def __mul__(self, count: float) -> "Flops":
        return Flops(forward=self.forward * count, backward=self.backward * count, recomputed=self.recomputed * count)


@dataclass(frozen=True, kw_only=True)
class StepCosts:
    """What one of each costs; a step is their sum."""

    per_token: Flops
    """Through the decoder's layers, but for attention."""
    per_pair: Flops
    """For each of the L^2 of every sample: its attention."""
    per_labelled: Flops
    """Through the head."""
    per_tile: Flops
    """Vision model and connector."""

    def flops(self, *, num_tokens: int, sum_squares: int, num_labelled: int, num_tiles: int) -> Flops:
        """Of a step: its tokens, the sum of L^2 over its samples, its labelled tokens, its tiles."""
        return (
            self.per_token * num_tokens
            + self.per_pair * sum_squares
            + self.per_labelled * num_labelled
            + self.per_tile * num_tiles
        )


def step_costs(config: InternVLConfig, tune: TuneSettings, num_checkpointed: int = 0) -> StepCosts:
    """The costs of training a model of this shape as the recipe says.

    num_checkpointed: decoder layers, the first ones, that are computed twice; trained vision layers are too if it is
    not 0. Raises SettingsError as `find_trainable` does.
    """
    walk = _Walk(config, tune)
    per_tile, sees_gradient = walk.tile(recompute=num_checkpointed > 0)
    per_token, per_pair, needs = walk.decoder(sees_gradient, num_checkpointed)
    return StepCosts(per_token=per_token, per_pair=per_pair, per_labelled=walk.head(needs), per_tile=per_tile)


def run_flops(config: InternVLConfig, tune: TuneSettings, batch: PackedBatch) -> float:
    """Of one micro batch, forward and backward: what MFU counts."""
    squares = sum((stop - start) ** 2 for start, stop in pairwise(batch.offsets))
    labelled = int((batch.targets >= 0).sum())
    costs = _costs(config, tune)
    return costs.flops(
        num_tokens=batch.num_tokens,
        sum_squares=squares if batch.num_samples else 0,
        num_labelled=labelled,
        num_tiles=batch.num_tiles,
    ).model


@lru_cache(maxsize=2)
def _costs(config: InternVLConfig, tune: TuneSettings) -> StepCosts:
    """Every step of a run asks for the same."""
    return step_costs(config, tune)


class _Walk:
    """Goes up through the model, knowing at each map whether a gradient has to get below it."""

    def __init__(self, config: InternVLConfig, tune: TuneSettings) -> None:
        found = find_trainable(config, tune)
        self.config, self.rank = config, tune.r
        self.adapted, self.full = set(found.adapted), set(found.full)
        self.shapes = linear_shapes(config)
        self.parameters = parameter_shapes(config)

    def trains(self, path: str) -> bool:
        """Whether a module's own numbers train: `connector.norm`."""
        return f"{path}.weight" in self.full

    def linear(self, path: str, needs: bool) -> tuple[Flops, bool]:
        """A map's cost for a row whose gradient is needed or not, and whether its output has one."""
        out, width = self.shapes[path]
        forward = 2 * out * width
        backward = forward * (needs + self.trains(path))
        if path in self.adapted:
            adapter = 2 * self.rank * (width + out)
            forward += adapter
            backward += adapter + 2 * self.rank * (out + width * needs)
        return Flops(forward=forward, backward=backward), needs or self.trains(path) or path in self.adapted

    def block(self, layer: str, norms: tuple[str, str], maps: tuple[tuple[str, ...], ...], needs: bool) -> "_Block":
        """A layer: norm, q k v, attention, o, norm, the MLP's first maps, its last one. Each sub-layer's input comes
        back by the residual sum."""
        (attention,), gated, last = maps
        mixed = needs
        total = Flops()
        normed = needs or self.trains(f"{layer}.{norms[0]}")
        for path in ("q_proj", "k_proj", "v_proj"):
            cost, has = self.linear(f"{layer}.{attention}.{path}", normed)
            total, mixed = total + cost, mixed or has
        attends = mixed
        cost, mixed = self.linear(f"{layer}.{attention}.o_proj", mixed)
        total, needs = total + cost, needs or mixed or f"{layer}.scale1" in self.full
        normed = inner = needs or self.trains(f"{layer}.{norms[1]}")
        for path in gated:
            cost, has = self.linear(f"{layer}.mlp.{path}", normed)
            total, inner = total + cost, inner or has
        for path in last:
            cost, inner = self.linear(f"{layer}.mlp.{path}", inner)
            total = total + cost
        return _Block(rows=total, attends=attends, needs=needs or inner or f"{layer}.scale2" in self.full)

    def tile(self, recompute: bool) -> tuple[Flops, bool]:
        """A tile up to the connector's end."""
        config, vision = self.config, self.config.vision
        patches = (config.image_size // vision.patch_size) ** 2
        depth = range(vision.num_layers + 1)[config.select_layer]
        cost, needs = self.linear("vision_model.patch_embedding", False)
        total = cost * patches
        needs = needs or "vision_model.position_embedding" in self.full
        scores = 4 * (1 + patches) ** 2 * vision.hidden_size
        maps = (("attention",), ("fc1",), ("fc2",))
        for idx in range(depth):
            block = self.block(f"vision_model.layers.{idx}", ("norm1", "norm2"), maps, needs)
            layer = block.rows * (1 + patches) + Flops(forward=scores, backward=2 * scores * block.attends)
            total = total + (_again(layer) if recompute and block.needs else layer)
            needs = block.needs
        needs = needs or self.trains("connector.norm") or "connector.queries" in self.full
        for path, rows in connector_rows(config).items():
            cost, needs = self.linear(path, needs)
            total = total + cost * rows
        scores = connector_scores(config)
        return total + Flops(forward=scores, backward=2 * scores * needs), needs

    def decoder(self, sees_gradient: bool, num_checkpointed: int) -> tuple[Flops, Flops, bool]:
        """A token and a pair of tokens through all layers."""
        text = self.config.text
        needs = sees_gradient or self.trains("language_model.embed_tokens")
        per_token = per_pair = Flops()
        scores = 2 * text.num_heads * text.head_dim
        maps = (("attention",), ("gate_proj", "up_proj"), ("down_proj",))
        for idx in range(text.num_layers):
            block = self.block(f"language_model.layers.{idx}", ("input_norm", "post_norm"), maps, needs)
            rows, pairs = block.rows, Flops(forward=scores, backward=2 * scores * block.attends)
            if idx < num_checkpointed and block.needs:
                rows, pairs = _again(rows), _again(pairs)
            per_token, per_pair, needs = per_token + rows, per_pair + pairs, block.needs
        return per_token, per_pair, needs or self.trains("language_model.norm")

    def head(self, needs: bool) -> Flops:
        """A labelled token through the vocabulary."""
        text = self.config.text
        name = "embed_tokens" if text.tie_embeddings else "lm_head"
        forward = 2 * text.hidden_size * text.vocab_size
        return Flops(forward=forward, backward=forward * (needs + self.trains(f"language_model.{name}")))


@dataclass(frozen=True, kw_only=True)
class _Block:
    rows: Flops
    """For each row, but for attention."""
    attends: bool
    """Whether attention has a backward."""
    needs: bool
    """Whether the output has a gradient."""


def _again(cost: Flops) -> Flops:
    return Flops(forward=cost.forward, backward=cost.backward, recomputed=cost.recomputed + cost.forward)
