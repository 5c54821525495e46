"""config.json is read as the official classes read it; every fault is one line that names the field."""

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ivl.errors import ConfigError
from ivl.model.config import InternVLConfig, RopeConfig, VisionConfig
from ivl.model.config_export import to_official, to_transformers
from ivl.model.config_io import load_config
from ivl.model.config_parse import parse_config
from parity import tiny
from random_model import CONFIG


def official(**changes: Any) -> dict[str, Any]:
    """The tiny InternLM2 config.json with changes: `llm__x` is x of llm_config, None removes a key."""
    raw = json.loads((tiny.MODELS / "tiny-internlm2" / "config.json").read_text("utf-8"))
    return changed(raw, {"llm": "llm_config", "vision": "vision_config"}, changes)


def foreign(**changes: Any) -> dict[str, Any]:
    """transformers' config.json as the published InternVL3-1B-hf has it, with changes: `text__x` as above."""
    raw: dict[str, Any] = {
        "architectures": ["InternVLForConditionalGeneration"],
        "downsample_ratio": 0.5,
        "image_seq_length": 256,
        "image_token_id": 151667,
        "model_type": "internvl",
        "projector_hidden_act": "gelu",
        "text_config": {
            "architectures": ["Qwen2ForCausalLM"],
            "hidden_act": "silu",
            "hidden_size": 896,
            "intermediate_size": 4864,
            "max_position_embeddings": 32768,
            "model_type": "qwen2",
            "num_attention_heads": 14,
            "num_hidden_layers": 24,
            "num_key_value_heads": 2,
            "rms_norm_eps": 1e-06,
            "rope_scaling": {"factor": 2.0, "rope_type": "dynamic", "type": "dynamic"},
            "rope_theta": 1000000.0,
            "sliding_window": None,
            "torch_dtype": "bfloat16",
            "use_sliding_window": False,
            "vocab_size": 151674,
        },
        "torch_dtype": "bfloat16",
        "transformers_version": "4.52.0.dev0",
        "vision_config": {"attention_bias": True, "image_size": [448, 448], "patch_size": [14, 14]},
        "vision_feature_layer": -1,
        "vision_feature_select_strategy": "default",
    }
    return changed(raw, {"text": "text_config", "vision": "vision_config"}, changes)


def changed(raw: dict[str, Any], groups: dict[str, str], changes: dict[str, Any]) -> dict[str, Any]:
    for key, value in changes.items():
        group, separator, name = key.partition("__")
        target, name = (raw[groups[group]], name) if separator else (raw, key)
        if value is None:
            target.pop(name, None)
        else:
            target[name] = value
    return raw


def write(folder: Path, raw: object, name: str = "config.json") -> Path:
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(raw if isinstance(raw, str) else json.dumps(raw), "utf-8")
    return folder


def refused(folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        load_config(folder)
    message = str(caught.value)
    assert "\n" not in message
    assert "0x" not in message
    assert "Traceback" not in message
    return message


class TestOfficial:
    def test_every_field_is_read(self, tiny_folder: Callable[[str], Path]) -> None:
        config = load_config(tiny_folder("tiny-6b-style"))
        assert config.vision.norm_type == "rms_norm"
        assert config.vision.qk_norm
        assert not config.vision.qkv_bias
        assert config.text.rope == RopeConfig(theta=1e6, kind="dynamic", factor=3.0)
        assert (config.min_tiles, config.max_tiles, config.use_thumbnail) == (1, 12, True)
        assert (config.template, config.ps_version, config.image_size) == ("internlm2-chat", "v2", 56)
        assert config.image_token_id == 303
        assert load_config(tiny_folder("tiny-phi3")).text.rope.original_max_positions == 512

    def test_absent_fields_have_the_official_class_defaults(self) -> None:
        raw = {"llm_config": {"architectures": ["InternLM2ForCausalLM"]}, "template": "Hermes-2"}
        config = parse_config(raw, "config.json")
        assert (config.ps_version, config.max_tiles, config.use_thumbnail) == ("v1", 6, False)
        assert (config.dynamic_image_size, config.downsample_ratio, config.select_layer) == (False, 0.5, -1)
        assert config.image_size == 224
        assert (config.text.qkv_bias, config.text.o_bias) == (True, True)
        assert (config.text.vocab_size, config.text.max_positions) == (103168, 2048)
        assert config.text.num_kv_heads == 32
        assert config.text.rope == RopeConfig(theta=10000.0)
        assert config.vision == VisionConfig(
            hidden_size=3200,
            num_layers=48,
            num_heads=25,
            intermediate_size=12800,
            image_size=224,
            norm_type="rms_norm",
            qk_norm=True,
            qkv_bias=False,
        )

    def test_class_of_the_language_model_decides(self) -> None:
        raw = official(llm__architectures=["LlamaForCausalLM"], llm__model_type="internlm2")
        assert parse_config(raw, "config.json").text.decoder == "llama"

    def test_null_counts_as_absent(self) -> None:
        raw = official(use_thumbnail=True)
        raw["llm_config"]["num_key_value_heads"] = None
        raw["use_thumbnail"] = None
        config = parse_config(raw, "config.json")
        assert config.text.num_kv_heads == config.text.num_heads
        assert not config.use_thumbnail

    def test_a_models_code_is_never_looked_at(self, tmp_path: Path) -> None:
        canary = tmp_path / "canary"
        code = f"open({str(canary)!r}, 'w').close()\n"
        raw = official(
            auto_map={"AutoConfig": "evil.Config", "AutoModel": "evil.Model"},
            llm__auto_map={"AutoConfig": "evil.Config"},
            _attn_implementation_internal="someone/kernel",
            llm___attn_implementation_internal="someone/kernel",
        )
        folder = write(tmp_path / "model", raw)
        write(folder, code, "evil.py")
        write(folder, code, "configuration_internvl_chat.py")
        load_config(folder)
        assert not canary.exists()


class TestTransformers:
    def test_published_folder(self) -> None:
        config = parse_config(foreign(), "config.json")
        assert config.template == "internvl2_5"
        assert (config.ps_version, config.use_thumbnail, config.dynamic_image_size) == ("v2", True, True)
        assert (config.min_tiles, config.max_tiles) == (1, 12)
        assert config.image_token_id == 151667
        assert config.text.rope == RopeConfig(theta=1e6, kind="dynamic", factor=2.0)
        assert config.vision == VisionConfig(hidden_size=1024, num_layers=24, num_heads=16, intermediate_size=4096)

    def test_rope_parameters_of_transformers_5(self) -> None:
        rope = {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e6}
        new = foreign(text__rope_scaling=None, text__rope_theta=None, text__rope_parameters=rope)
        assert parse_config(new, "new") == parse_config(foreign(), "old")

    def test_phi3_has_its_own_template(self) -> None:
        raw = foreign(text__model_type="phi3", text__rope_scaling=None)
        assert parse_config(raw, "config.json").template == "phi3-chat"

    def test_tile_limits_of_the_image_processor(self, tmp_path: Path) -> None:
        folder = write(tmp_path, foreign())
        write(folder, {"min_patches": 2, "max_patches": 9}, "preprocessor_config.json")
        assert (load_config(folder).min_tiles, load_config(folder).max_tiles) == (2, 9)
        write(folder, {"image_processor": {"max_patches": 4}}, "processor_config.json")
        assert (load_config(folder).min_tiles, load_config(folder).max_tiles) == (1, 4)

    def test_a_final_norm_is_refused(self, tmp_path: Path) -> None:
        raw = foreign(vision__use_mean_pooling=False)
        assert "vision_config.use_mean_pooling=False" in refused(write(tmp_path, raw))


class TestRoundTrip:
    @pytest.mark.parametrize("name", tiny.NAMES)
    def test_both_layouts_say_everything(self, name: str) -> None:
        config = load_config(tiny.MODELS / name)
        config = replace(config, min_tiles=2, max_tiles=7, use_thumbnail=False, dynamic_image_size=False)
        assert parse_config(to_official(config, "bfloat16"), "official") == config
        assert parse_config(to_transformers(config, "bfloat16"), "transformers") == config
        assert to_official(config, "bfloat16")["torch_dtype"] == "bfloat16"
        assert to_transformers(config, "bfloat16")["dtype"] == "bfloat16"

    def test_what_a_layout_cannot_say_is_refused(self) -> None:
        base = replace(CONFIG, text=replace(CONFIG.text, qkv_bias=True))
        assert parse_config(to_transformers(base), "transformers") == base
        with pytest.raises(ConfigError, match="ps_version"):
            to_transformers(replace(base, ps_version="v1"))
        with pytest.raises(ConfigError, match="qkv_bias=False"):
            to_official(replace(base, text=replace(base.text, qkv_bias=False)))
        vision = replace(base.vision, qk_norm=True, norm_eps=1e-5)
        with pytest.raises(ConfigError, match="eps 1e-05"):
            to_transformers(replace(base, vision=vision))


class TestImageToken:
    def write_model(self, folder: Path, raw: dict[str, Any]) -> Path:
        return write(folder, raw)

    def test_read_from_each_tokenizer_file(self, tmp_path: Path) -> None:
        folder = write(tmp_path, official())
        assert load_config(folder).image_token_id is None
        tokens = {"added_tokens": [{"id": 9, "content": "<img>"}, {"id": 7, "content": "<IMG_CONTEXT>"}]}
        write(folder, tokens, "tokenizer.json")
        assert load_config(folder).image_token_id == 7
        write(folder, {"added_tokens_decoder": {"8": {"content": "<IMG_CONTEXT>"}}}, "tokenizer_config.json")
        assert load_config(folder).image_token_id == 8
        write(folder, {"<img>": 10, "<IMG_CONTEXT>": 11}, "added_tokens.json")
        assert load_config(folder).image_token_id == 11

    def test_a_tokenizer_of_another_model(self, tmp_path: Path) -> None:
        folder = write(tmp_path, official())
        write(folder, {"<IMG_CONTEXT>": 92546}, "added_tokens.json")
        message = refused(folder)
        assert "added_tokens.json" in message
        assert "92546" in message
        assert "only 310 tokens" in message

    def test_config_and_tokenizer_disagree(self, tmp_path: Path) -> None:
        folder = write(tmp_path, official(image_token_id=5))
        assert load_config(folder).image_token_id == 5
        write(folder, {"<IMG_CONTEXT>": 6}, "added_tokens.json")
        assert "image_token_id=5" in refused(folder)


class TestFaults:
    def test_no_folder(self, tmp_path: Path) -> None:
        assert "no such folder" in refused(tmp_path / "nowhere")

    def test_a_file(self, tmp_path: Path) -> None:
        write(tmp_path, official())
        assert "is a file, but a model is a folder" in refused(tmp_path / "config.json")

    def test_no_config(self, tmp_path: Path) -> None:
        assert "has no config.json" in refused(tmp_path)

    def test_an_adapter(self, tmp_path: Path) -> None:
        write(tmp_path, {}, "adapter_config.json")
        assert "holds an adapter, not a model" in refused(tmp_path)

    @pytest.mark.parametrize("text", ["", "{", "[]", '{"a": NaN}', "\x00", "[" * 100_000, '{"a": 1e999999}x'])
    def test_broken_json(self, text: str, tmp_path: Path) -> None:
        assert "config.json" in refused(write(tmp_path, text))

    def test_another_kind_of_model(self, tmp_path: Path) -> None:
        assert "model_type='qwen2'" in refused(write(tmp_path, {"model_type": "qwen2"}))

    def test_a_pipe(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "config.json")
        assert "not a regular file" in refused(tmp_path)

    def test_a_link_to_elsewhere(self, tmp_path: Path) -> None:
        elsewhere = write(tmp_path / "elsewhere", official())
        folder = tmp_path / "model"
        folder.mkdir()
        (folder / "config.json").symlink_to(elsewhere / "config.json")
        assert "outside of the folder" in refused(folder)

    @pytest.mark.parametrize(
        ("change", "said"),
        [
            ({"llm__architectures": ["InternLM3ForCausalLM"]}, "did you mean 'InternLM2ForCausalLM'"),
            ({"llm__architectures": "LlamaForCausalLM"}, "llm_config.architectures='LlamaForCausalLM'"),
            ({"llm__hidden_size": "2048"}, "llm_config.hidden_size='2048' is not allowed: a whole number"),
            ({"llm__hidden_size": 97}, "llm_config.hidden_size=97"),
            ({"llm__num_hidden_layers": 10**9}, "llm_config.num_hidden_layers=1000000000"),
            ({"llm__num_attention_heads": 10**6}, "llm_config.num_attention_heads=1000000"),
            ({"llm__num_key_value_heads": 10**6}, "llm_config.num_key_value_heads=1000000"),
            ({"llm__num_hidden_layers": -1}, "llm_config.num_hidden_layers=-1"),
            ({"llm__vocab_size": 2.5}, "llm_config.vocab_size=2.5"),
            ({"llm__vocab_size": True}, "llm_config.vocab_size=True"),
            ({"llm__num_key_value_heads": 4}, "num_attention_heads=6 is not a multiple of"),
            ({"llm__rms_norm_eps": 0}, "llm_config.rms_norm_eps=0"),
            ({"llm__hidden_act": "gelu"}, "llm_config.hidden_act='gelu'"),
            ({"llm__rope_scaling": {"type": "yarn", "factor": 4.0}}, "llm_config.rope_scaling.type='yarn'"),
            ({"llm__rope_scaling": {"type": "dynamic"}}, "llm_config.rope_scaling.factor is missing"),
            ({"llm__rope_scaling": "dynamic"}, "llm_config.rope_scaling='dynamic'"),
            ({"llm__partial_rotary_factor": 0.5}, "llm_config.partial_rotary_factor=0.5"),
            ({"llm__use_sliding_window": True}, "llm_config.use_sliding_window=True"),
            ({"llm__quantization_config": {"quant_method": "awq"}}, "quantized weights"),
            ({"llm_config": [1]}, "llm_config=[1]"),
            ({"vision__norm_type": "batch_norm"}, "vision_config.norm_type='batch_norm'"),
            ({"vision__patch_size": 15}, "is not a multiple of patch_size=15"),
            ({"vision__num_attention_heads": 5}, "is not a multiple of"),
            ({"vision__hidden_act": "quick_gelu"}, "vision_config.hidden_act='quick_gelu'"),
            ({"template": "internlm2_chat"}, "did you mean 'internlm2-chat'"),
            ({"template": None}, "the field template is missing"),
            ({"ps_version": "v3"}, "ps_version='v3'"),
            ({"downsample_ratio": 0.3}, "downsample_ratio=0.3"),
            ({"select_layer": 9}, "select_layer=9"),
            ({"use_thumbnail": "yes"}, "use_thumbnail='yes' is not allowed: true or false"),
            ({"min_dynamic_patch": 13}, "min_dynamic_patch=13 is above max_dynamic_patch=12"),
            ({"force_image_size": 100}, "force_image_size=100"),
        ],
    )
    def test_a_bad_field_is_named_with_its_file(self, change: dict[str, Any], said: str, tmp_path: Path) -> None:
        message = refused(write(tmp_path, official(**change)))
        assert said in message
        assert message.startswith(str(tmp_path / "config.json"))

    def test_bad_rope_factors(self, tmp_path: Path) -> None:
        raw = json.loads((tiny.MODELS / "tiny-phi3" / "config.json").read_text("utf-8"))
        raw["llm_config"]["rope_scaling"]["short_factor"] = [1.0] * 7
        assert "rope_scaling.short_factor" in refused(write(tmp_path, raw))
        raw["llm_config"]["rope_scaling"]["short_factor"] = [1.0] * 7 + ["x"]
        assert "rope_scaling.short_factor.7='x'" in refused(write(tmp_path, raw))
        raw["llm_config"]["sliding_window"] = 1024
        assert "sliding_window=1024" in refused(write(tmp_path, raw))


def test_every_tiny_config_is_hashable_data(tiny_folder: Callable[[str], Path]) -> None:
    configs: set[InternVLConfig] = {load_config(tiny_folder(name)) for name in tiny.NAMES}
    assert len(configs) == len(tiny.NAMES)
