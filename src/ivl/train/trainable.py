"""What trains: from a recipe's words to parameters that require gradients.

In: a model and a recipe. Out: the model changed in place (adapters put on by PEFT, everything else frozen) and groups
of parameters with their learning rates. The names alone can be had without weights. Knows no data and no optimizer.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import nn

from ivl.errors import MissingExtraError, SettingsError, nearest
from ivl.model.adapter_io import linear_shapes
from ivl.model.config import InternVLConfig
from ivl.model.internvl import InternVL
from ivl.model.names import parameter_shapes, part_of
from ivl.train.config import TuneSettings

PARTS = ("vision_model", "connector", "language_model")


@dataclass(frozen=True, kw_only=True)
class Trainable:
    """Names of what trains; everything else is frozen."""

    adapted: tuple[str, ...]
    """Linear maps that get an adapter, by module path."""
    full: tuple[str, ...]
    """Parameters that train themselves."""

    @property
    def full_modules(self) -> tuple[str, ...]:
        """The highest modules whose parameters all train, for loading them in float32 and for saving them whole."""
        return tuple(dict.fromkeys(_module_of(name) for name in self.full))


def find_trainable(config: InternVLConfig, tune: TuneSettings) -> Trainable:
    """What a recipe trains of a model of this shape.

    Raises SettingsError where target_modules names nothing, or vision_layers more layers than there are.
    """
    adapted = [path for path in linear_shapes(config) if _mode(path, tune) == "lora" and _reached(path, config, tune)]
    if tune.target_modules is not None:
        adapted = _only_targets(adapted, tune.target_modules)
    full = [name for name in parameter_shapes(config) if _mode(name, tune) == "full" and _reached(name, config, tune)]
    return Trainable(adapted=tuple(adapted), full=tuple(full))


def apply_trainable(model: InternVL, tune: TuneSettings, seed: int) -> Trainable:
    """Put new adapters on `model` and let train what the recipe says, in float32; freeze the rest.

    The same seed makes the same adapters on every rank. Raises SettingsError and MissingExtraError.
    """
    found = find_trainable(model.config, tune)
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    if found.adapted:
        _put_adapters(model, found.adapted, tune, seed)
    full = set(found.full)
    for name, parameter in model.named_parameters():
        if name in full:
            parameter.requires_grad_(True)
        if parameter.requires_grad and parameter.dtype in (torch.bfloat16, torch.float16):
            parameter.data = parameter.data.float()
    return found


def trained_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """What trains, by name."""
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def part_name(name: str) -> str:
    """The part of the model that a parameter belongs to, also where a wrapper stands before its name."""
    return next(part for part in PARTS if part in name.split("."))


def _put_adapters(model: InternVL, paths: Sequence[str], tune: TuneSettings, seed: int) -> None:
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError:
        raise MissingExtraError("adapters need PEFT: pip install 'ivl[train]'") from None
    settings = LoraConfig(
        r=tune.r,
        lora_alpha=tune.lora_alpha,  # type: ignore[arg-type]  # PEFT takes any number
        lora_dropout=tune.lora_dropout,
        target_modules=list(paths),
        use_rslora=tune.use_rslora,
        use_dora=tune.use_dora,
    )
    with torch.random.fork_rng(devices=range(torch.cuda.device_count()) if torch.cuda.is_available() else []):
        torch.manual_seed(seed)
        inject_adapter_in_model(settings, model)


def _mode(name: str, tune: TuneSettings) -> str:
    return str(getattr(tune, part_of(name)))


def _reached(name: str, config: InternVLConfig, tune: TuneSettings) -> bool:
    """Whether a vision parameter lies in a layer that trains; layers above select_layer are never run."""
    if part_of(name) != "vision_model":
        return True
    words = name.split(".")
    depth = range(config.vision.num_layers + 1)[config.select_layer]
    count = depth if tune.vision_layers is None else tune.vision_layers
    if count > depth:
        raise SettingsError(f"vision_layers={count} is not allowed: the vision model runs {depth} layers")
    if words[1] == "layers":
        return depth - count <= int(words[2]) < depth
    # Embeddings train only with the whole of it; adapters never touch them.
    return tune.vision_model == "full" and tune.vision_layers is None


def _only_targets(paths: Sequence[str], targets: Iterable[str]) -> list[str]:
    """Those of `paths` that end with one of the targets' words."""
    kept = []
    for target in targets:
        found = [path for path in paths if path == target or path.endswith(f".{target}")]
        if not found:
            ends = {path.rpartition(".")[2] for path in paths}
            raise SettingsError(f"target_modules names {target!r}, which no adapted part has: {nearest(target, ends)}")
        kept += found
    return sorted(set(kept), key=paths.index)


def _module_of(name: str) -> str:
    """`vision_model.layers.3` or `connector`: what is trained as one."""
    words = name.split(".")
    return ".".join(words[:3]) if words[0] == "vision_model" and words[1] == "layers" else words[0]
