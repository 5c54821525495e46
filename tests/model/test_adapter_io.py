"""Adapters of strangers: read exactly, refused with one line that says why, and never run."""

import json
import os
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from ivl.errors import AdapterError
from ivl.model.adapter_io import read_adapter
from ivl.model.fused import apply_fused
from ivl.model.internvl import InternVL
from ivl.model.lora import AdapterSet
from random_adapter import make_adapter, tensors_of, write_adapter
from random_model import make_model, random_ids

Q = "language_model.layers.0.attention.q_proj"
FC1 = "vision_model.layers.1.mlp.fc1"
Q_A, Q_B = f"base_model.model.{Q}.lora_A.weight", f"base_model.model.{Q}.lora_B.weight"
CONFIG_FILE, TENSOR_FILE = "adapter_config.json", "adapter_model.safetensors"


@pytest.fixture(scope="module")
def model() -> InternVL:
    return make_model()


def plain_tensors() -> dict[str, Tensor]:
    return tensors_of(make_adapter(1, ends=("q_proj", "fc1")))


def one_pair(path: str = Q, rank: int = 3, **names: str) -> dict[str, Tensor]:
    """A pair for a module as wide as the text's q_proj."""
    return {
        names.get("a", f"base_model.model.{path}.lora_A.weight"): torch.ones(rank, 48),
        names.get("b", f"base_model.model.{path}.lora_B.weight"): torch.ones(48, rank),
    }


def pair(shape_a: tuple[int, ...], shape_b: tuple[int, ...]) -> dict[str, Tensor]:
    return {Q_A: torch.ones(shape_a), Q_B: torch.ones(shape_b)}


def pair_of(path: str) -> dict[str, Tensor]:
    return {f"{path}.lora_A.weight": torch.ones(3, 48), f"{path}.lora_B.weight": torch.ones(48, 3)}


def refusal(folder: Path, model: InternVL) -> str:
    with pytest.raises(AdapterError) as caught:
        read_adapter(folder, model)
    message = str(caught.value)
    assert "\n" not in message
    assert str(folder) in message
    assert len(message) < 600 + 3 * len(str(folder))
    return message


def test_every_number_arrives(tmp_path: Path, model: InternVL) -> None:
    adapter = read_adapter(write_adapter(tmp_path / "a", plain_tensors()), model)
    wanted = make_adapter(1, ends=("q_proj", "fc1"))
    assert adapter.weights.keys() == wanted.weights.keys()
    assert {Q, FC1, "connector.fc1"} <= adapter.weights.keys()
    for path, weight in adapter.weights.items():
        assert torch.equal(weight.a, wanted.weights[path].a)
        assert torch.equal(weight.b, wanted.weights[path].b)
        assert weight.scale == 2.0
    assert adapter.touches_vision
    assert adapter.source == str(tmp_path / "a")


def test_a_fused_model_takes_the_same_adapter(tmp_path: Path) -> None:
    folder, ids = write_adapter(tmp_path / "a", plain_tensors()), random_ids(5)
    answers = []
    for model in (make_model(), apply_fused(make_model())):
        adapter_set = AdapterSet(model)
        adapter_set.load("a", read_adapter(folder, model))
        adapter_set.route([("a", 5)])
        answers.append(model(ids).logits)
    torch.testing.assert_close(*answers, rtol=0, atol=1e-10)


def test_names_with_the_adapters_own(tmp_path: Path, model: InternVL) -> None:
    tensors = one_pair(a=f"base_model.model.{Q}.lora_A.default.weight", b=f"{Q}.lora_B.default.weight")
    folder = write_adapter(tmp_path / "a", tensors, target_modules=["q_proj"])
    assert list(read_adapter(folder, model).weights) == [Q]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_stored_types_are_kept(dtype: torch.dtype, tmp_path: Path, model: InternVL) -> None:
    tensors = {name: tensor.to(dtype) for name, tensor in plain_tensors().items()}
    adapter = read_adapter(write_adapter(tmp_path / "a", tensors), model)
    assert torch.equal(adapter.weights[Q].a, tensors[Q_A])
    assert adapter.weights[Q].a.dtype == dtype


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({}, "holds no tensors: the adapter is empty"),
        ({Q_A: torch.ones(3, 48)}, f"only one half of the pair of '{Q}': lora_B is missing"),
        ({Q_B: torch.ones(48, 3)}, f"only one half of the pair of '{Q}': lora_A is missing"),
        (pair((3, 64), (48, 3)), f"{Q_A}' has the shape [3, 64], but the model needs [3, 48]"),
        (pair((3, 48), (64, 3)), f"{Q_B}' has the shape [64, 3], but the model needs [48, 3]"),
        (pair((4, 48), (48, 4)), f"{Q_A}' has the shape [4, 48], but the model needs [3, 48]"),
        (pair((48,), (48, 3)), "has the shape [48], but"),
        ({Q_A: torch.full((3, 48), torch.nan), Q_B: torch.ones(48, 3)}, f"'{Q_A}' holds NaN or infinite numbers"),
        ({Q_A: torch.ones(3, 48), Q_B: torch.full((48, 3), -torch.inf)}, f"'{Q_B}' holds NaN or infinite numbers"),
        (one_pair("language_model.layers.2.attention.q_proj"), "a module that the model does not have: did you mean"),
        (one_pair("model.layers.0.attention.wqkv"), "a module that the model does not have: "),
        (one_pair("x." + "q" * 1_000_000), "a module that the model does not have: "),
        (one_pair("language_model.norm"), "a module that the model does not have: "),
        (one_pair("language_model.lm_head"), "adapters of the vocabulary (lm_head, embed_tokens) are not supported"),
        (one_pair("language_model.embed_tokens"), "adapters of the vocabulary"),
        (one_pair() | {f"{Q}.lora_A.default.weight": torch.ones(3, 48)}, "is there twice"),
        (one_pair() | {f"base_model.model.{Q}.lora_magnitude_vector": torch.ones(48)}, "is not understood"),
        (one_pair() | {f"base_model.model.{Q}.lora_B.bias": torch.ones(48)}, "is not understood"),
        (one_pair() | {"base_model.model.language_model.lm_head.weight": torch.ones(96, 48)}, "of the vocabulary"),
        ({"base_model.model.language_model.embed_tokens.lora_embedding_A": torch.ones(3, 96)}, "of the vocabulary"),
        (one_pair() | {f"base_model.model.{Q}.lora_A.other.weight": torch.ones(3, 48)}, "is not understood"),
    ],
)  # fmt: skip
def test_tensors_that_are_refused(tensors: dict[str, Tensor], message: str, tmp_path: Path, model: InternVL) -> None:
    got = refusal(write_adapter(tmp_path / "a", tensors), model)
    assert message in got
    assert TENSOR_FILE in got


@pytest.mark.parametrize("kind", ["connector", "language_model.norm", "embed_tokens", "vision_model.layers.1"])
def test_modules_trained_fully_arrive(kind: str, tmp_path: Path, model: InternVL) -> None:
    own = tuple(f"{name}." for name in (kind, f"language_model.{kind}"))
    wanted = make_adapter(1, parts=("language_model",), dora=True, replaced=own)
    assert wanted.replaced
    folder = write_adapter(tmp_path / "a", tensors_of(wanted), modules_to_save=[kind], use_dora=True)
    adapter = read_adapter(folder, model)
    assert adapter.replaced.keys() == wanted.replaced.keys()
    assert all(torch.equal(tensor, wanted.replaced[name]) for name, tensor in adapter.replaced.items())
    assert all(torch.equal(w.magnitude, wanted.weights[path].magnitude) for path, w in adapter.weights.items())
    assert adapter.uses_dora
    assert adapter.touches_vision == (kind in ("connector", "vision_model.layers.1"))
    assert (adapter.must_merge is None) == (kind in ("connector", "language_model.norm"))


def own_connector(**changes: Tensor | None) -> dict[str, Tensor]:
    """A pair, and a connector; `fc1_bias=None` leaves that out."""
    shapes = {"norm.weight": 128, "norm.bias": 128, "fc1.bias": 48, "fc2.bias": 48, "fc2.weight": (48, 48)}
    tensors = {f"base_model.model.connector.{name}": torch.ones(shape) for name, shape in shapes.items()}
    tensors["base_model.model.connector.fc1.weight"] = torch.ones(48, 128)
    for name, tensor in changes.items():
        tensors[f"base_model.model.connector.{name.replace('_', '.')}"] = tensor
    return one_pair() | {name: tensor for name, tensor in tensors.items() if tensor is not None}


@pytest.mark.parametrize(
    ("tensors", "settings", "message"),
    [
        (own_connector(fc1_bias=None), {}, "no tensor of 'connector.fc1.bias', which modules_to_save names"),
        (own_connector(fc1_bias=torch.ones(47)), {}, "has the shape [47], but the model needs [48]"),
        (own_connector(fc1_bias=torch.full((48,), torch.nan)), {}, "connector.fc1.bias' holds NaN or infinite numbers"),
        (own_connector(fc3_bias=torch.ones(48)), {}, "connector.fc3.bias' is not understood"),
        (own_connector(), {"modules_to_save": ["fc1"]}, "is not understood: only <module>.lora_A.weight"),
        (own_connector(), {"modules_to_save": ["connectors"]}, "names 'connectors', which the model does not have"),
        (own_connector(), {"modules_to_save": ["connector", "lm_head"]}, "of 'language_model.lm_head.weight'"),
        (own_connector(), {"modules_to_save": None}, "and what modules_to_save names"),
        (own_connector() | pair_of("connector.fc2"), {"target_modules": ["q_proj", "fc2"]},
         "both adapts and replaces 'connector.fc2."),
        (own_connector(), {"use_dora": True}, f"{Q}.lora_magnitude_vector is missing: use_dora is true"),
        (own_connector() | {f"{Q}.lora_magnitude_vector": torch.ones(48)}, {}, "is not understood: use_dora is false"),
        (own_connector() | {f"{Q}.lora_magnitude_vector": torch.ones(47)}, {"use_dora": True}, "has the shape [47]"),
        (own_connector() | {"connector.fc1.bias": torch.ones(48)}, {}, "is there twice"),
    ],
)  # fmt: skip
def test_modules_that_are_refused(
    tensors: dict[str, Tensor], settings: dict[str, object], message: str, tmp_path: Path, model: InternVL
) -> None:
    folder = write_adapter(
        tmp_path / "a", tensors, **{"modules_to_save": ["connector"], "target_modules": ["q_proj"]} | settings
    )
    assert message in refusal(folder, model)


def test_tensors_and_targets_must_agree(tmp_path: Path, model: InternVL) -> None:
    more = write_adapter(tmp_path / "more", one_pair(), target_modules=["q_proj", "v_proj"])
    assert "has no tensor of 'v_proj', which target_modules names" in refusal(more, model)
    fewer = write_adapter(tmp_path / "fewer", plain_tensors(), target_modules=["q_proj"])
    assert "which target_modules in adapter_config.json does not name" in refusal(fewer, model)
    head = write_adapter(tmp_path / "head", one_pair(), target_modules=["q_proj", "language_model.lm_head"])
    assert "adapters of the vocabulary" in refusal(head, model)


def test_numbers_that_are_no_floats(tmp_path: Path, model: InternVL) -> None:
    folder = write_adapter(tmp_path / "a", one_pair())
    header = {
        Q_A: {"dtype": "I8", "shape": [3, 48], "data_offsets": [0, 144]},
        Q_B: {"dtype": "I8", "shape": [48, 3], "data_offsets": [144, 288]},
    }
    _overwrite(folder, header, 288)
    assert "is stored as I8" in refusal(folder, model)


def _overwrite(folder: Path, header: dict[str, object], num_bytes: int) -> None:
    text = json.dumps(header).encode()
    (folder / TENSOR_FILE).write_bytes(len(text).to_bytes(8, "little") + text + bytes(num_bytes))


def test_damaged_files(tmp_path: Path, model: InternVL) -> None:
    folder = write_adapter(tmp_path / "a", one_pair())
    whole = (folder / TENSOR_FILE).read_bytes()
    for damaged in (b"", whole[:5], whole[:200], whole[:-1], whole + b"x", b"\xff" * 64, b"version https://git-lfs"):
        (folder / TENSOR_FILE).write_bytes(damaged)
        assert TENSOR_FILE in refusal(folder, model)
    (folder / TENSOR_FILE).write_bytes(whole)
    for damaged in (b"", b"{", b"[]", b'{"r": NaN}', b"\xff", b"[" * 100_000):
        (folder / CONFIG_FILE).write_bytes(damaged)
        assert CONFIG_FILE in refusal(folder, model)


def test_missing_files(tmp_path: Path, model: InternVL) -> None:
    assert "is no folder" in refusal(tmp_path / "nowhere", model)
    folder = write_adapter(tmp_path / "a", one_pair())
    assert "is no folder" in refusal(folder / CONFIG_FILE, model)
    (folder / TENSOR_FILE).rename(tmp_path / TENSOR_FILE)
    assert f"has no {TENSOR_FILE}" in refusal(folder, model)
    (tmp_path / TENSOR_FILE).rename(folder / TENSOR_FILE)
    (folder / CONFIG_FILE).unlink()
    assert f"has no {CONFIG_FILE}" in refusal(folder, model)


def test_a_pickle_is_never_opened(tmp_path: Path, model: InternVL) -> None:
    """A pipe in its place would block whoever opens it."""
    folder = write_adapter(tmp_path / "a", one_pair())
    (folder / TENSOR_FILE).unlink()
    os.mkfifo(folder / "adapter_model.bin")
    message = refusal(folder, model)
    assert "only as a pickle (adapter_model.bin)" in message
    assert "never opened" in message


def test_a_pickle_beside_safetensors_is_ignored(tmp_path: Path, model: InternVL) -> None:
    folder = write_adapter(tmp_path / "a", one_pair())
    os.mkfifo(folder / "adapter_model.bin")
    assert list(read_adapter(folder, model).weights) == [Q]


@pytest.mark.parametrize("name", [CONFIG_FILE, TENSOR_FILE])
def test_ways_out_of_the_folder_are_refused(name: str, tmp_path: Path, model: InternVL) -> None:
    folder = write_adapter(tmp_path / "a", one_pair())
    (folder / name).rename(tmp_path / name)
    (folder / name).symlink_to(tmp_path / name)
    assert "outside of the folder" in refusal(folder, model)
    (folder / name).unlink()
    os.mkfifo(folder / name)
    assert "not a regular file" in refusal(folder, model)


@pytest.mark.parametrize(
    "settings",
    [
        {"auto_mapping": {"base_model_class": "Canary", "parent_library": "canary_of_an_adapter"}},
        {"auto_mapping": {"AutoModel": "canary_of_an_adapter.Canary"}, "auto_map": {}},
        {"megatron_core": "canary_of_an_adapter"},
        {"base_model_name_or_path": "canary_of_an_adapter"},
        {"auto_map": {"AutoModel": "canary_of_an_adapter.Canary"}},
        {"megatron_config": {"x": 1}, "megatron_core": "canary_of_an_adapter"},
    ],
)
def test_code_is_never_run(
    settings: dict[str, object], tmp_path: Path, model: InternVL, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = write_adapter(tmp_path / "a", one_pair(), **settings)
    (folder / "canary_of_an_adapter.py").write_text(f"open({str(tmp_path / 'sung')!r}, 'w')")
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(folder)
    if settings.get("auto_map") or settings.get("megatron_config"):
        assert "is not supported" in refusal(folder, model)
    else:
        read_adapter(folder, model)
    assert "canary_of_an_adapter" not in sys.modules
    assert not (tmp_path / "sung").exists()


def test_an_adapter_of_another_model(tmp_path: Path, model: InternVL) -> None:
    config = replace(model.config, text=replace(model.config.text, hidden_size=64, intermediate_size=80))
    adapter = make_adapter(1, config, parts=("language_model",), ends=("down_proj",))
    message = refusal(write_adapter(tmp_path / "a", tensors_of(adapter)), model)
    assert "has the shape [3, 80], but the model needs [3, 64]: the adapter was made for another model" in message


close = partial(torch.testing.assert_close, rtol=0, atol=1e-10)


def test_scale_and_pattern_reach_the_answer(tmp_path: Path) -> None:
    """From the folder to the logits: W + alpha / sqrt(r) * B @ A, worked out by hand."""
    tensors, ids = one_pair(), random_ids(4)
    tensors = {name: torch.randn_like(tensor).double() for name, tensor in tensors.items()}
    folder = write_adapter(tmp_path / "a", tensors, use_rslora=True, alpha_pattern={"q_proj": 5})
    model, by_hand = make_model(), make_model()
    with torch.no_grad():
        weight = by_hand.language_model.layers[0].attention.q_proj.weight
        weight += 5 / 3**0.5 * tensors[Q_B] @ tensors[Q_A]
    adapter_set = AdapterSet(model)
    adapter_set.load("a", read_adapter(folder, model))
    adapter_set.route([("a", 4)])
    close(model(ids).logits, by_hand(ids).logits)
