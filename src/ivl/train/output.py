"""What training leaves behind: an adapter in PEFT's form, or a whole model; and what it begins from again.

In: trained tensors by the model's parameter names, as PEFT's layers call them. Out: folders that `ivl chat` reads.

A checkpoint of a run with adapters is an adapter folder: it can be chatted with as it is. Adapters and parameters that
train beside them are stored in float32, as they train, so that a run goes on from them to the bit.
"""

import shutil
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

import torch
from torch import Tensor

from ivl.errors import TrainingError
from ivl.model.adapter_config import CONFIG_FILE as ADAPTER_CONFIG
from ivl.model.adapter_io import read_adapter
from ivl.model.adapter_write import LoraSettings, from_parameters, to_parameters, write_adapter
from ivl.model.checkpoint import open_checkpoint
from ivl.model.config import InternVLConfig
from ivl.model.config_io import load_config
from ivl.model.folder_io import refuse_occupied
from ivl.model.internvl import InternVL
from ivl.model.safetensors_io import FLOATS
from ivl.model.weights import save_model
from ivl.train.checkpoint import load_checkpoint
from ivl.train.config import TrainConfig
from ivl.train.run_folder import hidden_name
from ivl.train.trainable import trained_parameters

ADAPTER_FOLDER, MODEL_FOLDER = "adapter", "model"
# Of a model folder, what is neither weights nor code: the tokenizer, and how answers are generated.
_KEPT_SUFFIXES = (".json", ".model", ".txt", ".md", ".jinja")
_NOT_KEPT = ("config.json", "model.safetensors.index.json")


def write_run_adapter(
    folder: Path,
    config: TrainConfig,
    model: InternVLConfig,
    trained: Mapping[str, Tensor],
    base: Mapping[str, Tensor] | None = None,
) -> None:
    """An adapter folder from what a run with adapters trains; `folder` is new or empty. base: see `write_adapter`."""
    settings = LoraSettings(
        r=config.r,
        lora_alpha=config.lora_alpha,
        lora_dropout=config.lora_dropout,
        use_rslora=config.use_rslora,
        base_model=Path(config.path).name,
    )
    write_adapter(folder, from_parameters(trained), settings, model, base)


def read_trained(folder: Path, config: TrainConfig) -> dict[str, Tensor]:
    """The tensors of an adapter folder under the names that they train under."""
    return to_parameters(read_adapter(folder, load_config(config.path)))


def load_weights(model: InternVL, config: TrainConfig, folder: Path) -> None:
    """Begin with what another run trained: its adapter folder or checkpoint. Raises TrainingError where it differs."""
    if folder.is_file():
        raise TrainingError(
            f"load_from={str(folder)!r} is a file, and pickled checkpoints (.pth, .pt, .bin) are never opened: give "
            "the folder of an adapter or of a checkpoint of ivl"
        )
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


def write_result(work_dir: Path, config: TrainConfig, model: InternVLConfig, tensors: Mapping[str, Tensor]) -> Path:
    """The end of a run: `adapter/`, or `model/` where nothing has adapters. What had the name before is replaced.

    tensors: what trains, or all parameters where nothing has adapters (`needs_all`), whole and by name.
    """
    target = work_dir / (MODEL_FOLDER if needs_all(config) else ADAPTER_FOLDER)
    partial, old = hidden_name(target, "partial"), hidden_name(target, "replaced")
    try:
        if needs_all(config):
            write_run_model(partial, model, tensors, Path(config.path))
        else:
            write_run_adapter(partial, config, model, tensors)
        if target.exists():
            target.rename(old)
        partial.rename(target)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)
    return target


def needs_all(config: TrainConfig) -> bool:
    """Whether the result is a whole model."""
    return not config.trains_adapters


def write_run_model(folder: Path, config: InternVLConfig, tensors: Mapping[str, Tensor], base: Path) -> None:
    """A whole model folder in the official layout with the base's tokenizer and numbers of the base's type; nothing of
    its code."""
    refuse_occupied(folder)
    dtype = stored_dtype(base)
    with torch.device("meta"):
        model = InternVL(config)
    model.load_state_dict({name: tensor.to("cpu", dtype) for name, tensor in tensors.items()}, assign=True)
    save_model(model, folder)
    for path in _kept_files(base):
        shutil.copyfile(path, folder / path.name)


def stored_dtype(base: Path) -> torch.dtype:
    """The type that most tensors of a model folder are stored in."""
    stored = Counter(entry.dtype for _, _, entry in open_checkpoint(base).tensors)
    return FLOATS[stored.most_common(1)[0][0]]


def _kept_files(base: Path) -> Iterable[Path]:
    for path in sorted(base.iterdir()):
        if path.is_file() and path.suffix in _KEPT_SUFFIXES and path.name not in _NOT_KEPT:
            yield path
