"""An XTuner InternVL config -> our recipe, and a list of what could not be carried over.

In: a Python file, which is read and never run. Out: a `Conversion`. What the parts of the config say counts, not the
variables at its head, where the two differ. Values that the config leaves to a tool's default get that tool's default,
not ours.

Sources: InternLM/xtuner 0.1.23, `xtuner/configs/internvl/v2`, `xtuner/model/internvl.py` (what is frozen, and that the
connector always trains), `xtuner/dataset/internvl_dataset.py`; PEFT's LoraConfig; torch.optim.AdamW; mmengine (an
iteration is a micro batch).
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivl.errors import SettingsError
from ivl.train.config import TrainConfig
from ivl.train.recipe import dump_recipe
from ivl.train.recipe_yaml import read_text
from ivl.train.xtuner_data import read_data
from ivl.train.xtuner_findings import Findings, told
from ivl.train.xtuner_reader import Item, read_python
from ivl.train.xtuner_schedule import read_optimizer, read_runtime, read_schedule

# Parts that have no counterpart and change nothing that is learnt.
_NOT_NEEDED = (
    "tokenizer",
    "env_cfg",
    "visualizer",
    "log_level",
    "log_processor",
    "launcher",
    "default_hooks.timer",
    "default_hooks.logger",
    "default_hooks.param_scheduler",
    "default_hooks.sampler_seed",
    "default_hooks.checkpoint.save_optimizer",
    "train_dataloader.collate_fn",
    "train_dataloader.sampler.length_property",
    "train_dataloader.sampler.per_device_batch_size",
    "train_dataloader.sampler.mega_batch_mult",
    "train_dataloader.sampler.shuffle",
    "train_dataloader.pin_memory",
    "train_dataloader.persistent_workers",
    "optim_wrapper.loss_scale",
    "optim_wrapper.clip_grad.error_if_nonfinite",
    "model.llm_lora.task_type",
    "model.visual_encoder_lora.task_type",
)
# Names of linear maps in InternLM2, Phi-3 and InternViT -> ours, which are never fused.
_TARGETS = {
    "wqkv": ("q_proj", "k_proj", "v_proj"),
    "qkv_proj": ("q_proj", "k_proj", "v_proj"),
    "qkv": ("q_proj", "k_proj", "v_proj"),
    "wo": ("o_proj",),
    "proj": ("o_proj",),
    "w1": ("gate_proj",),
    "w3": ("up_proj",),
    "w2": ("down_proj",),
    "gate_up_proj": ("gate_proj", "up_proj"),
    "output": ("lm_head",),
}


@dataclass(frozen=True, kw_only=True)
class Conversion:
    """A config of XTuner as a recipe of ours."""

    source: str
    config: TrainConfig
    stated: tuple[str, ...]
    """The fields that the config decides; the others have their defaults."""
    notes: tuple[str, ...]
    """One line each: what was not carried over, or means something else here."""
    not_needed: tuple[str, ...]
    """Parts without a counterpart that change nothing that is learnt."""

    def recipe(self) -> str:
        """The recipe's YAML, with the notes as comments at its head."""
        head = [f"Made from {Path(self.source).name}, a config of XTuner, by `ivl train from-xtuner`."]
        if self.notes:
            head += ["Not carried over, or not the same here:", *(f"  {note}" for note in self.notes)]
        if self.not_needed:
            head.append(f"Without a counterpart, and not needed here: {', '.join(self.not_needed)}.")
        comments = "".join(f"# {_on_one_line(line)}\n" for line in head)
        return f"{comments}\n{dump_recipe(self.config, names=self.stated)}"


def read_xtuner(path: str | os.PathLike[str]) -> Conversion:
    """Read an XTuner InternVL config without running it.

    Raises SettingsError, with file and line, where the file is no such config or a value has a wrong kind.
    """
    source = str(path)
    found = Findings(read_python(read_text(Path(path), "config of XTuner"), source), source)
    fields: dict[str, tuple[Any, int]] = {}
    for read in (_read_model, read_data, read_optimizer, read_schedule, read_runtime):
        fields |= read(found)
    not_needed = tuple(_leave_what_is_not_needed(found))
    for name, item in found.left():
        found.note(item, f"{name} = {told(item.value)}")
    notes = tuple(f"line {line}: {_on_one_line(text)}" for line, text in sorted(set(found.notes)))
    return Conversion(
        source=source, config=_build(fields, found), stated=tuple(fields), notes=notes, not_needed=not_needed
    )


def _build(fields: dict[str, tuple[Any, int]], found: Findings) -> TrainConfig:
    try:
        return TrainConfig(**{name: value for name, (value, _) in fields.items()})
    except SettingsError as fault:
        name = str(fault).partition("=")[0]
        raise found.refuse(fields[name][1] if name in fields else 1, str(fault)) from None


def _read_model(found: Findings) -> dict[str, tuple[Any, int]]:
    kind = found.type_name("model")
    if not kind.startswith("InternVL"):
        what = f"its model is {kind}" if kind else "it has no `model = dict(type=InternVL_V1_5, ...)`"
        raise found.refuse(found.line("model.type", "model"), f"{what}: only InternVL configs of XTuner are read")
    line = found.line("model")
    fields: dict[str, tuple[Any, int]] = {
        "language_model": (_mode(found, "freeze_llm", "llm_lora"), line),
        "vision_model": (_mode(found, "freeze_visual_encoder", "visual_encoder_lora"), line),
        "connector": ("full", line),
    }
    if (path := found.text("model.model_path", "path")) is not None:
        fields["path"] = (path, found.line("model.model_path", "path"))
    if found.flag("model.quantization_llm"):
        fields["quantization"] = ("nf4", found.line("model.quantization_llm"))
    if found.flag("model.quantization_vit"):
        found.note(found.line("model.quantization_vit"), "model.quantization_vit: only the language model is quantized")
    if (weights := found.find("model.pretrained_pth")) is not None and weights.value is not None:
        found.note(weights, f"model.pretrained_pth = {told(weights.value)}: XTuner's own checkpoints are not read")
    return fields | _read_adapters(found)


def _mode(found: Findings, frozen: str, lora: str) -> str:
    """PEFT freezes the base of what gets adapters, whatever `freeze_...` says."""
    is_frozen = found.flag(f"model.{frozen}")
    if found.mapping(f"model.{lora}"):
        return "lora"
    return "frozen" if is_frozen else "full"


def _read_adapters(found: Findings) -> dict[str, tuple[Any, int]]:
    parts = [part for part in ("model.llm_lora", "model.visual_encoder_lora") if found.mapping(part)]
    if not parts:
        return {}
    read = [_read_adapter(found, part) for part in parts]
    for name in read[0]:
        values = [each[name] for each in read]
        if len(values) == 2 and values[0] != values[1] and name != "target_modules":
            line = found.line(f"{parts[1]}.{name}", parts[1])
            found.note(line, f"{parts[1]}.{name} = {values[1]}: all adapters share {name}, here {values[0]}")
    first = {name: (value, found.line(f"{parts[0]}.{name}", parts[0])) for name, value in read[0].items()}
    first["target_modules"] = (_merge_targets(found, parts, [each["target_modules"] for each in read]), first["r"][1])
    return {name: stated for name, stated in first.items() if stated[0] is not None and stated[0] is not False}


def _read_adapter(found: Findings, part: str) -> dict[str, Any]:
    """With PEFT's defaults for what is not given."""
    if (bias := found.text(f"{part}.bias")) not in (None, "none"):
        found.note(found.line(f"{part}.bias"), f"{part}.bias = {bias!r}: biases do not train here")
    found.type_name(part)
    rank, alpha = found.whole(f"{part}.r"), found.number(f"{part}.lora_alpha")
    dropout = found.number(f"{part}.lora_dropout")
    return {
        "r": 8 if rank is None else rank,
        "lora_alpha": 8 if alpha is None else alpha,
        "lora_dropout": 0.0 if dropout is None else dropout,
        "use_rslora": found.flag(f"{part}.use_rslora"),
        "use_dora": found.flag(f"{part}.use_dora"),
        "target_modules": _targets(found.items(f"{part}.target_modules")),
    }


def _targets(items: list[Item]) -> tuple[str, ...] | None:
    names = [str(item.value) for item in items]
    if not names or names in (["all-linear"], ["all"]):
        return None
    ours = [target for name in names for target in _TARGETS.get(name.rpartition(".")[2], (name.rpartition(".")[2],))]
    return tuple(dict.fromkeys(ours))


def _merge_targets(found: Findings, parts: list[str], targets: list[tuple[str, ...] | None]) -> tuple[str, ...] | None:
    every = {"q_proj", "k_proj", "v_proj", "o_proj", "fc1", "fc2"}
    if parts[-1] == "model.visual_encoder_lora" and targets[-1] is not None and every <= set(targets[-1]):
        targets = [*targets[:-1], None]  # the four that XTuner's configs list are all that the vision model has
    if len(set(targets)) > 1:
        line = found.line(f"{parts[1]}.target_modules", parts[1])
        found.note(line, "target_modules differ between language and vision model: here one list serves both")
    if None in targets:
        return None
    return tuple(dict.fromkeys(name for each in targets if each for name in each))


def _leave_what_is_not_needed(found: Findings) -> list[str]:
    left = [name for name, _ in found.left()]
    for name in left:
        if any(name == each or name.startswith(f"{each}.") for each in _NOT_NEEDED):
            found.taken.add(name)
    gone = [name for name in left if name in found.taken]
    return list(dict.fromkeys(next(e for e in _NOT_NEEDED if name == e or name.startswith(f"{e}.")) for name in gone))


def _on_one_line(text: str) -> str:
    """Without anything that could end a comment."""
    return "".join(sign if sign.isprintable() else " " for sign in text)
