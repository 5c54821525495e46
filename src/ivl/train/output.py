"""What training leaves behind: an adapter in PEFT's form, or a whole model; and what it begins from again.

In: trained tensors by the model's parameter names, as PEFT's layers call them. Out: folders that `ivl chat` reads.

A checkpoint of a run with adapters is an adapter folder: it can be chatted with as it is. Adapters and parameters that
train beside them are stored in float32, as they train, so that a run goes on from them to the bit.
"""

import shutil
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ivl.errors import TrainingError
from ivl.model.adapter_config import CONFIG_FILE as ADAPTER_CONFIG
from ivl.model.adapter_io import read_adapter
from ivl.model.adapter_write import LoraSettings, TrainedAdapter, write_adapter
from ivl.model.config_io import load_config
from ivl.model.folder_io import refuse_occupied
from ivl.model.internvl import InternVL
from ivl.model.weights import save_model
from ivl.train.checkpoint import load_checkpoint
from ivl.train.config import TrainConfig
from ivl.train.run_folder import hidden_name
from ivl.train.trainable import trained_parameters

_A, _B, _MAGNITUDE = ".lora_A.default.weight", ".lora_B.default.weight", ".lora_magnitude_vector.default.weight"
ADAPTER_FOLDER, MODEL_FOLDER = "adapter", "model"
# Of a model folder, what is neither weights nor code: the tokenizer, and how answers are generated.
_KEPT_SUFFIXES = (".json", ".model", ".txt", ".md", ".jinja")
_NOT_KEPT = ("config.json", "model.safetensors.index.json")


def adapter_of(trained: Mapping[str, Tensor]) -> TrainedAdapter:
    """PEFT's parameter names sorted out."""
    lora: dict[str, tuple[Tensor, Tensor]] = {}
    magnitudes: dict[str, Tensor] = {}
    replaced: dict[str, Tensor] = {}
    for name, tensor in trained.items():
        if name.endswith(_A):
            path = name.removesuffix(_A)
            lora[path] = (tensor, trained[path + _B])
        elif name.endswith(_MAGNITUDE):
            magnitudes[name.removesuffix(_MAGNITUDE)] = tensor
        elif not name.endswith(_B):
            replaced[name] = tensor
    return TrainedAdapter(lora=lora, magnitudes=magnitudes, replaced=replaced)


def write_run_adapter(folder: Path, config: TrainConfig, model: InternVL, trained: Mapping[str, Tensor]) -> None:
    """An adapter folder from what a run with adapters trains; `folder` is new or empty."""
    settings = LoraSettings(
        r=config.r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        use_rslora=config.use_rslora,
        base_model=Path(config.path).name,
    )
    base = {name: parameter.detach() for name, parameter in model.named_parameters()}
    write_adapter(folder, adapter_of(trained), settings, model.config, base)


def read_trained(folder: Path, config: TrainConfig) -> dict[str, Tensor]:
    """The tensors of an adapter folder under the names that they train under."""
    adapter = read_adapter(folder, load_config(config.path))
    trained: dict[str, Tensor] = dict(adapter.replaced)
    for path, weight in adapter.weights.items():
        trained[path + _A], trained[path + _B] = weight.a, weight.b
        if weight.magnitude is not None:
            trained[path + _MAGNITUDE] = weight.magnitude
    return trained


def load_weights(model: InternVL, config: TrainConfig, folder: Path) -> None:
    """Begin with what another run trained: its adapter folder or checkpoint. Raises TrainingError where it differs."""
    is_adapter = (folder / ADAPTER_CONFIG).is_file()
    tensors = read_trained(folder, config) if is_adapter else load_checkpoint(folder).trained
    check_same(tensors, trained_parameters(model), str(folder))
    with torch.no_grad():
        for name, parameter in trained_parameters(model).items():
            parameter.copy_(tensors[name])


def check_same(tensors: Mapping[str, Tensor], parameters: Mapping[str, Tensor], where: str) -> None:
    """Raise TrainingError unless stored tensors are those that train, by name and shape."""
    missing = sorted(parameters.keys() - tensors.keys())
    surplus = sorted(tensors.keys() - parameters.keys())
    if missing:
        raise TrainingError(f"{where} has no {missing[0]}, which this recipe trains: it is of another recipe")
    if surplus:
        raise TrainingError(f"{where} holds {surplus[0]}, which this recipe does not train: it is of another recipe")
    for name, parameter in parameters.items():
        if tensors[name].shape != parameter.shape:
            raise TrainingError(
                f"{where}: {name} has the shape {list(tensors[name].shape)}, but here it is {list(parameter.shape)}: "
                "r or the model differ"
            )


def write_result(work_dir: Path, config: TrainConfig, model: InternVL, trained: Mapping[str, Tensor]) -> Path:
    """The end of a run: `adapter/`, or `model/` where nothing has adapters. What had the name before is replaced.

    A whole model's numbers are stored in the type of the base's; `model` is changed to it.
    """
    is_adapter = config.trains_adapters
    target = work_dir / (ADAPTER_FOLDER if is_adapter else MODEL_FOLDER)
    partial = hidden_name(target, "partial")
    try:
        if is_adapter:
            write_run_adapter(partial, config, model, trained)
        else:
            write_run_model(partial, model, trained, Path(config.path))
        old = hidden_name(target, "replaced")
        if target.exists():
            target.rename(old)
        partial.rename(target)
        shutil.rmtree(old, ignore_errors=True)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return target


def write_run_model(folder: Path, model: InternVL, trained: Mapping[str, Tensor], base: Path) -> None:
    """A whole model folder in the official layout with the base's tokenizer; nothing of its code."""
    refuse_occupied(folder)
    frozen = [each for each in model.parameters() if not each.requires_grad]
    dtype = frozen[0].dtype if frozen else stored_dtype(base)
    for name, parameter in model.named_parameters():
        parameter.data = trained.get(name, parameter.data).to(dtype)
    save_model(model, folder)
    for path in _kept_files(base):
        shutil.copyfile(path, folder / path.name)


def stored_dtype(base: Path) -> torch.dtype:
    """The type that most weight files of the family are stored in, or float32 where config.json says so."""
    import json

    said = json.loads((base / "config.json").read_text("utf-8"))
    name = said.get("torch_dtype") or said.get("dtype") or "bfloat16"
    return {"float32": torch.float32, "float16": torch.float16}.get(str(name), torch.bfloat16)


def _kept_files(base: Path) -> Iterable[Path]:
    for path in sorted(base.iterdir()):
        if path.is_file() and path.suffix in _KEPT_SUFFIXES and path.name not in _NOT_KEPT:
            yield path
