"""How an XTuner config learns and runs: optimizer, learning rate schedule, length, checkpoints, hooks.

In: `Findings`. Out: fields of our recipe with their lines. An iteration of XTuner is a micro batch; a step here is
`accumulative_counts` of them.
"""

from typing import Any

from ivl.train.xtuner_findings import Findings, told
from ivl.train.xtuner_reader import Item

Fields = dict[str, tuple[Any, int]]
_OPTIMIZERS = {
    "AdamW": "AdamW",
    "AdamW8bit": "AdamW8bit",
    "PagedAdamW8bit": "AdamW8bit",
    "PagedAdamW32bit": "AdamW",
    "PagedAdamW": "AdamW",
    "Lion": "Lion",
}
ALL_CHECKPOINTS = 1_000_000


def read_optimizer(found: Findings) -> Fields:
    """Optimizer and clipping, with torch.optim.AdamW's defaults for what is not given."""
    part = "optim_wrapper.optimizer"
    line = found.line(part, "optim_type", "optim_wrapper")
    kind = found.type_name(part) or _last_word(found.find("optim_type")) or "AdamW"
    found.taken.add("optim_type")
    if kind not in _OPTIMIZERS:
        found.note(line, f"optim_type = {kind}: AdamW is used")
    elif kind != _OPTIMIZERS[kind]:
        found.note(line, f"optim_type = {kind}: {_OPTIMIZERS[kind]} is the nearest")
    fields: Fields = {"optim_type": (_OPTIMIZERS.get(kind, "AdamW"), line)}
    for name, default in (("lr", 1e-3), ("weight_decay", 1e-2)):
        path = found.inside(part, name, name)
        value = found.number(path)
        if value is None and found.mapping(part):
            value = default
        if value is not None:
            fields[name] = (value, found.line(path, part))
    if betas := found.items(found.inside(part, "betas", "betas")):
        fields["betas"] = (tuple(item.value for item in betas), betas[0].line)
    return fields | _read_wrapper(found)


def _read_wrapper(found: Findings) -> Fields:
    fields: Fields = {}
    path = found.inside("optim_wrapper", "clip_grad.max_norm", "max_norm")
    norm = found.number(path)
    if norm is not None or found.mapping("optim_wrapper"):
        fields["max_norm"] = (norm or 0.0, found.line(path, "optim_wrapper"))
    found.type_name("optim_wrapper")
    if found.text("optim_wrapper.dtype") == "float16":
        line = found.line("optim_wrapper.dtype")
        found.note(line, "optim_wrapper.dtype = 'float16': bfloat16 on a GPU, which needs no loss scale")
    return fields


def read_schedule(found: Findings) -> Fields:
    """Length of the run, and how the learning rate goes."""
    fields: Fields = {}
    path = found.inside("train_cfg", "max_epochs", "max_epochs")
    epochs = found.number(path)
    if epochs is not None:
        fields["max_epochs"] = (epochs, found.line(path))
    found.type_name("train_cfg")
    path = found.inside("train_cfg", "max_iters", "max_iters")
    if (iterations := found.whole(path)) is not None:
        line = found.line(path)
        fields["max_steps"] = (_steps(found, "max_iters", iterations, line), line)
        fields["max_epochs"] = (1e6, line)
    return fields | _read_learning_rate(found, epochs)


def _read_learning_rate(found: Findings, epochs: float | None) -> Fields:
    fields: Fields = {}
    if (share := found.number("warmup_ratio")) is not None:
        fields["warmup_ratio"] = (share, found.line("warmup_ratio"))
    parts = found.items("param_scheduler")
    if not parts:
        return fields
    prefixes = [f"param_scheduler.{i}" for i in range(len(parts))] if _is_list(found) else ["param_scheduler"]
    fields["lr_schedule"] = ("constant", parts[0].line)
    for prefix in prefixes:
        fields |= _read_scheduler(found, prefix, epochs)
    if not any(found.type_name(prefix) == "LinearLR" for prefix in prefixes):
        fields["warmup_ratio"] = (0.0, parts[0].line)
    return fields


def _read_scheduler(found: Findings, part: str, epochs: float | None) -> Fields:
    kind, line = found.type_name(part), found.line(part)
    end, begin = found.number(f"{part}.end"), found.number(f"{part}.begin")
    if kind == "LinearLR" and not begin:
        in_epochs = found.flag(f"{part}.by_epoch")
        if end is not None and epochs and in_epochs:
            return {"warmup_ratio": (float(f"{min(end / epochs, 1):.9g}"), found.line(f"{part}.end", part))}
        found.note(line, f"{part}: a warm-up counted in iterations is a share of the run here: see warmup_ratio")
    elif kind == "CosineAnnealingLR":
        if lowest := found.number(f"{part}.eta_min"):
            found.note(found.line(f"{part}.eta_min"), f"{part}.eta_min = {lowest:g}: the rate falls to 0 here")
        return {"lr_schedule": ("cosine", line)}
    elif kind in ("LinearLR", "PolyLR"):
        return {"lr_schedule": ("linear", line)}
    elif kind != "ConstantLR":
        found.note(line, f"{part}: a schedule {kind or 'without a type'} is not offered")
    return {}


def read_runtime(found: Findings) -> Fields:
    """Checkpoints, seed, where to begin, and hooks."""
    fields = _read_checkpoints(found)
    if (seed := found.whole("randomness.seed")) is not None:
        fields["seed"] = (seed, found.line("randomness.seed"))
    if found.flag("randomness.deterministic"):
        found.note(found.line("randomness.deterministic"), "randomness.deterministic: there is no such switch here")
    for name in ("load_from", "work_dir"):
        if (item := found.find(name)) is not None and item.value is not None:
            found.note(item, f"{name} = {told(item.value)}: {_WHY[name]}")
    if found.flag("resume"):
        found.note(found.line("resume"), f"resume = True: {_WHY['resume']}")
    _read_hooks(found)
    return fields


_WHY = {
    "load_from": "XTuner's own checkpoints are not read; load_from takes an adapter or checkpoint folder of ivl",
    "work_dir": "the run gets a folder of its own",
    "resume": "a run of XTuner cannot be continued; --resume continues a run of this recipe",
}


def _read_checkpoints(found: Findings) -> Fields:
    hook = "default_hooks.checkpoint"
    fields: Fields = {}
    path = found.inside(hook, "interval", "save_steps")
    interval, line = found.whole(path), found.line(path)
    by_epoch = found.find(f"{hook}.by_epoch")
    found.type_name(hook)
    if interval is not None and by_epoch is not None and by_epoch.value is True:
        found.note(line, f"save_steps: every {interval} epochs there; counted in steps here")
    elif interval is not None:
        fields["save_steps"] = (_steps(found, "save_steps", interval, line), line)
    path = found.inside(hook, "max_keep_ckpts", "save_total_limit")
    if (kept := found.whole(path)) is not None:
        line = found.line(path)
        if kept < 0:
            found.note(line, f"save_total_limit = {kept}: all checkpoints are kept, so the limit is {ALL_CHECKPOINTS}")
        fields["save_total_limit"] = (ALL_CHECKPOINTS if kept < 0 else kept, line)
    return fields


def _read_hooks(found: Findings) -> None:
    for index, hook in enumerate(found.items("custom_hooks")):
        kind = found.type_name(f"custom_hooks.{index}") or told(hook.value)
        if kind == "EvaluateChatHook":
            found.note(hook, "EvaluateChatHook: give val_data_path, whose questions are asked at each validation")
        elif kind not in (
            "DatasetInfoHook",
            "VarlenAttnArgsToMessageHubHook",
        ):  # prints samples; packs, as we always do
            found.note(hook, f"custom hook {kind}")


def _steps(found: Findings, name: str, iterations: int, line: int) -> int:
    each = found.whole(found.inside("optim_wrapper", "accumulative_counts", "accumulative_counts")) or 1
    steps = max(1, round(iterations / each))
    if each > 1:
        found.note(line, f"{name}: {iterations} iterations there are {steps} steps here, {each} micro batches each")
    return steps


def _is_list(found: Findings) -> bool:
    item = found.find("param_scheduler")
    return item is not None and isinstance(item.value, list)


def _last_word(item: Item | None) -> str:
    return str(item.value).rpartition(".")[2] if item is not None and isinstance(item.value, str) else ""
