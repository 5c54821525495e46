"""A parsed config.json -> InternVLConfig, from the official layout and from transformers'.

In: the JSON object. Out: what it says as `InternVLConfig`, with the words of this package ("patch" becomes
tile). Knows no files; `config_io.py` finds out what config.json leaves open. Never looks at `auto_map`.

A field that is absent has the default of the *official class*, never a released model's value: they differ
(ps_version v1, six tiles at most, no thumbnail, a biased InternLM2). Sources: configuration_internvl_chat.py,
configuration_intern_vit.py, configuration_internlm2.py of OpenGVLab/InternVL; transformers 4.37 and 5 for the
rest. Whatever changes the maths and is not implemented is refused, not ignored.
"""

from dataclasses import dataclass
from typing import Any, cast, get_args

from ivl.errors import ConfigError, nearest
from ivl.model.config import Decoder, InternVLConfig, RopeConfig, Template, TextConfig, VisionConfig
from ivl.model.config_fields import MAX_HEADS, MAX_LAYERS, MAX_POSITIONS, MAX_VOCABULARY, Fields
from ivl.model.connector_table import KEY, read_connector
from ivl.model.names import Layout

TEXT_CLASSES: dict[str, Decoder] = {
    "InternLM2ForCausalLM": "internlm2",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
    "LlamaForCausalLM": "llama",
    "Phi3ForCausalLM": "phi3",
}
"""Decoders by the name of their class, `llm_config.architectures[0]`."""
TEXT_MODEL_TYPES: tuple[Decoder, ...] = ("qwen2", "qwen3", "llama", "phi3")
"""Decoders that transformers has under these names; its InternLM2 is a Llama."""
_ROPE_KINDS = {"default": "default", "dynamic": "dynamic", "su": "long", "longrope": "long"}


@dataclass(frozen=True, kw_only=True)
class _TextDefaults:
    """What a language model's official class assumes where its config says nothing."""

    vocab_size: int
    hidden_size: int = 4096
    intermediate_size: int = 11008
    num_kv_heads: int | None = None
    head_dim: int | None = None
    max_positions: int = 2048
    norm_eps: float = 1e-6


_TEXT_DEFAULTS: dict[Decoder, _TextDefaults] = {
    "internlm2": _TextDefaults(vocab_size=103168),
    "llama": _TextDefaults(vocab_size=32000),
    "qwen2": _TextDefaults(vocab_size=151936, intermediate_size=22016, num_kv_heads=32, max_positions=32768),
    "qwen3": _TextDefaults(
        vocab_size=151936, intermediate_size=22016, num_kv_heads=32, head_dim=128, max_positions=32768
    ),
    "phi3": _TextDefaults(
        vocab_size=32064, hidden_size=3072, intermediate_size=8192, max_positions=4096, norm_eps=1e-5
    ),
}


def layout_of(raw: dict[str, Any], where: str) -> Layout:
    """Which layout a parsed config.json belongs to. Raises ConfigError."""
    if "llm_config" in raw:
        return "official"
    if raw.get("model_type") == "internvl" or "text_config" in raw:
        return "transformers"
    raise ConfigError(
        f"{where}: model_type={raw.get('model_type')!r} without llm_config or text_config is no InternVL: "
        "internvl_chat (official) and internvl (transformers) are read"
    )


def parse_config(raw: dict[str, Any], where: str, image_processor: dict[str, Any] | None = None) -> InternVLConfig:
    """The configuration that a parsed config.json states; `where` names the file in messages.

    `image_processor`: for the transformers layout, the fields of its image processor's file. Raises
    ConfigError.
    """
    for group in (raw, raw.get("llm_config"), raw.get("text_config")):
        if isinstance(group, dict) and group.get("quantization_config"):
            raise ConfigError(f"{where}: quantized weights (quantization_config) are not read: use the bf16 release")
    try:
        if layout_of(raw, where) == "official":
            return _from_official(Fields(raw, where))
        return _from_transformers(Fields(raw, where), Fields(image_processor or {}, where, "image processor: "))
    except ConfigError as fault:
        if str(fault).startswith(where):
            raise
        raise ConfigError(f"{where}: {fault}") from None


def _from_official(fields: Fields) -> InternVLConfig:
    vision = _official_vision(fields.group("vision_config"))
    llm = fields.group("llm_config")
    decoder = TEXT_CLASSES[_text_class(llm)]
    return InternVLConfig(
        vision=vision,
        text=_text(llm, decoder, tie=llm.flag("tie_word_embeddings", False)),
        downsample_ratio=fields.number("downsample_ratio", 0.5, high=1.0),
        ps_version=cast(Any, fields.choice("ps_version", ("v1", "v2"), "v1")),
        select_layer=_select_layer(fields, "select_layer", vision),
        image_token_id=_optional_id(fields, "image_token_id"),
        template=cast(Template, fields.choice("template", get_args(Template))),
        image_size=fields.integer("force_image_size", vision.image_size),
        dynamic_image_size=fields.flag("dynamic_image_size", False),
        min_tiles=fields.integer("min_dynamic_patch", 1),
        max_tiles=fields.integer("max_dynamic_patch", 6),
        use_thumbnail=fields.flag("use_thumbnail", False),
        **read_connector(fields),
    )


def _official_vision(fields: Fields) -> VisionConfig:
    fields.expect("hidden_act", "gelu", "only gelu is implemented")
    fields.expect("num_channels", 3, "pictures have 3 channels")
    return VisionConfig(
        hidden_size=fields.integer("hidden_size", 3200),
        num_layers=fields.integer("num_hidden_layers", 48, high=MAX_LAYERS),
        num_heads=fields.integer("num_attention_heads", 25, high=MAX_HEADS),
        intermediate_size=fields.integer("intermediate_size", 12800),
        image_size=fields.integer("image_size", 224),
        patch_size=fields.integer("patch_size", 14),
        norm_type=cast(Any, fields.choice("norm_type", ("layer_norm", "rms_norm"), "rms_norm")),
        norm_eps=fields.number("layer_norm_eps", 1e-6, high=1.0),
        qkv_bias=fields.flag("qkv_bias", False),
        qk_norm=fields.flag("qk_normalization", True),
    )


def _from_transformers(fields: Fields, processor: Fields) -> InternVLConfig:
    """Our own keys (`template`, `min_dynamic_patch`, ...) count where they are; without them, what InternVL3
    does.

    transformers always shuffles pixels as v2, cuts pictures into tiles (its processor passes crop_to_patches)
    and appends a thumbnail.
    """
    fields.expect("vision_feature_select_strategy", "default", "only 'default' (the class token is dropped)")
    fields.expect("projector_hidden_act", "gelu", "only gelu is implemented")
    fields.expect("ps_version", "v2", "transformers' model knows only v2")
    fields.expect(KEY, {}, "transformers' model knows only the MLP")
    vision = _transformers_vision(fields.group("vision_config"))
    text = fields.group("text_config")
    model_type = cast(Decoder, text.choice("model_type", TEXT_MODEL_TYPES, "qwen2"))
    decoder = cast(Decoder, fields.choice("llm_type", (model_type, "internlm2"), model_type))
    if decoder == "internlm2" and model_type != "llama":
        raise fields.error("llm_type", f"text_config.model_type {model_type!r} is no InternLM2")
    template = "phi3-chat" if decoder == "phi3" else "internvl2_5"
    return InternVLConfig(
        vision=vision,
        text=_text(text, decoder, tie=fields.flag("tie_word_embeddings", True), bias_name="attention_bias"),
        downsample_ratio=fields.number("downsample_ratio", 0.5, high=1.0),
        select_layer=_select_layer(fields, "vision_feature_layer", vision),
        image_token_id=_optional_id(fields, "image_token_id"),
        template=cast(Template, fields.choice("template", get_args(Template), template)),
        image_size=fields.integer("force_image_size", vision.image_size),
        dynamic_image_size=fields.flag("dynamic_image_size", True),
        min_tiles=fields.integer("min_dynamic_patch", processor.integer("min_patches", 1)),
        max_tiles=fields.integer("max_dynamic_patch", processor.integer("max_patches", 12)),
        use_thumbnail=fields.flag("use_thumbnail", True),
    )


def _transformers_vision(fields: Fields) -> VisionConfig:
    fields.expect("hidden_act", "gelu", "only gelu is implemented")
    fields.expect("num_channels", 3, "pictures have 3 channels")
    fields.expect("use_mask_token", False, "a mask token is not implemented")
    fields.expect("use_absolute_position_embeddings", True, "positions are needed")
    fields.expect("use_mean_pooling", True, "InternViT has no norm after its last layer")
    return VisionConfig(
        hidden_size=fields.integer("hidden_size", 1024),
        num_layers=fields.integer("num_hidden_layers", 24, high=MAX_LAYERS),
        num_heads=fields.integer("num_attention_heads", 16, high=MAX_HEADS),
        intermediate_size=fields.integer("intermediate_size", 4096),
        image_size=_side(fields, "image_size", 448),
        patch_size=_side(fields, "patch_size", 14),
        norm_type=cast(Any, fields.choice("norm_type", ("layer_norm", "rms_norm"), "layer_norm")),
        norm_eps=fields.number("layer_norm_eps", 1e-6, high=1.0),
        qkv_bias=fields.flag("attention_bias", False),
        qk_norm=fields.flag("use_qk_norm", False),
    )


def _text(fields: Fields, decoder: Decoder, tie: bool, bias_name: str | None = None) -> TextConfig:
    """The decoder's fields, which both layouts name alike but for the bias."""
    assumed = _TEXT_DEFAULTS[decoder]
    fields.expect("hidden_act", "silu", "only silu is implemented")
    fields.expect("mlp_bias", False, "a bias in the MLP is not implemented")
    fields.expect("use_sliding_window", False, "sliding windows are not implemented")
    fields.expect("partial_rotary_factor", 1.0, "only whole heads are rotated")
    width = fields.integer("hidden_size", assumed.hidden_size)
    num_heads = fields.integer("num_attention_heads", 32, high=MAX_HEADS)
    head_dim = assumed.head_dim or fields.get("head_dim")
    if head_dim is None and width % num_heads:
        raise fields.error("hidden_size", f"a multiple of num_attention_heads={num_heads}")
    max_positions = fields.integer("max_position_embeddings", assumed.max_positions, high=MAX_POSITIONS)
    if decoder == "phi3" and fields.integer("sliding_window", MAX_POSITIONS, high=MAX_POSITIONS) < max_positions:
        raise fields.error("sliding_window", "at least max_position_embeddings: shorter windows are not implemented")
    qkv_bias, o_bias = _biases(fields, decoder, bias_name)
    head_dim = fields.integer("head_dim", assumed.head_dim or width // num_heads, low=2)
    return TextConfig(
        decoder=decoder,
        hidden_size=width,
        num_layers=fields.integer("num_hidden_layers", 32, high=MAX_LAYERS),
        num_heads=num_heads,
        num_kv_heads=fields.integer("num_key_value_heads", assumed.num_kv_heads or num_heads, high=MAX_HEADS),
        head_dim=head_dim,
        intermediate_size=fields.integer("intermediate_size", assumed.intermediate_size),
        vocab_size=fields.integer("vocab_size", assumed.vocab_size, high=MAX_VOCABULARY),
        max_positions=max_positions,
        norm_eps=fields.number("rms_norm_eps", assumed.norm_eps, high=1.0),
        qkv_bias=qkv_bias,
        o_bias=o_bias,
        qk_norm=decoder == "qwen3",
        tie_embeddings=tie,
        rope=_rope(fields, head_dim, max_positions),
    )


def _biases(fields: Fields, decoder: Decoder, bias_name: str | None) -> tuple[bool, bool]:
    """Whether q, k, v and the output projection have a bias."""
    if decoder == "qwen2":
        return True, False
    if decoder == "phi3":
        return False, False
    if decoder == "internlm2" and bias_name is None:
        bias = fields.flag("bias", True)
    else:
        bias = fields.flag("attention_bias", False)
    return bias, bias


def _rope(fields: Fields, head_dim: int, max_positions: int) -> RopeConfig:
    """From transformers 5's `rope_parameters`, or from `rope_theta` and `rope_scaling`."""
    name = "rope_parameters" if fields.get("rope_parameters") else "rope_scaling"
    rope = fields.group(name)
    theta = rope.number("rope_theta", fields.number("rope_theta", 10000.0))
    rope.expect("partial_rotary_factor", 1.0, "only whole heads are rotated")
    spelling = "rope_type" if rope.get("rope_type") else "type"
    kind = _ROPE_KINDS[rope.choice(spelling, _ROPE_KINDS, "default")]
    if kind == "default":
        return RopeConfig(theta=theta)
    if kind == "dynamic":
        return RopeConfig(theta=theta, kind="dynamic", factor=rope.number("factor", low=0.999))
    original = fields.integer("original_max_position_embeddings", 4096, low=2, high=MAX_POSITIONS)
    original = rope.integer("original_max_position_embeddings", original, low=2, high=MAX_POSITIONS)
    if rope.get("attention_factor") is not None:
        raise rope.error("attention_factor", "leave it out: it follows from the context lengths")
    if abs(rope.number("factor", max_positions / original) - max_positions / original) > 1e-6:
        raise rope.error(
            "factor",
            f"max_position_embeddings / original_max_position_embeddings = {max_positions / original:g}",
        )
    return RopeConfig(
        theta=theta,
        kind="long",
        original_max_positions=original,
        short_factors=rope.numbers("short_factor", head_dim // 2),
        long_factors=rope.numbers("long_factor", head_dim // 2),
    )


def _text_class(llm: Fields) -> str:
    """The class of the official language model. Raises ConfigError naming the nearest known one."""
    names = llm.get("architectures")
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise llm.error("architectures", f"a list with one of {', '.join(TEXT_CLASSES)}")
    if names[0] not in TEXT_CLASSES:
        raise llm.error("architectures", nearest(names[0][:100], TEXT_CLASSES))
    return names[0]


def _select_layer(fields: Fields, name: str, vision: VisionConfig) -> int:
    """An index into [embeddings, after layer 1, ...]; -1 is the last."""
    return fields.integer(name, -1, low=-vision.num_layers - 1, high=vision.num_layers)


def _optional_id(fields: Fields, name: str) -> int | None:
    return None if fields.get(name) is None else fields.integer(name, low=0, high=MAX_VOCABULARY)


def _side(fields: Fields, name: str, default: int) -> int:
    """One side of a square that may be written as [side, side]."""
    value = fields.get(name, default)
    if isinstance(value, list):
        if len(value) != 2 or value[0] != value[1]:
            raise fields.error(name, "a square")
        return Fields({name: value[0]}, fields.where, fields.path).integer(name)
    return fields.integer(name, default)
