"""Validation while training: the loss, and a few answers in the model's own words.

In: the model as it trains and validation data. Out: a `Validation`. Answers come from the plain greedy loop on the very
weights that train: nothing is merged or copied. Knows no files.
"""

import contextlib
import io
from collections.abc import Iterable

import torch
from torch import Tensor

from ivl.data.collate import pixels_on
from ivl.data.example import PackedBatch
from ivl.data.questions import Question
from ivl.train.events import Answer
from ivl.train.ranks import Ranks
from ivl.train.strategies import Strategy

ANSWER_TOKENS = 96
"""Tokens of a validation answer, at most."""
_PREVIEW = 320
"""Pixels of the longer side of a picture in the report."""


@torch.no_grad()
def validation_loss(strategy: Strategy, batches: Iterable[PackedBatch], ranks: Ranks) -> float:
    """The mean loss over all validation data, weighted as in training; every rank brings its share.

    All ranks must be given the same number of batches.
    """
    device = ranks.device
    sums = torch.zeros(2, dtype=torch.float64, device=device)
    for batch in batches:
        total, _ = run_forward(strategy, batch, device)
        sums += torch.stack([total.double(), batch.weights.to(device).double().sum()])
    loss, weight = ranks.all_sum(sums).tolist()
    return float(loss / weight) if weight else float("nan")


def run_forward(
    strategy: Strategy, batch: PackedBatch, device: torch.device, scale: float = 1.0
) -> tuple[Tensor, Tensor]:
    """The loss of a micro batch times `scale`, and its tokens' losses."""
    total, losses = strategy.module(
        batch.input_ids.to(device, non_blocking=True),
        batch.targets.to(device, non_blocking=True),
        batch.weights.to(device, non_blocking=True) * scale,
        batch.offsets,
        pixels_on(device, batch.pixel_values),
        batch.seen,
    )
    return total, losses


def answer_questions(strategy: Strategy, questions: Iterable[Question], ranks: Ranks) -> tuple[Answer, ...]:
    """What the model says to each; with sharded weights all ranks answer the same questions together."""
    forward = strategy.forward
    autocast = (
        contextlib.nullcontext()
        if forward.dtype == torch.float32
        else torch.autocast(ranks.device.type, forward.dtype, cache_enabled=False)
    )
    answers = []
    with strategy.whole_model(), autocast:
        for question in questions:
            inputs = question.inputs
            pixels = None if inputs.pixel_values is None else inputs.pixel_values.to(ranks.device)
            ids = forward.model.generate_greedy(
                inputs.input_ids.to(ranks.device), pixels, ANSWER_TOKENS, question.stop_token_ids
            )
            answers.append(
                Answer(
                    sample_id=question.sample_id,
                    question=question.text,
                    expected=question.expected,
                    given=question.decode(ids),
                    image=_preview(question),
                )
            )
    return tuple(answers)


def _preview(question: Question) -> bytes | None:
    """A small PNG of the question's first picture."""
    if question.picture is None:
        return None
    small = question.picture.copy()
    small.thumbnail((_PREVIEW, _PREVIEW))
    buffer = io.BytesIO()
    small.save(buffer, "PNG")
    return buffer.getvalue()
