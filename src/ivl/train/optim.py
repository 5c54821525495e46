"""Optimizers by name: AdamW of torch, Muon of `muon.py`, 8-bit AdamW and Lion of bitsandbytes.

In: groups of named parameters with their learning rates, a recipe's numbers. Out: a `torch.optim.Optimizer`. Knows no
model and no schedule.

Weight decay acts on matrices alone: tensors of one dimension (norms, biases, scales, DoRA's magnitudes) have none.
Each of the optimizer's param_groups says its "name" (the given one, with "/no_decay" where nothing decays) and its
"initial_lr", which the schedule multiplies.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from typing import Any, cast

import torch
from torch import nn
from torch.optim import Optimizer

from ivl.errors import MissingExtraError, SettingsError
from ivl.train.config import OptimSettings
from ivl.train.muon import StackedMuon

_NO_MATRICES = ("embed_tokens", "lm_head", "position_embedding", "patch_embedding", "class_embedding")
"""Muon is for maps between hidden states: rows of these are looked up or stand for words."""
MOMENTUM = 0.95
"""Muon's own (Jordan et al. 2024, kellerjordan.github.io/posts/muon)."""


@dataclass(frozen=True, kw_only=True)
class ParamGroup:
    """Parameters that share a learning rate."""

    name: str
    parameters: list[tuple[str, nn.Parameter]]
    """Names as `named_parameters` gives them."""
    lr: float


def make_optimizer(groups: Iterable[ParamGroup], config: OptimSettings) -> Optimizer:
    """The optimizer that `config.optim_type` names, over all groups.

    Raises MissingExtraError where bitsandbytes is needed and missing, SettingsError where it cannot work on the
    parameters (those that FSDP2 has cut in pieces).
    """
    groups = [group for group in groups if group.parameters]
    assert groups, "there is nothing to train"
    if config.optim_type == "Muon":
        return _make_muon(groups, config)
    tables = _tables(groups, config.weight_decay)
    if config.optim_type in ("AdamW8bit", "Lion"):
        return _make_bitsandbytes(tables, config)
    assert config.optim_type == "AdamW", f"unknown optim_type {config.optim_type}"
    return torch.optim.AdamW(tables, betas=config.betas, fused=_can_fuse(groups))


class MuonWithAdamW(Optimizer):
    """Muon for matrices and AdamW for all else, as one optimizer with one state_dict.

    The two share this one's param_groups and state, so whoever changes a learning rate or loads a state changes
    theirs. A group's "optimizer" says which of them steps it.
    """

    def __init__(self, muon: Optimizer | None, adamw: Optimizer | None) -> None:
        self._inner = {"muon": muon, "adamw": adamw}
        groups: list[dict[str, Any]] = []
        for name, inner in self._inner.items():
            for group in [] if inner is None else inner.param_groups:
                group["optimizer"] = name
                groups.append(group)
        super().__init__(groups, {})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> float | None:  # type: ignore[override]
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        self._share()  # a loaded state is another table
        for inner in self._inner.values():
            if inner is not None:
                inner.step()
        return loss

    def _share(self) -> None:
        for name, inner in self._inner.items():
            if inner is not None:
                inner.param_groups = [group for group in self.param_groups if group["optimizer"] == name]
                inner.state = self.state


def _tables(groups: list[ParamGroup], weight_decay: float) -> list[dict[str, Any]]:
    """torch's param_groups: each group as what decays and what does not."""
    tables = []
    for group in groups:
        for suffix, decays in (("", True), ("/no_decay", False)):
            chosen = [parameter for name, parameter in group.parameters if _decays(name, parameter) == decays]
            if chosen:
                tables.append(
                    {
                        "params": chosen,
                        "name": group.name + suffix,
                        "lr": group.lr,
                        "initial_lr": group.lr,
                        "weight_decay": weight_decay if decays else 0.0,
                    }
                )
    return tables


def _decays(name: str, parameter: nn.Parameter) -> bool:
    """Matrices do; a bias or a norm does not, whatever its shape."""
    return parameter.dim() >= 2 and not name.endswith(".bias") and "norm" not in name.split(".")[-2:][0]


def _make_muon(groups: list[ParamGroup], config: OptimSettings) -> Optimizer:
    matrices = _chosen(groups, "", True)
    rest = _chosen(groups, "/adamw", False)
    muon = adamw = None
    if matrices:
        # match_rms_adamw makes updates as large as AdamW's, so that a recipe's lr and weight_decay hold for both
        # (Liu et al. 2025, arXiv 2502.16982).
        tables = _tables(matrices, config.weight_decay)
        kind = torch.optim.Muon if _are_cut(tables) else StackedMuon  # torch's own puts the pieces together
        muon = kind(tables, momentum=MOMENTUM, adjust_lr_fn="match_rms_adamw")
    if rest:
        tables = _tables(rest, config.weight_decay)
        adamw = torch.optim.AdamW(tables, betas=config.betas, fused=_can_fuse(rest))
    return MuonWithAdamW(muon, adamw)


def _chosen(groups: list[ParamGroup], suffix: str, matrices: bool) -> list[ParamGroup]:
    """The groups' matrices, or all else; groups of which nothing is left go."""
    chosen = []
    for group in groups:
        kept = [(name, parameter) for name, parameter in group.parameters if _is_matrix(name, parameter) == matrices]
        if kept:
            chosen.append(ParamGroup(name=group.name + suffix, parameters=kept, lr=group.lr))
    return chosen


def _is_matrix(name: str, parameter: nn.Parameter) -> bool:
    return parameter.dim() == 2 and _decays(name, parameter) and not any(word in name for word in _NO_MATRICES)


def _make_bitsandbytes(tables: list[dict[str, Any]], config: OptimSettings) -> Optimizer:
    try:
        optim = import_module("bitsandbytes.optim")
    except ImportError:
        raise MissingExtraError(
            f"optim_type={config.optim_type} needs bitsandbytes: pip install 'ivl[qlora]', or choose AdamW"
        ) from None
    if _are_cut(tables):
        raise SettingsError(
            f"optim_type={config.optim_type} does not work with strategy=fsdp2, which cuts parameters in pieces: "
            "choose AdamW, or strategy=ddp"
        )
    kind = optim.AdamW8bit if config.optim_type == "AdamW8bit" else optim.Lion
    return cast(Optimizer, kind(tables, lr=tables[0]["lr"], betas=config.betas))


def _are_cut(tables: list[dict[str, Any]]) -> bool:
    """Whether ranks hold pieces of the parameters, DTensors, as FSDP2's do."""
    return any(hasattr(parameter, "full_tensor") for table in tables for parameter in table["params"])


def _can_fuse(groups: list[ParamGroup]) -> bool:
    """Whether torch has AdamW as one kernel for where the parameters are."""
    devices = {parameter.device.type for group in groups for _, parameter in group.parameters}
    return devices <= {"cuda", "cpu"}
