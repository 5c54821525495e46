"""What adapter_config.json says counts as it does for PEFT; what would change the answer otherwise is refused."""

from pathlib import Path

import pytest
import torch
from torch import Tensor

from ivl.errors import AdapterError
from ivl.model.adapter_io import read_adapter
from ivl.model.internvl import InternVL
from random_adapter import write_adapter
from random_model import make_model

Q = "language_model.layers.0.attention.q_proj"
CONFIG_FILE = "adapter_config.json"


@pytest.fixture(scope="module")
def model() -> InternVL:
    return make_model()


def one_pair(path: str = Q, rank: int = 3) -> dict[str, Tensor]:
    """A pair for a module as wide as the text's q_proj."""
    return {f"{path}.lora_A.weight": torch.ones(rank, 48), f"{path}.lora_B.weight": torch.ones(48, rank)}


@pytest.mark.parametrize(
    ("settings", "scale"),
    [
        ({}, 2.0),
        ({"lora_alpha": 0.75}, 0.25),
        ({"use_rslora": True}, 6 / 3**0.5),
        ({"alpha_pattern": {"q_proj": 12}}, 4.0),
        ({"alpha_pattern": {"roj": 12}}, 2.0),  # the end of a name counts only from a dot on
        ({"alpha_pattern": {"attention.q_proj": 9, "q_proj": 12}}, 3.0),  # the first that fits
        ({"alpha_pattern": {Q: 9}}, 3.0),
        ({"alpha_pattern": {f"^{Q}": 9}}, 3.0),
        ({"alpha_pattern": {"^layers.0.attention.q_proj": 9}}, 2.0),
        ({"alpha_pattern": {r"layers\.(0|1)\..*q_proj": 9}}, 3.0),
        ({"alpha_pattern": {r"layers\.\d+\.attention\.q_proj": 9}, "use_rslora": True}, 9 / 3**0.5),
        ({"alpha_pattern": {"attention": 9}}, 2.0),
        ({"r": 8, "rank_pattern": {"q_proj": 3}}, 2.0),
        ({"r": 8, "rank_pattern": {"q_proj": 3}, "alpha_pattern": {"q_proj": 6, Q: 9}}, 2.0),
        ({"rank_pattern": None, "alpha_pattern": None}, 2.0),
    ],
)
def test_scales(settings: dict[str, object], scale: float, tmp_path: Path, model: InternVL) -> None:
    adapter = read_adapter(write_adapter(tmp_path / "a", one_pair(), **settings), model)
    assert adapter.weights[Q].scale == pytest.approx(scale, rel=1e-15)


def test_ranks_by_module(tmp_path: Path, model: InternVL) -> None:
    tensors = one_pair() | one_pair("language_model.layers.1.attention.q_proj", rank=5)
    folder = write_adapter(tmp_path / "a", tensors, rank_pattern={"layers.1.attention.q_proj": 5})
    assert {path: weight.scale for path, weight in read_adapter(folder, model).weights.items()} == {
        Q: 2.0,
        "language_model.layers.1.attention.q_proj": 6 / 5,
    }


@pytest.mark.parametrize(
    "settings",
    [
        {"target_modules": r".*\.attention\.q_proj"},
        {"target_modules": None},
        {"target_modules": [Q, "a_module_of_another_model"]},
        {"task_type": "CAUSAL_LM", "layers_to_transform": [0], "revision": "main", "exclude_modules": ["x"]},
        {"init_lora_weights": "gaussian"},
        {"something_new": None, "another": False, "third": []},
    ],
)
def test_settings_without_effect(settings: dict[str, object], tmp_path: Path, model: InternVL) -> None:
    assert list(read_adapter(write_adapter(tmp_path / "a", one_pair(), **settings), model).weights) == [Q]


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("peft_type", "IA3"),
        ("peft_type", None),
        ("r", 0),
        ("r", -3),
        ("r", 3.0),
        ("r", True),
        ("r", "3"),
        ("r", None),
        ("r", 10**30),
        ("lora_alpha", None),
        ("lora_alpha", "16"),
        ("lora_alpha", True),
        ("lora_alpha", 10**400),
        ("use_rslora", "yes"),
        ("fan_in_fan_out", True),
        ("bias", "all"),
        ("bias", "lora_only"),
        ("use_dora", "yes"),
        ("lora_bias", True),
        ("modules_to_save", "connector"),
        ("modules_to_save", [""]),
        ("modules_to_save", ["connector", 3]),
        ("trainable_token_indices", [1, 2]),
        ("layer_replication", [[0, 1]]),
        ("target_parameters", ["mlp.weight"]),
        ("megatron_config", {"x": 1}),
        ("init_lora_weights", "pissa_niter_4"),
        ("init_lora_weights", "olora"),
        ("init_lora_weights", ["pissa"]),
        ("a_setting_of_the_future", "on"),
        ("target_modules", 3),
        ("target_modules", ["q_proj", 3]),
        ("rank_pattern", ["q_proj"]),
        ("rank_pattern", {"q_proj": 3.5}),
        ("rank_pattern", {"q_proj": 0}),
        ("rank_pattern", {"(": 3}),
        ("alpha_pattern", {"q_proj": "high"}),
        ("alpha_pattern", {str(number): 3 for number in range(100)}),
    ],
)
def test_settings_that_are_refused(field: str, value: object, tmp_path: Path, model: InternVL) -> None:
    """By one line with the file, the field and the value."""
    with pytest.raises(AdapterError) as caught:
        read_adapter(write_adapter(tmp_path / "a", one_pair(), **{field: value}), model)
    at_fault = wrong_entry(value) if isinstance(value, dict) else repr(value)
    where, _, what = str(caught.value).partition(f"{CONFIG_FILE}: ")
    assert where == f"{tmp_path}/a/"
    assert what.startswith(field)
    assert f"={at_fault[:80]} is not allowed: " in what


def wrong_entry(value: dict[str, object]) -> str:
    """What a message shows of an object: the entry at fault, where only that is wrong."""
    ((key, inner),) = value.items() if len(value) == 1 else (("", value),)
    return repr(key) if key == "(" else repr(inner if key == "q_proj" else value)


@pytest.mark.parametrize(
    "key",
    [
        "(a+)+b",
        "(.*.*)*x",
        ".*.*.*.*.*.*.*.*x",
        "(a|a)(a|a)(a|a)(a|a)x",
        "(_|_)*x",
        "x{2}{3}",
        "a" * 201,
        "a{99999999999999}",
    ],
)
@pytest.mark.timeout(20)
def test_expressions_that_search_for_ever_are_not_run(key: str, tmp_path: Path, model: InternVL) -> None:
    folder = write_adapter(tmp_path / "a", one_pair(), alpha_pattern={key: 1})
    with pytest.raises(AdapterError, match="give module names"):
        read_adapter(folder, model)


def test_targets_may_be_excepted(tmp_path: Path, model: InternVL) -> None:
    """As PEFT writes "all-linear": lm_head among the targets, and among the exceptions."""
    targets = ["q_proj", "v_proj", "lm_head"]
    for number, exception in enumerate(({"exclude_modules": ["lm_head", "v_proj"]}, {"layers_to_transform": [0]})):
        folder = write_adapter(tmp_path / str(number), one_pair(), target_modules=targets, **exception)
        assert list(read_adapter(folder, model).weights) == [Q]
