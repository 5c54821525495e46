"""A run's events, made up: what observers are told, without a model."""

import io
from collections.abc import Iterator
from typing import Any

from PIL import Image

from ivl.train.events import Answer, Event, RunEnd, RunStart, Saved, StepEnd, Validation


def run_start(first_step: int = 0, **changes: Any) -> RunStart:
    values: dict[str, Any] = {
        "total_steps": 20, "first_step": first_step, "num_trainable": 1_000, "num_parameters": 12_000, "device": "cpu",
        "world_size": 2, "flops_per_second": 1e6,
    }  # fmt: skip
    return RunStart(**{**values, **changes})


def step_end(step: int, **changes: Any) -> StepEnd:
    values: dict[str, Any] = {
        "step": step, "epoch": step / 10, "loss": 2 - step / 20, "lr": 1e-4, "grad_norm": 1.0, "num_samples": 4,
        "num_tokens": 1000, "num_tiles": 8, "seconds": 0.5, "data_seconds": 0.01, "flops": 5e5,
        "memory_bytes": 2**30, "num_dropped": 0,
    }  # fmt: skip
    return StepEnd(**{**values, **changes})


def answer(name: str, given: str, expected: str = "tofu", question: str = "What is it?", **changes: Any) -> Answer:
    return Answer(sample_id=name, question=question, expected=expected, given=given, **changes)


def validation(step: int, *answers: Answer, loss: float = 1.0) -> Validation:
    return Validation(step=step, loss=loss, answers=answers)


def run_end(step: int = 20, finished: bool = True) -> RunEnd:
    return RunEnd(step=step, finished=finished, output="runs/food/adapter", seconds=61.0)


def small_png() -> bytes:
    content = io.BytesIO()
    Image.new("RGB", (8, 6), "red").save(content, "PNG")
    return content.getvalue()


def whole_run(first_step: int = 0, last_step: int = 20) -> Iterator[Event]:
    """20 steps; a validation and a checkpoint every 5."""
    yield run_start(first_step)
    if first_step == 0:
        yield validation(0, answer("a", "a bowl of something red", image=small_png()), answer("b", "tofu"), loss=2.0)
    for step in range(first_step + 1, last_step + 1):
        yield step_end(step)
        if step % 5 == 0:
            yield validation(step, answer("a", "tofu"), answer("b", f"soup {step}"), loss=2 - step / 20)
            yield Saved(step=step, path=f"runs/food/checkpoint-{step}", seconds=0.2)
    if last_step == 20:
        yield run_end()
