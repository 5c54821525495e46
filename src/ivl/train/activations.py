"""What autograd keeps between forward and backward, in bytes, from shapes alone.

In: a model's configuration and a recipe. Out: bytes for each token of each decoder layer, each tile, and what lives
only for a moment. Knows no device. `memory.py` adds it up; tests count what torch really keeps.

Under autocast two sizes occur: `typed` is the arithmetic's (2 in bfloat16), `wide` is float32, in which autocast runs
norms and keeps what trains. In float32 both are 4. One decoder layer keeps, for each token (D width, F inner width,
H/K heads of Dh, r rank, M = 1 byte of a dropout's mask):

    input_norm, post_norm       their inputs, cast                              2 * wide * D
    q, k, v, o, gate, up, down  frozen: nothing, for only the weight is needed
                                full: a typed copy of a wide input each         typed * in
                                LoRA: mask, dropped input, A's output           M * in + typed * in + typed * r
    q_norm, k_norm              their inputs, cast                              wide * (H + K) * Dh
    attention                   q, k, v, output; a log-sum a head               typed * (2 H + 2 K) * Dh + 4 * H
    silu(gate) * up             gate, silu(gate), up                            typed * 3 * F
    DoRA                        base and adapter's output                       typed * 2 * out
                                for each layer: an identity matrix, and the
                                weight, cast                                    typed * (in * in + in * out)

A vision layer keeps the like, with GELU's input and output and the two scaled branches in place of the gate's three.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from ivl.model.adapter_io import linear_shapes
from ivl.model.config import InternVLConfig
from ivl.model.connector_table import connector_rows
from ivl.train.config import TuneSettings
from ivl.train.trainable import find_trainable

MASK = 1
"""Bytes of an input's dropout mask on a GPU."""
NORMED = 0
"""Copies of its output, before the weight, that a norm keeps where its weight trains: none by the fused kernel of a
GPU, one on a CPU."""
BACKWARD_PER_INNER = 12
"""Bytes for each token and inner width that gradients of one layer take while it is worked on, in 16 bits: of the gated
product and its factors, and PEFT's float32 input of down_proj."""
VISION_PER_WIDTH, VISION_PER_INNER = 12, 4
"""Bytes for each patch and (inner) width that a frozen vision layer takes while it runs, in 16 bits."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Bytes of a number."""

    typed: int
    wide: int = 4

    @property
    def casts(self) -> bool:
        return self.typed != self.wide


class Activations:
    """Bytes that one model keeps when it is trained as the recipe says."""

    def __init__(self, config: InternVLConfig, tune: TuneSettings, sizes: Sizes) -> None:
        found = find_trainable(config, tune)
        self.config, self.tune, self.sizes = config, tune, sizes
        self.adapted, self.full = set(found.adapted), set(found.full)
        self.shapes = linear_shapes(config)

    @property
    def residual(self) -> int:
        """Bytes of a number of the residual stream: float32 where the embeddings are."""
        return self.sizes.wide if self.tune.language_model == "full" else self.sizes.typed

    def decoder_layer(self, idx: int, num_tokens: int) -> int:
        """Kept by one decoder layer that is not checkpointed, its own input aside."""
        text, sizes = self.config.text, self.sizes
        layer = f"language_model.layers.{idx}"
        heads, keys = text.num_heads * text.head_dim, text.num_kv_heads * text.head_dim
        is_full = f"{layer}.input_norm.weight" in self.full
        per_token = 2 * sizes.wide * text.hidden_size * (1 + NORMED * is_full) + 8
        per_token += self._inputs([f"{layer}.attention.{name}_proj" for name in "qkv"], is_wide=True)
        per_token += sizes.typed * (2 * heads + 2 * keys) + 4 * text.num_heads
        per_token += self._inputs([f"{layer}.attention.o_proj"], is_kept=True)
        per_token += self._inputs([f"{layer}.mlp.{name}_proj" for name in ("gate", "up")], is_wide=True)
        per_token += sizes.typed * 3 * text.intermediate_size
        per_token += self._inputs([f"{layer}.mlp.down_proj"])
        if text.qk_norm:
            per_token += sizes.wide * (heads + keys) * (1 + NORMED * is_full)
        return per_token * num_tokens + self._dora(layer, num_tokens)

    def checkpointed_layer(self, num_tokens: int) -> int:
        """Kept by a checkpointed decoder layer: its input."""
        return self.residual * self.config.text.hidden_size * num_tokens

    def around_decoder(self, num_tokens: int, num_labelled: int) -> int:
        """Embeddings, the final norm's input and output, the residual stream's gradient; labelled rows and theirs."""
        width = self.config.text.hidden_size
        per_token = width * (2 * self.residual + 2 * self.sizes.wide + self.residual)
        return per_token * num_tokens + 2 * self.sizes.wide * width * num_labelled

    def backward_of_a_layer(self, num_tokens: int) -> int:
        """Gradients inside the layer at hand."""
        text = self.config.text
        return BACKWARD_PER_INNER * self.sizes.typed // 2 * (text.intermediate_size + text.hidden_size) * num_tokens

    def vision(self, num_tiles: int, checkpointed: bool) -> int:
        """Kept by the vision layers that train, and by the connector where a gradient reaches it."""
        config, vision, sizes = self.config, self.config.vision, self.sizes
        rows = 1 + (config.image_size // vision.patch_size) ** 2
        trained = sorted({path.split(".")[2] for path in self.adapted | self.full if "vision_model.layers." in path})
        kept = 0
        for idx in trained:
            each = self._vision_layer(f"vision_model.layers.{idx}", rows)
            kept += sizes.wide * vision.hidden_size * rows if checkpointed else each
        if trained and checkpointed:
            kept += max(self._vision_layer(f"vision_model.layers.{idx}", rows) for idx in trained)
        if trained or any(path.startswith("connector") for path in self.adapted | self.full):
            shuffled = vision.hidden_size * config.shuffle_factor**2
            per_row = sizes.wide * shuffled + 2 * sizes.typed * config.text.hidden_size
            if config.connector == "mlp":
                per_row += self._inputs(["connector.fc1"], is_wide=True) + self._inputs(["connector.fc2"])
            else:
                kept += sum(self._inputs([path]) * rows for path, rows in connector_rows(config).items())
            kept += per_row * config.connector_rows
        return kept * num_tiles

    def frozen_vision(self, num_tiles: int) -> int:
        """Taken by one frozen vision layer while it runs."""
        vision = self.config.vision
        rows = 1 + (self.config.image_size // vision.patch_size) ** 2
        per_row = VISION_PER_WIDTH * vision.hidden_size + VISION_PER_INNER * vision.intermediate_size
        return per_row * self.sizes.typed // 2 * rows * num_tiles

    def pixels(self, num_tiles: int) -> int:
        """Tiles as they come (float32) and cast, and their features before and after the connector."""
        config = self.config
        width = config.vision.hidden_size * config.shuffle_factor**2 + config.text.hidden_size
        per_tile = 3 * config.image_size**2 * (4 + self.sizes.typed * self.sizes.casts)
        return (per_tile + config.tokens_per_tile * width * self.sizes.typed) * num_tiles

    def _vision_layer(self, layer: str, rows: int) -> int:
        """Kept by one trained vision layer for a tile."""
        vision, sizes = self.config.vision, self.sizes
        width, inner = vision.hidden_size, vision.intermediate_size
        per_row = 2 * sizes.wide * width + 16
        per_row += self._inputs([f"{layer}.attention.{name}_proj" for name in "qkv"], is_wide=True)
        per_row += 4 * sizes.typed * width + 4 * vision.num_heads
        per_row += self._inputs([f"{layer}.attention.o_proj"], is_kept=True)
        per_row += self._inputs([f"{layer}.mlp.fc1"], is_wide=True) + self._inputs([f"{layer}.mlp.fc2"])
        per_row += sizes.typed * inner
        if f"{layer}.scale1" in self.full:
            per_row += 2 * sizes.wide * width
        if vision.qk_norm:
            per_row += 2 * sizes.wide * width
        return per_row * rows + self._dora(layer, rows)

    def _inputs(self, paths: Iterable[str], *, is_wide: bool = False, is_kept: bool = False) -> int:
        """Kept for each row of one input that these maps share.

        is_wide: it comes out of a norm, so under autocast each map makes a typed copy of its own.
        is_kept: something else keeps it already.
        """
        total, shares = 0, False
        for path in paths:
            width, trains = self.shapes[path][1], f"{path}.weight" in self.full
            copies = self.sizes.casts and (is_wide or path in self.adapted)
            if path in self.adapted:
                dropout = self.tune.lora_dropout > 0
                total += self.sizes.typed * self.tune.r + MASK * width * dropout
                copies = copies or dropout
            if (trains or path in self.adapted) and copies:
                total += self.sizes.typed * width
            elif trains or path in self.adapted:
                shares = True
        return total + self.sizes.typed * width * (shares and not is_kept)

    def _dora(self, layer: str, rows: int) -> int:
        total = 0
        if self.tune.use_dora:
            for path in self.adapted:
                if path.startswith(f"{layer}."):
                    out, width = self.shapes[path]
                    total += self.sizes.typed * (2 * out * rows + width * width + width * out * self.sizes.casts)
        return total
