"""The plan of a recipe, from a folder without weights."""

import json
from pathlib import Path

import pytest

from ivl.data.settings import DataSource
from ivl.errors import ConfigError, SettingsError
from ivl.train.config import TrainConfig
from ivl.train.plan import make_plan
from ivl.train.plan_text import span
from ivl.zoo import nano_folder

CONFIG = {
    "architectures": ["InternVLChatModel"],
    "model_type": "internvl_chat",
    "template": "internlm2-chat",
    "downsample_ratio": 0.5,
    "ps_version": "v2",
    "select_layer": -1,
    "force_image_size": 448,
    "dynamic_image_size": True,
    "use_thumbnail": True,
    "min_dynamic_patch": 1,
    "max_dynamic_patch": 12,
    "llm_config": {
        "architectures": ["InternLM2ForCausalLM"],
        "model_type": "internlm2",
        "hidden_size": 2048,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "num_key_value_heads": 8,
        "intermediate_size": 8192,
        "vocab_size": 92553,
        "max_position_embeddings": 32768,
        "rms_norm_eps": 1e-5,
        "bias": False,
        "hidden_act": "silu",
        "rope_theta": 1000000,
        "rope_scaling": {"type": "dynamic", "factor": 2.0},
        "tie_word_embeddings": False,
    },
    "vision_config": {
        "architectures": ["InternVisionModel"],
        "model_type": "intern_vit_6b",
        "hidden_size": 1024,
        "num_hidden_layers": 24,
        "num_attention_heads": 16,
        "intermediate_size": 4096,
        "image_size": 448,
        "patch_size": 14,
        "qkv_bias": True,
        "qk_normalization": False,
        "norm_type": "layer_norm",
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-6,
        "use_flash_attn": True,
    },
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text(json.dumps(CONFIG))
    return tmp_path


def recipe(folder: Path, **fields: object) -> TrainConfig:
    defaults = {"path": str(folder), "connector": "full", "device": "cuda", "work_dir": "runs/food"}
    return TrainConfig(data_path=(DataSource(path="nowhere.json"),), data_root=str(folder), **defaults | fields)


def test_without_weights_and_data(folder):
    plan = make_plan(recipe(folder))
    assert plan.num_trained == 138_412_032 + 12_595_200
    assert plan.data_plan.is_assumed
    assert plan.data_plan.num_tiles == 4 * 13
    assert plan.data_plan.total_steps is None
    assert plan.seconds is None
    assert plan.seconds_per_step > 0
    text = "\n".join(plan.lines())
    for words in (
        "2,205,754,368 parameters",
        "138,412,032  LoRA of rank 128, alpha 256, dropout 0.05, beside 168 linear maps",
        "12,595,200  of 12,595,200",
        "steps unknown",
        "assumed instead: samples of one picture with 13 tiles",
        "GB at the peak",
        "assumed: 35% of",
        "runs/food/checkpoint-N every 64 steps",
        "runs/food/adapter",
    ):
        assert words in text, words
    assert all(len(line.replace(str(folder.parent), "")) < 200 for line in plan.lines())


def test_data_is_json(folder):
    data = json.loads(json.dumps(make_plan(recipe(folder, use_dora=True), world_size=2).data()))
    assert data["num_trained"] > 138_412_032 + 12_595_200
    assert data["memory"]["total"] <= data["memory_without_checkpointing"]["total"]
    assert data["world_size"] == 2
    assert data["seconds"] is None


def test_more_ranks_share_the_time(folder):
    one, four = (make_plan(recipe(folder, max_steps=10), world_size=count) for count in (1, 4))
    assert four.step.model == pytest.approx(4 * one.step.model)
    assert four.seconds_per_step == pytest.approx(one.seconds_per_step)
    assert one.seconds == pytest.approx(10 * one.seconds_per_step)


def test_measured_data(tmp_path):
    records = [
        {"id": idx, "conversations": [{"from": "human", "value": f"say {idx}"}, {"from": "gpt", "value": "good"}]}
        for idx in range(10)
    ]
    (tmp_path / "train.jsonl").write_text("\n".join(map(json.dumps, records)))
    config = TrainConfig(
        path=str(nano_folder()),
        data_root=str(tmp_path),
        data_path=(DataSource(path="train.jsonl"),),
        batch_size=2,
        accumulative_counts=2,
        max_epochs=2,
        r=4,
        device="cpu",
        dataloader_num_workers=0,
    )
    plan = make_plan(config)
    data = plan.data_plan
    assert not data.is_assumed
    assert (data.num_samples, data.steps_per_epoch, data.total_steps) == (10, 3, 6)
    assert data.num_tiles == 0
    assert 0 < data.num_labelled < data.num_tokens
    assert data.largest_tokens <= data.num_tokens / 3
    assert plan.memory.fits
    assert plan.seconds > 0
    assert "6: 2 epochs of 3" in "\n".join(plan.lines())


def test_faults_are_told(folder, tmp_path):
    with pytest.raises(SettingsError, match="target_modules"):
        make_plan(recipe(folder, target_modules=("wqkv",)))
    with pytest.raises(ConfigError, match="missing"):
        make_plan(recipe(tmp_path / "missing"))


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.437, "0.44 s"), (12.3, "12 s"), (200, "3 min 20 s"), (7530, "2 h 5 min"), (4e6, "1,111 h 6 min")],
)
def test_spans(seconds, text):
    assert span(seconds) == text
