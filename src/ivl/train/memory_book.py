"""Adds up the memory of a run on its fullest device, and finds how many layers to checkpoint.

In: a model's configuration, a recipe, the largest micro batch, the number of ranks, the memory that is free. Out: a
`MemoryEstimate`: bytes by kind and at the peak. Reads no weights and asks no device; `memory.py` does.

The model of a run: frozen weights in the arithmetic's type (bfloat16 on a GPU, float32 on a CPU), or in 4 bits; what
trains, its gradients and its optimizer's state in float32, computed under autocast, which makes a typed copy of each
matrix that trains; a frozen vision model without a graph, 32 tiles at a time; the loss in chunks of 1,024 rows.
DistributedDataParallel keeps all of that on each rank, and a second copy of the gradients to send; FSDP2 cuts weights,
gradients and states, but gathers two layers at a time, and what lies outside the layers for the whole step.

Not all of it lives at once. The peak is the largest of: the vision model at work; the end of the forward, with all
activations; the end of the backward, with all gradients. Constants that only a measurement can give stand at the head
of this file and of `activations.py`.
"""

import math
from dataclasses import dataclass, replace

from ivl.model.adapter_io import linear_shapes
from ivl.model.config import InternVLConfig
from ivl.model.names import parameter_shapes
from ivl.train.activations import Activations, Sizes
from ivl.train.config import TrainConfig
from ivl.train.forward import TILES_AT_ONCE
from ivl.train.loss import ROWS
from ivl.train.trainable import find_trainable

FILL = 0.9
"""Share of the free memory that a run may fill: the rest is lost between blocks of torch's allocator."""
LIBRARIES = 256 * 2**20
"""Bytes that cuBLAS and the attention kernels take for themselves on a GPU."""
NF4_BYTES = 0.516
"""Of a weight in 4 bits: half a byte, one scale of 8 bits for 64 weights, one of 32 bits for 256 scales."""
DDP_BUCKETS = 1.0
"""Copies of the gradients that DistributedDataParallel keeps to send them."""
STATE_BYTES = {"AdamW": 8.0, "AdamW8bit": 2.04, "Lion": 4.0, "Muon": 4.0}
"""Of the optimizer for each trained number."""
LOGIT_BYTES = 8
"""For each logit of a chunk beside the logit itself: its softmax in float32, and once more on the way there."""


@dataclass(frozen=True, kw_only=True)
class MemoryEstimate:
    """Bytes on the fullest device."""

    weights: int
    """Frozen ones."""
    trained: int
    """Adapters, and weights that train, in float32, with autocast's copies."""
    gradients: int
    """With what is kept to send them."""
    optimizer: int
    activations: int
    """Kept by the decoder's layers and around them, at the end of the forward."""
    loss: int
    """One chunk of logits and what is made of them."""
    vision: int
    """Pixels, features, and what trained vision layers and the connector keep."""
    workspace: int
    """What lives for a moment: a layer's gradients, a layer that is recomputed, the libraries' own."""
    gathered: int
    """Weights that FSDP2 has put together."""
    total: int
    """At the peak: less than the sum, for not all lives at once."""
    num_checkpointed: int
    num_layers: int
    strategy: str
    """none for one rank, ddp or fsdp2."""
    available: int | None
    """Free bytes of the device; None: not known."""

    @property
    def fits(self) -> bool:
        """Whether it fits into FILL of what is free; True where that is not known."""
        return self.available is None or self.total <= FILL * self.available


@dataclass(frozen=True, kw_only=True)
class Load:
    """The largest micro batch, and who shares the work."""

    num_tokens: int
    num_tiles: int
    world_size: int = 1
    device: str = "cuda"
    """Its kind: cuda or cpu."""


def fit(config: InternVLConfig, train: TrainConfig, load: Load, available: int | None) -> MemoryEstimate:
    """The estimate with the first strategy and the fewest checkpointed layers that fit; the last where none does.

    strategy=auto is ddp where that fits, else fsdp2. Raises SettingsError where the recipe does not fit the model.
    """
    chosen = None
    for strategy in _strategies(train, load.world_size):
        book = _Book(config, train, load, strategy)
        for count in _counts(train.activation_checkpointing, config.text.num_layers):
            chosen = replace(book.at(count), available=available)
            if chosen.fits:
                return chosen
    assert chosen is not None, "there is always something to try"
    return chosen


def dtype_name(train: TrainConfig, device: str) -> str:
    """The arithmetic's type on a device of this kind."""
    return train.dtype if train.dtype != "auto" else "bfloat16" if device == "cuda" else "float32"


def trained_numbers(config: InternVLConfig, train: TrainConfig) -> dict[str, tuple[int, int]]:
    """Part of the model -> numbers of its adapters, numbers of its own that train. Exactly those PEFT makes."""
    found, shapes, own = find_trainable(config, train), linear_shapes(config), parameter_shapes(config)
    numbers = {}
    for part in ("vision_model", "connector", "language_model"):
        adapters = sum(
            train.r * sum(shapes[path]) + shapes[path][0] * train.use_dora
            for path in found.adapted
            if path.startswith(f"{part}.")
        )
        full = sum(math.prod(own[name]) for name in found.full if name.startswith(f"{part}."))
        numbers[part] = adapters, full
    return numbers


def _strategies(train: TrainConfig, world_size: int) -> tuple[str, ...]:
    """Those to try; weights in 4 bits cannot be cut in pieces."""
    if world_size == 1:
        return ("none",)
    if train.strategy != "auto":
        return (train.strategy,)
    return ("ddp",) if train.quantization else ("ddp", "fsdp2")


def _counts(setting: str | int, num_layers: int) -> range:
    """Numbers of layers to try."""
    if setting == "auto":
        return range(num_layers + 1)
    count = {"none": 0, "all": num_layers}.get(str(setting), setting)
    count = min(int(count), num_layers)
    return range(count, count + 1)


class _Book:
    """Adds up what one rank holds."""

    def __init__(self, config: InternVLConfig, train: TrainConfig, load: Load, strategy: str) -> None:
        self.config, self.train, self.load, self.strategy = config, train, load, strategy
        self.sizes = Sizes(typed=2 if dtype_name(train, load.device) == "bfloat16" else 4)
        self.kept = Activations(config, train, self.sizes)
        self.shapes = parameter_shapes(config)
        self.full = self.kept.full
        numbers = trained_numbers(config, train).values()
        self.num_adapters = sum(adapters for adapters, _ in numbers)
        self.num_trained = self.num_adapters + sum(full for _, full in numbers)
        self.shards = load.world_size if strategy in ("fsdp2", "zero3") else 1
        layers = config.text.num_layers
        self.layer_bytes = [self.kept.decoder_layer(idx, load.num_tokens) for idx in range(layers)]
        self.persistent, self.gathered, self.dequantized = self._persistent(), self._gathered(), self._dequantized()

    def at(self, count: int) -> MemoryEstimate:
        """With the first `count` layers checkpointed."""
        kept, tokens = self.kept, self.load.num_tokens
        activations = kept.around_decoder(tokens, tokens) + sum(self.layer_bytes[count:])
        activations += count * kept.checkpointed_layer(tokens)
        vision = kept.pixels(self.load.num_tiles) + kept.vision(self.load.num_tiles, checkpointed=count > 0)
        layers = self.config.text.num_layers
        working = kept.backward_of_a_layer(tokens) + self.dequantized + LIBRARIES * (self.load.device == "cuda")
        again = max(self.layer_bytes[:count], default=0)
        gradients, weights, trained, optimizer = self.persistent
        gathered, loss = self.gathered, self._loss()
        standing = weights + trained + optimizer + gathered + vision
        # Gradients of a first micro batch come as activations go, but for the head's.
        early = gradients if self._gradients_stand() else 4 * self._head_numbers() * self._head_trains() // self.shards
        at_work = standing + kept.frozen_vision(min(self.load.num_tiles, TILES_AT_ONCE))
        turned = standing + early + activations + max(loss, working + again * (count == layers))
        done = standing + gradients + working + again
        return MemoryEstimate(
            weights=weights,
            trained=trained,
            gradients=gradients,
            optimizer=optimizer,
            activations=activations,
            loss=loss,
            vision=vision,
            workspace=working + again,
            gathered=gathered,
            total=max(at_work, turned, done),
            num_checkpointed=count,
            num_layers=layers,
            strategy=self.strategy,
            available=None,
        )

    def _persistent(self) -> tuple[int, int, int, int]:
        """Gradients, frozen weights, trained ones, optimizer state."""
        frozen = 0.0
        for name, shape in self.shapes.items():
            if name not in self.full:
                frozen += math.prod(shape) * (NF4_BYTES if self._is_nf4(name, shape) else self.sizes.typed)
        trained = 4 * self.num_trained + self.sizes.typed * self.sizes.casts * self._trained_matrices()
        gradients = 4 * self.num_trained * (1 + DDP_BUCKETS * (self.strategy == "ddp"))
        states = STATE_BYTES[self.train.optim_type] * self.num_trained
        if self.train.optim_type == "Muon":
            states += 4 * (self.num_trained - self._muon_numbers())
        state_shards = self.load.world_size if self.strategy == "zero2" else self.shards
        return (
            round(gradients / state_shards),
            round(frozen / self.shards),
            round(trained / self.shards),
            round(states / state_shards),
        )

    def _gradients_stand(self) -> bool:
        """Whether all gradients have their memory while the activations have theirs."""
        return self.train.accumulative_counts > 1 or self.strategy == "ddp"

    def _is_nf4(self, name: str, shape: tuple[int, ...]) -> bool:
        is_map = name.startswith("language_model.layers.") and len(shape) == 2
        return self.train.quantization == "nf4" and is_map

    def _dequantized(self) -> int:
        """The largest 4-bit weight, put into numbers for its product."""
        numbers = [math.prod(shape) for name, shape in self.shapes.items() if self._is_nf4(name, shape)]
        return self.sizes.typed * max(numbers, default=0)

    def _trained_matrices(self) -> int:
        """Numbers of what autocast casts: adapters and weights of linear maps; not of embedding tables."""
        tables = ("embed_tokens", "position_embedding")
        full = sum(
            math.prod(self.shapes[name])
            for name in self.full
            if len(self.shapes[name]) > 1 and not any(table in name for table in tables)
        )
        return full + self.num_adapters

    def _muon_numbers(self) -> int:
        return self._trained_matrices() - self._head_numbers() * self._head_trains()

    def _head_numbers(self) -> int:
        return self.config.text.vocab_size * self.config.text.hidden_size

    def _head_trains(self) -> bool:
        return self.train.language_model == "full"

    def _loss(self) -> int:
        """A chunk of logits; and the head's gradient, made in the forward, where it trains."""
        rows = min(ROWS, self.load.num_tokens)
        typed = self.sizes.typed * self.sizes.casts
        chunk = rows * self.config.text.vocab_size * (LOGIT_BYTES + typed)
        return chunk + self._head_trains() * self._head_numbers() * (8 + 2 * typed)

    def _gathered(self) -> int:
        """FSDP2: two layers, one layer's gradients, and what stands outside the layers."""
        if self.shards == 1:
            return 0
        layer = outside = 0.0
        for name, shape in self.shapes.items():
            size = math.prod(shape) * (4 if name in self.full else self.sizes.typed)
            if name.startswith("language_model.layers.0."):
                layer += size + 4 * math.prod(shape) * (name in self.full)
            elif ".layers." not in name:
                outside += size
        return round(2 * layer + outside)
