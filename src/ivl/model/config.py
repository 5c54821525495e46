"""What a model is: shapes and choices of its three parts, as frozen dataclasses.

In: nothing but numbers (`config_io.py` reads them from config.json files, `family.py` lists the published models).
Out: `InternVLConfig`, all that building a model and preparing its inputs need.

The official files say "patch" for what is called a tile here (`max_dynamic_patch` is `max_tiles`).
"""

from dataclasses import dataclass
from typing import Literal

from ivl.errors import ConfigError

Decoder = Literal["internlm2", "qwen2", "qwen3", "llama", "phi3"]
Template = Literal["internlm2-chat", "Hermes-2", "phi3-chat", "internvl2_5"]
ConnectorKind = Literal["mlp", "linear", "qformer"]
"""What leads from the vision model to the language model: InternVL2's own, LLaVA's first, or BLIP-2's."""


@dataclass(frozen=True, kw_only=True)
class VisionConfig:
    """InternViT: 300M (layer_norm, qkv bias) and 6B (rms_norm, q/k norm, no qkv bias)."""

    hidden_size: int
    num_layers: int
    num_heads: int
    intermediate_size: int
    image_size: int = 448
    """Pixels a side of a tile."""
    patch_size: int = 14
    norm_type: Literal["layer_norm", "rms_norm"] = "layer_norm"
    norm_eps: float = 1e-6
    qkv_bias: bool = True
    qk_norm: bool = False
    """RMSNorm of q and k over the whole width, before the split into heads."""

    def __post_init__(self) -> None:
        _positive(self, "hidden_size", "num_layers", "num_heads", "intermediate_size", "image_size", "patch_size")
        _divides(self.hidden_size, self.num_heads, "vision hidden_size", "num_attention_heads")
        _divides(self.image_size, self.patch_size, "image_size", "patch_size")

    @property
    def patches_per_side(self) -> int:
        return self.image_size // self.patch_size


@dataclass(frozen=True, kw_only=True)
class RopeConfig:
    """Rotary position embedding: plain, dynamic NTK (InternLM2), or Phi-3's long form ("su", "longrope")."""

    theta: float = 10000.0
    kind: Literal["default", "dynamic", "long"] = "default"
    factor: float = 1.0
    """Dynamic NTK: how far the context is stretched."""
    original_max_positions: int = 0
    """Long: the length up to which the short factors hold."""
    short_factors: tuple[float, ...] = ()
    long_factors: tuple[float, ...] = ()


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """The decoder."""

    decoder: Decoder
    hidden_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    intermediate_size: int
    vocab_size: int
    max_positions: int
    """Context length the model was trained for."""
    norm_eps: float = 1e-6
    qkv_bias: bool = False
    o_bias: bool = False
    qk_norm: bool = False
    """RMSNorm of q and k over each head (Qwen3)."""
    tie_embeddings: bool = False
    """The head is the embedding table itself."""
    rope: RopeConfig = RopeConfig()

    def __post_init__(self) -> None:
        _positive(
            self, "hidden_size", "num_layers", "num_heads", "num_kv_heads", "head_dim", "intermediate_size",
            "vocab_size", "max_positions",
        )  # fmt: skip
        _divides(self.num_heads, self.num_kv_heads, "num_attention_heads", "num_key_value_heads")

    @property
    def kv_numbers_per_token(self) -> int:
        """Numbers that the keys and values of one cached token hold, over all layers."""
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim


@dataclass(frozen=True, kw_only=True)
class QFormerConfig:
    """A Q-Former; where nothing is said, the sizes of BLIP-2's (Li et al. 2023, arXiv 2301.12597)."""

    num_queries: int = 32
    """Learned queries, and so image tokens of a tile."""
    hidden_size: int = 768
    num_layers: int = 12
    num_heads: int = 12
    intermediate_size: int = 3072
    cross_every: int = 2
    """The first layer looks at the patches, and then every so many."""
    norm_eps: float = 1e-12

    def __post_init__(self) -> None:
        sizes = ("num_queries", "hidden_size", "num_layers", "num_heads", "intermediate_size", "cross_every")
        _positive(self, *sizes)
        _divides(self.hidden_size, self.num_heads, "Q-Former hidden_size", "num_heads")

    def has_cross(self, layer_idx: int) -> bool:
        """Whether a layer looks at the patches."""
        return layer_idx % self.cross_every == 0


@dataclass(frozen=True, kw_only=True)
class InternVLConfig:
    """A whole model, and how pictures and prompts are prepared for it."""

    vision: VisionConfig
    text: TextConfig
    downsample_ratio: float = 0.5
    """Pixel shuffle: 0.5 turns 2x2 patches into one image token. A Q-Former reads patches as they are."""
    ps_version: Literal["v1", "v2"] = "v2"
    select_layer: int = -1
    """Which of [embeddings, after layer 1, ...] the connector reads."""
    image_token_id: int | None = None
    """Id of `<IMG_CONTEXT>`, whose positions take the image features. Official folders state it only in their
    tokenizer files (tokenizer_config.json, added_tokens.json, tokenizer.json): `load_config` reads it there."""
    template: Template = "internlm2-chat"
    image_size: int = 448
    """Pixels a side of a tile (`force_image_size`)."""
    dynamic_image_size: bool = True
    """Cut pictures into tiles; False: one tile each."""
    min_tiles: int = 1
    max_tiles: int = 12
    use_thumbnail: bool = True
    """Append the whole picture as one more tile where there is more than one."""
    connector: ConnectorKind = "mlp"
    """The official models have an MLP; only this package reads folders with another kind."""
    qformer: QFormerConfig | None = None
    """Where the connector is a Q-Former, its sizes."""

    def __post_init__(self) -> None:
        _positive(self, "image_size", "min_tiles", "max_tiles")
        if (self.connector == "qformer") != (self.qformer is not None):
            raise ConfigError(f"connector={self.connector!r} with qformer={self.qformer}: sizes go with a Q-Former")
        if self.min_tiles > self.max_tiles:
            raise ConfigError(f"min_dynamic_patch={self.min_tiles} is above max_dynamic_patch={self.max_tiles}")
        _divides(self.image_size, self.vision.patch_size, "force_image_size", "patch_size")
        _divides(
            self.image_size // self.vision.patch_size,
            self.shuffle_factor,
            "patches a side",
            "1 / downsample_ratio",
        )

    @property
    def shuffle_factor(self) -> int:
        """Patches a side that the connector reads as one: 2 for the official ratio of 0.5, 1 for a Q-Former."""
        if self.connector == "qformer":
            return 1
        factor = round(1 / self.downsample_ratio) if self.downsample_ratio > 0 else 0
        if factor < 1 or factor * self.downsample_ratio != 1:
            raise ConfigError(f"downsample_ratio={self.downsample_ratio} is not 1 over a whole number")
        return factor

    @property
    def tokens_per_tile(self) -> int:
        """Image tokens of one tile, I: 256 for the official models; of a Q-Former as many as it has queries."""
        return self.connector_rows if self.qformer is None else self.qformer.num_queries

    @property
    def connector_rows(self) -> int:
        """Rows that the connector reads of one tile: its image tokens, but a Q-Former reads every patch."""
        side = self.image_size // self.vision.patch_size // self.shuffle_factor
        return side * side


def _positive(config: object, *names: str) -> None:
    for name in names:
        value = getattr(config, name)
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ConfigError(f"{name}={value!r} is not allowed: a whole number of at least 1")


def _divides(whole: int, part: int, whole_name: str, part_name: str) -> None:
    if whole % part:
        raise ConfigError(f"{whole_name}={whole} is not a multiple of {part_name}={part}")
