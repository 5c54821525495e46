"""What decays, what each optimizer updates, and that a saved state goes on exactly."""

import copy
import sys
from importlib.util import find_spec

import pytest
import torch
from torch import nn

from ivl.errors import MissingExtraError
from ivl.train.config import OptimSettings
from ivl.train.muon import StackedMuon
from ivl.train.optim import MOMENTUM, MuonWithAdamW, ParamGroup, make_optimizer

# bitsandbytes comes with ivl[qlora].
KINDS = ["AdamW", "Muon", *(["AdamW8bit", "Lion"] if find_spec("bitsandbytes") else [])]
NAMES = {
    "layers.0.q_proj.weight": (12, 8),
    "layers.0.q_proj.bias": (12,),
    "layers.0.input_norm.weight": (8,),
    "lm_head.weight": (20, 8),
    "layers.0.lora_A.default.weight": (4, 8),
}


def parameters(seed: int = 0) -> dict[str, nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return {name: nn.Parameter(torch.randn(shape, generator=generator)) for name, shape in NAMES.items()}


def groups_of(given: dict[str, nn.Parameter]) -> list[ParamGroup]:
    named = list(given.items())
    return [
        ParamGroup(name="language_model", parameters=named[:3], lr=1e-2),
        ParamGroup(name="empty", parameters=[], lr=1.0),
        ParamGroup(name="head", parameters=named[3:], lr=1e-3),
    ]


def step(given: dict[str, nn.Parameter], optimizer: torch.optim.Optimizer, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in given.values():
        parameter.grad = torch.randn(parameter.shape, generator=generator)
    optimizer.step()
    optimizer.zero_grad()


def made(kind: str, given: dict[str, nn.Parameter], **fields: object) -> torch.optim.Optimizer:
    return make_optimizer(groups_of(given), OptimSettings(optim_type=kind, **fields))


@pytest.mark.parametrize("kind", KINDS)
def test_groups_have_names_and_rates(kind):
    given = parameters()
    optimizer = made(kind, given, weight_decay=0.3)
    rates = {group["name"].split("/")[0]: group["initial_lr"] for group in optimizer.param_groups}
    assert rates == {"language_model": 1e-2, "head": 1e-3}
    assert all(group["lr"] == group["initial_lr"] for group in optimizer.param_groups)
    decays = {id(p): group["weight_decay"] for group in optimizer.param_groups for p in group["params"]}
    assert {name: decays[id(p)] for name, p in given.items()} == {
        name: 0.3 if len(shape) == 2 else 0 for name, shape in NAMES.items()
    }


@pytest.mark.parametrize("kind", KINDS)
def test_zero_gradients_shrink_matrices_only(kind):
    given = parameters()
    before = {name: parameter.detach().clone() for name, parameter in given.items()}
    optimizer = made(kind, given, weight_decay=0.5)
    for parameter in given.values():
        parameter.grad = torch.zeros_like(parameter)
    optimizer.step()
    for name, parameter in given.items():
        rate = 1e-2 if name in list(NAMES)[:3] else 1e-3
        expected = before[name] * (1 - rate * 0.5) if parameter.dim() == 2 else before[name]
        torch.testing.assert_close(parameter.detach(), expected, msg=name)


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_state_goes_on_exactly(kind):
    given = parameters()
    optimizer = made(kind, given)
    step(given, optimizer, seed=1)
    other = {name: nn.Parameter(parameter.detach().clone()) for name, parameter in given.items()}
    fresh = made(kind, other)
    saved = copy.deepcopy(optimizer.state_dict())
    fresh.load_state_dict(saved)
    for seed in (2, 3):
        for group in (*optimizer.param_groups, *fresh.param_groups):
            group["lr"] = group["initial_lr"] / seed
        step(given, optimizer, seed)
        step(other, fresh, seed)
    assert all(torch.equal(given[name], other[name]) for name in given)
    assert not torch.equal(given["lm_head.weight"], parameters()["lm_head.weight"])


@pytest.mark.parametrize("kind", KINDS)
def test_states_are_tensors_and_numbers(kind):
    given = parameters()
    optimizer = made(kind, given)
    step(given, optimizer, seed=1)
    values = [value for parameter in given.values() for value in optimizer.state[parameter].values()]
    assert len(values) >= len(given)
    assert all(isinstance(value, torch.Tensor | int | float) for value in values)


def test_adamw_is_torchs():
    given, other = parameters(), parameters()
    optimizer = made("AdamW", given, betas=(0.8, 0.9), weight_decay=0.0)
    plain = torch.optim.AdamW(
        [{"params": list(other.values())[:3], "lr": 1e-2}, {"params": list(other.values())[3:], "lr": 1e-3}],
        betas=(0.8, 0.9),
        weight_decay=0.0,
    )
    for seed in (1, 2):
        step(given, optimizer, seed)
        step(other, plain, seed)
    for name in given:
        torch.testing.assert_close(given[name], other[name])


def test_muon_takes_hidden_matrices_and_adamw_the_rest():
    given = parameters()
    optimizer = made("Muon", given)
    assert isinstance(optimizer, MuonWithAdamW)
    by = {id(p): group["optimizer"] for group in optimizer.param_groups for p in group["params"]}
    assert [name for name, parameter in given.items() if by[id(parameter)] == "muon"] == [
        "layers.0.q_proj.weight",
        "layers.0.lora_A.default.weight",
    ]
    other = parameters()["layers.0.q_proj.weight"]
    plain = StackedMuon([other], lr=1e-2, weight_decay=0.05, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw")
    other.grad = torch.randn(other.shape, generator=torch.Generator().manual_seed(1))
    plain.step()
    step(given, optimizer, seed=1)
    torch.testing.assert_close(given["layers.0.q_proj.weight"], other)


def test_muon_runs_a_closure_once():
    given = parameters()
    optimizer = made("Muon", given)
    calls = []

    def closure() -> float:
        calls.append(torch.is_grad_enabled())
        return 3.0

    assert optimizer.step(closure) == 3.0
    assert calls == [True]


@pytest.mark.parametrize("kind", ["AdamW8bit", "Lion"])
def test_a_missing_library_is_named(kind, monkeypatch):
    monkeypatch.setitem(sys.modules, "bitsandbytes", None)
    monkeypatch.setitem(sys.modules, "bitsandbytes.optim", None)
    with pytest.raises(MissingExtraError, match=rf"optim_type={kind} .*pip install 'ivl\[qlora\]'"):
        make_optimizer(groups_of(parameters()), OptimSettings(optim_type=kind))
