"""A plan as lines of text: a column of words, then what they say.

In: a `Plan`. Out: lines without a width of their own; a terminal breaks them. Knows nothing that the plan does not say.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ivl.train.memory_book import FILL, MemoryEstimate

if TYPE_CHECKING:
    from ivl.train.plan import PartPlan, Plan

GB = 1e9
_KINDS = {
    "weights": "frozen weights",
    "trained": "what trains, in float32",
    "gradients": "gradients",
    "optimizer": "optimizer state",
    "activations": "activations",
    "loss": "loss, a chunk at a time",
    "vision": "pictures",
    "workspace": "workspace",
    "gathered": "gathered by FSDP2",
}


def plan_lines(plan: Plan) -> list[str]:
    """The whole plan."""
    sections = (
        ("model", _model(plan)),
        ("trains", _trains(plan)),
        ("data", iter(plan.data_plan.notes)),
        ("steps", _steps(plan)),
        ("work", _work(plan)),
        ("memory", _memory(plan)),
        ("time", _time(plan)),
        ("writes", _writes(plan)),
    )
    lines = []
    for name, section in sections:
        for idx, line in enumerate(section):
            lines.append(f"{name if idx == 0 else '':<8}{line}")
    return lines


def _model(plan: Plan) -> Iterator[str]:
    total = sum(part.num_parameters for part in plan.parts)
    yield f"{plan.config.path}: {total:,} parameters, template {plan.model.template}"
    where = f"{plan.world_size} ranks" if plan.world_size > 1 else "one rank"
    yield f"on {plan.device} in {plan.dtype}, {where}"


def _trains(plan: Plan) -> Iterator[str]:
    total = sum(part.num_parameters for part in plan.parts)
    for part in plan.parts:
        yield f"{part.name:<15}{part.mode:<7}{part.num_adapters + part.num_full:>14,}  {_how(plan, part)}"
    share = plan.num_trained / (total + sum(part.num_adapters for part in plan.parts))
    yield f"{'together':<22}{plan.num_trained:>14,}  {share:.2%} of all"


def _how(plan: Plan, part: PartPlan) -> str:
    config = plan.config
    if part.mode == "frozen":
        return f"of {part.num_parameters:,}" + _quantized(plan, part)
    if part.mode == "full":
        layers = "" if part.num_full == part.num_parameters else ", not all of it is reached"
        return f"of {part.num_parameters:,}{layers}; lr {part.lr:g}"
    kind = "DoRA" if config.use_dora else "rsLoRA" if config.use_rslora else "LoRA"
    return (
        f"{kind} of rank {config.r}, alpha {config.lora_alpha:g}, dropout {config.lora_dropout:g}, beside "
        f"{part.num_adapted} linear maps; lr {part.lr:g}{_quantized(plan, part)}"
    )


def _quantized(plan: Plan, part: PartPlan) -> str:
    is_small = plan.config.quantization is not None and part.name == "language_model"
    return f"; base in {plan.config.quantization}" if is_small else ""


def _steps(plan: Plan) -> Iterator[str]:
    config, data = plan.config, plan.data_plan
    total = "unknown" if data.total_steps is None else f"{data.total_steps:,}"
    if data.steps_per_epoch is not None:
        stop = f", at most {config.max_steps:,}" if config.max_steps is not None else ""
        yield f"{total}: {config.max_epochs:g} epochs of {data.steps_per_epoch:,}{stop}"
    else:
        yield total
    steps = data.steps_per_epoch or 1
    micro = f"packs of {config.token_budget:,} tokens" if config.packing else f"batches of {config.batch_size}"
    yield (
        f"a step: {config.accumulative_counts} x {plan.world_size} {micro}; about {data.num_samples / steps:,.1f} "
        f"samples, {data.num_tokens / steps:,.0f} tokens, {data.num_labelled / steps:,.0f} of them trained, "
        f"{data.num_tiles / steps:,.0f} tiles"
    )
    yield f"{config.optim_type}, {config.lr_schedule} from lr {config.lr:g} after {config.warmup_ratio:.0%} of warm-up"


def _work(plan: Plan) -> Iterator[str]:
    step = plan.step
    yield (
        f"{step.model / 1e12:,.2f} TFLOP a step: forward {step.forward / 1e12:,.2f}, backward "
        f"{step.backward / 1e12:,.2f}; and {step.recomputed / 1e12:,.2f} recomputed"
    )


def _memory(plan: Plan) -> Iterator[str]:
    memory, plain, data = plan.memory, plan.unchecked, plan.data_plan
    free = "" if memory.available is None else f", of {memory.available / GB:.1f} GB free"
    yield (
        f"about {memory.total / GB:.1f} GB at the peak{free}, with {memory.num_checkpointed} of {memory.num_layers} "
        f"layers checkpointed; {plain.total / GB:.1f} GB with none"
    )
    if not memory.fits:
        yield f"THIS DOES NOT FIT: only {FILL:.0%} of what is free may be filled; the run would refuse, with advice"
    strategy = "" if memory.strategy == "none" else f", {memory.strategy}"
    yield f"for micro batches of up to {data.largest_tokens:,} tokens and {data.largest_tiles:,} tiles{strategy}"
    for kind, words in _KINDS.items():
        if getattr(memory, kind) or getattr(plain, kind):
            yield f"  {words:<26}{_amounts(memory, plain, kind)}"


def _amounts(memory: MemoryEstimate, plain: MemoryEstimate, kind: str) -> str:
    first, second = getattr(memory, kind) / GB, getattr(plain, kind) / GB
    other = f"  {second:.2f} GB without checkpointing" if first != second else ""
    return f"{first:>7.2f} GB{other}"


def _time(plan: Plan) -> Iterator[str]:
    rate = plan.rate
    if rate is None or plan.seconds_per_step is None:
        yield "unknown"
        return
    total = "" if plan.seconds is None else f", {span(plan.seconds)} in all, validation and checkpoints aside"
    yield f"about {span(plan.seconds_per_step)} a step{total}"
    yield (
        f"assumed: {rate.share:.0%} of {rate.flops_per_second / 1e12:,.2f} TFLOP/s, {rate.source}; the first steps "
        "will tell"
    )


def _writes(plan: Plan) -> Iterator[str]:
    config = plan.config
    folder = config.work_dir or "runs/<recipe>"
    yield (
        f"{folder}/checkpoint-N every {config.save_steps} steps, {config.save_total_limit} kept, about "
        f"{plan.checkpoint_bytes / GB:.2f} GB each"
    )
    result = "adapter" if config.trains_adapters else "model"
    yield f"{folder}/metrics.jsonl and the report; at the end {folder}/{result}"


def span(seconds: float) -> str:
    """0.4 s, 12 s, 3 min 20 s, 2 h 5 min."""
    if seconds < 10:
        return f"{seconds:.2g} s"
    if seconds < 60:
        return f"{seconds:.0f} s"
    if seconds < 3600:
        return f"{int(seconds // 60)} min {int(seconds % 60)} s"
    return f"{int(seconds // 3600):,} h {int(seconds % 3600 // 60)} min"
