"""An optimizer that got its state back goes on to the very same bits."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.tensor import DTensor, Shard, distribute_tensor
from torch.nn import Parameter
from torch.optim import Optimizer

from ivl.errors import CheckpointError
from ivl.train.checkpoint import load_checkpoint, save_checkpoint
from ivl.train.optimizer_state import load_optimizer_tensors, optimizer_tensors


class ByteOptimizer(Optimizer):
    """Keeps what bitsandbytes' 8-bit ones keep: bytes, scales, tables, a plain number for the step."""

    def __init__(self, parameters: list[Parameter]) -> None:
        super().__init__(parameters, {"lr": 0.1})

    @torch.no_grad()
    def step(self, closure: object = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for p in group["params"]:
                if p.grad is None:
                    continue
                state = self.state[p]
                if not state:
                    state |= {"step": 0, "state1": torch.zeros_like(p, dtype=torch.uint8), "unorm_vec": None}
                    state |= {"qmap1": torch.linspace(-1, 1, 256), "absmax1": torch.ones(1), "beta": 0.5, "on": True}
                state["step"] += 1
                state["absmax1"] = state["absmax1"] * state["beta"] + p.grad.abs().max()
                state["state1"] = (p.grad / state["absmax1"] * 100 + 128).byte()
                p -= group["lr"] / state["step"] * state["qmap1"][state["state1"].long()]


MAKERS: dict[str, Callable[[list[Parameter]], Optimizer]] = {
    "adamw": lambda ps: torch.optim.AdamW(ps, lr=0.01),
    "amsgrad": lambda ps: torch.optim.AdamW(ps, lr=0.01, amsgrad=True),
    "fused": lambda ps: torch.optim.AdamW(ps, lr=0.01, fused=True),
    "muon": lambda ps: torch.optim.Muon([p for p in ps if p.dim() == 2], lr=0.01),
    "momentum": lambda ps: torch.optim.SGD(ps, lr=0.01, momentum=0.9),
    "plain": lambda ps: torch.optim.SGD(ps, lr=0.01),
    "bytes": ByteOptimizer,
}


def make(kind: str) -> tuple[nn.Module, Optimizer, dict[Parameter, str]]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 4), nn.Linear(4, 3))
    names = {parameter: name for name, parameter in model.named_parameters()}
    return model, MAKERS[kind](list(names)), names


def train(model: nn.Module, optimizer: Optimizer, steps: range) -> None:
    for step in steps:
        x = torch.randn(8, 6, generator=torch.Generator().manual_seed(step))
        optimizer.zero_grad()
        model(x).square().sum().backward()
        optimizer.step()


@pytest.mark.parametrize("kind", MAKERS)
def test_a_run_that_goes_on_equals_one_that_never_stopped(kind: str, tmp_path: Path) -> None:
    whole, optimizer, _ = make(kind)
    train(whole, optimizer, range(7))
    first, optimizer, names = make(kind)
    train(first, optimizer, range(4))
    path = save_checkpoint(
        tmp_path, 4, trained=dict(first.named_parameters()), optimizer=optimizer_tensors(optimizer, names), state={}
    )
    saved = load_checkpoint(path)
    second, optimizer, names = make(kind)
    second.load_state_dict(saved.trained)
    load_optimizer_tensors(optimizer, saved.optimizer, names)
    train(second, optimizer, range(4, 7))
    for got, wanted in zip(second.parameters(), whole.parameters(), strict=True):
        assert torch.equal(got, wanted)


def test_names_say_what_and_whose() -> None:
    model, optimizer, names = make("adamw")
    assert optimizer_tensors(optimizer, names) == {}
    train(model, optimizer, range(1))
    kinds = ("exp_avg", "exp_avg_sq", "step")
    tensors = optimizer_tensors(optimizer, names)
    assert set(tensors) == {f"{kind}/{name}" for kind in kinds for name in names.values()}
    assert optimizer_tensors(optimizer, names, keep=False) == {}
    _, optimizer, names = make("bytes")
    train(model, optimizer, range(0))
    assert optimizer_tensors(optimizer, names) == {}


def test_numbers_that_are_no_tensors() -> None:
    model, optimizer, names = make("bytes")
    train(model, optimizer, range(2))
    tensors = optimizer_tensors(optimizer, names)
    assert tensors["step:int/0.bias"].equal(torch.tensor(2))
    assert {"beta:float/0.bias", "on:bool/0.bias", "unorm_vec:none/0.bias", "state1/0.bias"} <= tensors.keys()
    _, fresh, names = make("bytes")
    load_optimizer_tensors(fresh, tensors, names)
    for parameter, name in names.items():
        state = fresh.state[parameter]
        assert (state["step"], state["beta"], state["on"], state["unorm_vec"]) == (2, 0.5, True, None), name
        assert state["on"] is True


def test_parameters_without_a_state_begin_anew() -> None:
    model, optimizer, names = make("adamw")
    train(model, optimizer, range(2))
    tensors = {name: tensor for name, tensor in optimizer_tensors(optimizer, names).items() if "0." in name}
    load_optimizer_tensors(optimizer, tensors, names)
    assert {names[parameter] for parameter in optimizer.state} == {"0.weight", "0.bias"}


def test_what_is_loaded_is_a_copy() -> None:
    model, optimizer, names = make("adamw")
    train(model, optimizer, range(2))
    tensors = {name: tensor.clone() for name, tensor in optimizer_tensors(optimizer, names).items()}
    kept = {name: tensor.clone() for name, tensor in tensors.items()}
    load_optimizer_tensors(optimizer, tensors, names)
    train(model, optimizer, range(2, 4))
    assert all(torch.equal(tensors[name], kept[name]) for name in kept)


@pytest.mark.parametrize(
    ("name", "tensor", "message"),
    [
        ("exp_avg/2.weight", torch.ones(4, 6), "'exp_avg/2.weight' is of a parameter that does not train"),
        ("exp_avg", torch.ones(4, 6), "'exp_avg' is of a parameter that does not train"),
        ("exp_avg/0.weight", torch.ones(6, 4), r"the shape \[6, 4\], which does not go with the parameter's \[4, 6\]"),
        ("exp_avg/0.weight", torch.ones(0), r"the shape \[0\]"),
        ("exp_avg/0.weight", torch.ones(1), r"the shape \[1\]"),
        ("step/0.weight", torch.ones(2), r"the shape \[2\]"),
        ("step:int/0.weight", torch.ones(2), r"the shape \[2\]"),
        ("step:none/0.weight", torch.ones(1), r"the shape \[1\]"),
        ("step:code/0.weight", torch.ones(1), "'step:code/0.weight' has the shape"),
        ("qmap1/0.weight", torch.ones(5000), r"the shape \[5000\]"),
        ("absmax1/0.weight", torch.ones(2, 2), r"the shape \[2, 2\]"),
    ],
)
def test_a_state_that_does_not_fit_changes_nothing(name: str, tensor: Tensor, message: str) -> None:
    model, optimizer, names = make("adamw")
    train(model, optimizer, range(1))
    before = {key: value.clone() for key, value in optimizer_tensors(optimizer, names).items()}
    with pytest.raises(CheckpointError, match=message):
        load_optimizer_tensors(optimizer, {"exp_avg/0.bias": torch.zeros(4), name: tensor}, names)
    after = optimizer_tensors(optimizer, names)
    assert after.keys() == before.keys()
    assert all(torch.equal(after[key], before[key]) for key in before)


@pytest.fixture
def one_rank(tmp_path: Path) -> Iterator[None]:
    torch.distributed.init_process_group("gloo", init_method=f"file://{tmp_path}/meet", rank=0, world_size=1)
    yield
    torch.distributed.destroy_process_group()


@pytest.mark.usefixtures("one_rank")
def test_a_state_spread_over_ranks_is_stored_whole() -> None:
    mesh = init_device_mesh("cpu", (1,))

    def sharded() -> tuple[Parameter, Optimizer]:
        weight = torch.arange(24.0).view(4, 6)
        parameter = Parameter(distribute_tensor(weight, mesh, [Shard(0)]))
        return parameter, torch.optim.AdamW([parameter], lr=0.01)

    def step(parameter: Parameter, optimizer: Optimizer) -> None:
        optimizer.zero_grad()
        parameter.square().sum().backward()
        optimizer.step()

    parameter, optimizer = sharded()
    step(parameter, optimizer)
    tensors = optimizer_tensors(optimizer, {parameter: "w"})
    assert not any(isinstance(tensor, DTensor) for tensor in tensors.values())
    assert tensors["exp_avg/w"].shape == (4, 6)
    other, fresh = sharded()
    with torch.no_grad():
        other.copy_(parameter)
    load_optimizer_tensors(fresh, tensors, {other: "w"})
    assert fresh.state[other]["exp_avg"].placements == (Shard(0),)
    step(parameter, optimizer)
    step(other, fresh)
    assert torch.equal(other.full_tensor(), parameter.full_tensor())  # type: ignore[attr-defined]
