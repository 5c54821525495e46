"""LoRA adapters with random weights, and the folders PEFT would save them in."""

import json
from pathlib import Path

import torch
from torch import Tensor

from ivl.model.adapter_io import Adapter, LowRank, linear_shapes
from ivl.model.config import InternVLConfig
from ivl.model.names import parameter_shapes
from ivl.model.safetensors_io import Source, write_file
from random_model import CONFIG

LANGUAGE = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
VISION = ("q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2", "patch_embedding")


def make_adapter(
    seed: int = 0,
    config: InternVLConfig = CONFIG,
    parts: tuple[str, ...] = ("language_model", "vision_model", "connector"),
    ends: tuple[str, ...] = (*LANGUAGE, *VISION),
    rank: int = 3,
    scale: float = 1.7,
    dora: bool = False,
    replaced: tuple[str, ...] = (),
) -> Adapter:
    """An adapter of the modules that begin with one of `parts` and end with one of `ends`; float64.

    Parameters that begin with one of `replaced` it has itself, and does not adapt.
    """
    generator = torch.Generator().manual_seed(seed)
    weights = {}
    for path, (width_out, width_in) in linear_shapes(config).items():
        if path.startswith(parts) and path.endswith(ends) and not f"{path}.".startswith(replaced):
            a = torch.randn(rank, width_in, generator=generator, dtype=torch.float64) / width_in**0.5
            b = torch.randn(width_out, rank, generator=generator, dtype=torch.float64) / rank**0.5
            magnitude = 0.5 + torch.rand(width_out, generator=generator, dtype=torch.float64) if dora else None
            weights[path] = LowRank(a=a, b=b, scale=scale, magnitude=magnitude)
    own = {
        name: torch.randn(shape, generator=generator, dtype=torch.float64) / shape[-1] ** 0.5
        for name, shape in parameter_shapes(config).items()
        if name.startswith(replaced)
    }
    return Adapter(source=f"adapter {seed}", weights=weights, replaced=own)


def tensors_of(adapter: Adapter) -> dict[str, Tensor]:
    """The tensors by the names PEFT stores them under."""
    tensors = {}
    for path, weight in adapter.weights.items():
        tensors[f"base_model.model.{path}.lora_A.weight"] = weight.a
        tensors[f"base_model.model.{path}.lora_B.weight"] = weight.b
        if weight.magnitude is not None:
            tensors[f"base_model.model.{path}.lora_magnitude_vector"] = weight.magnitude
    return tensors | {f"base_model.model.{name}": tensor for name, tensor in adapter.replaced.items()}


def write_adapter(folder: Path, tensors: dict[str, Tensor], **settings: object) -> Path:
    """A folder as PEFT saves it; `settings` go over those of a plain adapter of rank 3 and scale 2."""
    table = {
        "alpha_pattern": {},
        "auto_mapping": {"base_model_class": "InternVL", "parent_library": "ivl.model.internvl"},
        "base_model_name_or_path": None,
        "bias": "none",
        "fan_in_fan_out": False,
        "inference_mode": True,
        "init_lora_weights": True,
        "layers_to_transform": None,
        "loftq_config": {},
        "lora_alpha": 6,
        "lora_bias": False,
        "lora_dropout": 0.05,
        "megatron_core": "megatron.core",
        "modules_to_save": None,
        "peft_type": "LORA",
        "peft_version": "0.21.2",
        "qalora_group_size": 16,
        "r": 3,
        "rank_pattern": {},
        "target_modules": sorted({name.split(".lora_")[0].rpartition(".")[2] for name in tensors if ".lora_" in name}),
        "use_dora": False,
        "use_rslora": False,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "adapter_config.json").write_text(json.dumps(table | settings))
    sources = [Source(name=name, shape=tuple(tensor.shape), pieces=(tensor,)) for name, tensor in tensors.items()]
    write_file(folder / "adapter_model.safetensors", sources)
    return folder
