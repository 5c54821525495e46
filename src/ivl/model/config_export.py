"""InternVLConfig -> config.json, in the official layout and in transformers'.

In: a configuration. Out: the JSON object that the official code, or transformers 5, builds the same model
from. Knows no files. What is written is parsed again and compared, so that a configuration which a layout
cannot express is refused instead of written wrongly, and a round trip loses nothing: transformers ignores
keys it does not know, and in them stands what its own classes have no place for (`template`, the tile limits,
`llm_type`).

Ids of begin, end and padding tokens are written as null: they belong to the tokenizer and the generation
config, and the classes' own defaults (Phi-3: 32000) may lie outside of the vocabulary.
"""

from dataclasses import fields as dataclass_fields
from typing import Any

from ivl.errors import ConfigError
from ivl.model.config import InternVLConfig, TextConfig, VisionConfig
from ivl.model.config_parse import TEXT_CLASSES, parse_config
from ivl.model.connector_table import write_connector

_NO_TOKENS = {"bos_token_id": None, "eos_token_id": None, "pad_token_id": None}


def to_official(config: InternVLConfig, dtype: str | None = None) -> dict[str, Any]:
    """config.json of the official layout (model_type internvl_chat). `dtype`: of the weights, "bfloat16" say.

    With another connector than the MLP it says ivl_chat, and that only this package reads the folder.
    Raises ConfigError when the official classes cannot express `config`.
    """
    text = config.text
    raw: dict[str, Any] = {
        "architectures": ["InternVLChatModel"],
        "model_type": "internvl_chat",
        "downsample_ratio": config.downsample_ratio,
        "dynamic_image_size": config.dynamic_image_size,
        "force_image_size": config.image_size,
        "hidden_size": text.hidden_size,
        "llm_config": _official_text(text) | {"torch_dtype": dtype},
        "max_dynamic_patch": config.max_tiles,
        "min_dynamic_patch": config.min_tiles,
        "pad2square": False,
        "ps_version": config.ps_version,
        "select_layer": config.select_layer,
        "template": config.template,
        "tie_word_embeddings": text.tie_embeddings,
        "torch_dtype": dtype,
        "use_backbone_lora": 0,
        "use_llm_lora": 0,
        "use_thumbnail": config.use_thumbnail,
        "vision_config": _official_vision(config.vision) | {"torch_dtype": dtype},
    }
    if config.image_token_id is not None:
        raw["image_token_id"] = config.image_token_id
    raw |= write_connector(config)
    _check_same(config, raw, "official")
    return raw


def to_transformers(config: InternVLConfig, dtype: str | None = None) -> dict[str, Any]:
    """config.json for transformers' InternVLForConditionalGeneration. `dtype`: of the weights, "bfloat16"
    say.

    InternLM2 becomes the Llama it is; `llm_type` remembers. Raises ConfigError when transformers' classes
    cannot express `config`: they shuffle pixels as v2 only, and norm q and k of the vision model with an eps
    of 1e-6 only.
    """
    if config.vision.qk_norm and config.vision.norm_eps != 1e-6:
        raise ConfigError(
            f"transformers cannot have q/k norms of eps {config.vision.norm_eps}: write the official layout"
        )
    if config.connector != "mlp":
        raise ConfigError(
            f"transformers has no connector of the kind {config.connector!r}: write the official layout, "
            "which then only ivl reads"
        )
    raw: dict[str, Any] = {
        "architectures": ["InternVLForConditionalGeneration"],
        "model_type": "internvl",
        "downsample_ratio": config.downsample_ratio,
        "dtype": dtype,
        "image_seq_length": config.tokens_per_tile,
        "projector_hidden_act": "gelu",
        "text_config": _transformers_text(config.text) | {"dtype": dtype},
        "tie_word_embeddings": config.text.tie_embeddings,
        "vision_config": _transformers_vision(config.vision) | {"dtype": dtype},
        "vision_feature_layer": config.select_layer,
        "vision_feature_select_strategy": "default",
        # Our own keys, under the official names where there is one.
        "llm_type": config.text.decoder,
        "dynamic_image_size": config.dynamic_image_size,
        "force_image_size": config.image_size,
        "max_dynamic_patch": config.max_tiles,
        "min_dynamic_patch": config.min_tiles,
        "ps_version": config.ps_version,
        "template": config.template,
        "use_thumbnail": config.use_thumbnail,
    }
    if config.image_token_id is not None:
        raw["image_token_id"] = config.image_token_id
    _check_same(config, raw, "transformers")
    return raw


def _official_vision(vision: VisionConfig) -> dict[str, Any]:
    return {
        "architectures": ["InternVisionModel"],
        "model_type": "intern_vit_6b",
        "attention_dropout": 0.0,
        "drop_path_rate": 0.0,
        "dropout": 0.0,
        "hidden_act": "gelu",
        "hidden_size": vision.hidden_size,
        "image_size": vision.image_size,
        "intermediate_size": vision.intermediate_size,
        "layer_norm_eps": vision.norm_eps,
        "norm_type": vision.norm_type,
        "num_attention_heads": vision.num_heads,
        "num_channels": 3,
        "num_hidden_layers": vision.num_layers,
        "patch_size": vision.patch_size,
        "qk_normalization": vision.qk_norm,
        "qkv_bias": vision.qkv_bias,
        "use_flash_attn": True,
    }


def _transformers_vision(vision: VisionConfig) -> dict[str, Any]:
    return {
        "architectures": ["InternVLVisionModel"],
        "model_type": "internvl_vision",
        "attention_bias": vision.qkv_bias,
        "hidden_act": "gelu",
        "hidden_size": vision.hidden_size,
        "image_size": [vision.image_size, vision.image_size],
        "intermediate_size": vision.intermediate_size,
        "layer_norm_eps": vision.norm_eps,
        "norm_type": vision.norm_type,
        "num_attention_heads": vision.num_heads,
        "num_channels": 3,
        "num_hidden_layers": vision.num_layers,
        "patch_size": [vision.patch_size, vision.patch_size],
        "use_absolute_position_embeddings": True,
        "use_mask_token": False,
        "use_mean_pooling": True,
        "use_qk_norm": vision.qk_norm,
    }


def _official_text(text: TextConfig) -> dict[str, Any]:
    (architecture,) = (name for name, decoder in TEXT_CLASSES.items() if decoder == text.decoder)
    raw = {"architectures": [architecture], "model_type": text.decoder} | _common_text(text)
    raw["rope_theta"] = text.rope.theta
    raw["rope_scaling"] = _rope_scaling(text, "su")
    if text.decoder == "internlm2":
        raw["bias"] = text.qkv_bias
    return raw


def _transformers_text(text: TextConfig) -> dict[str, Any]:
    model_type = "llama" if text.decoder == "internlm2" else text.decoder
    (architecture,) = (name for name, decoder in TEXT_CLASSES.items() if decoder == model_type)
    raw = {"architectures": [architecture], "model_type": model_type} | _common_text(text)
    if text.decoder == "internlm2":
        raw["attention_bias"] = text.qkv_bias
    # transformers 5 reads rope_parameters; 4 reads the others, and without them silently takes its defaults.
    rope: dict[str, Any] = {"rope_theta": text.rope.theta, "rope_type": "default"}
    if scaling := _rope_scaling(text, "longrope"):
        rope |= {"rope_type": scaling["type"]} | {name: scaling[name] for name in scaling if name != "type"}
    if text.rope.kind == "long":
        rope["original_max_position_embeddings"] = text.rope.original_max_positions
    return raw | {"rope_parameters": rope, "rope_scaling": scaling, "rope_theta": text.rope.theta}


def _common_text(text: TextConfig) -> dict[str, Any]:
    raw: dict[str, Any] = {
        "head_dim": text.head_dim,
        "hidden_act": "silu",
        "hidden_size": text.hidden_size,
        "intermediate_size": text.intermediate_size,
        "max_position_embeddings": text.max_positions,
        "num_attention_heads": text.num_heads,
        "num_hidden_layers": text.num_layers,
        "num_key_value_heads": text.num_kv_heads,
        "rms_norm_eps": text.norm_eps,
        "tie_word_embeddings": text.tie_embeddings,
        "use_cache": True,
        "vocab_size": text.vocab_size,
        **_NO_TOKENS,
    }
    if text.decoder in ("llama", "qwen3"):
        raw["attention_bias"] = text.qkv_bias
    if text.decoder in ("qwen2", "qwen3"):
        raw["use_sliding_window"] = False
    if text.rope.kind == "long":
        raw["original_max_position_embeddings"] = text.rope.original_max_positions
    return raw


def _rope_scaling(text: TextConfig, long_name: str) -> dict[str, Any] | None:
    """As transformers 4 has it; Phi-3's classes there insist on just these three fields."""
    rope = text.rope
    if rope.kind == "default":
        return None
    if rope.kind == "dynamic":
        return {"type": "dynamic", "factor": rope.factor}
    short, long = list(rope.short_factors), list(rope.long_factors)
    return {"type": long_name, "short_factor": short, "long_factor": long}


def _check_same(config: InternVLConfig, raw: dict[str, Any], layout: str) -> None:
    """Raise ConfigError when `raw` does not say what `config` does."""
    again = parse_config(raw, f"the {layout} layout")
    if again == config:
        return
    pairs = ((config.vision, again.vision), (config.text, again.text), (config, again))
    for ours, parsed in pairs:
        for field in dataclass_fields(ours):
            wanted, got = getattr(ours, field.name), getattr(parsed, field.name)
            if wanted != got:
                raise ConfigError(
                    f"the {layout} layout cannot say {field.name}={wanted!r}: it would be read as {got!r}"
                )
