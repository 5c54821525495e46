"""Samples to one packed batch.

In: what the processor made of each sample. Out: a `PackedBatch`: ids end to end, each position's target, and how much
it counts. Knows no files.

Shapes: T tokens of the batch, t tokens of one sample, N tiles.
"""

from collections.abc import Sequence
from itertools import accumulate

import torch
from torch import Tensor

from ivl.data.example import PackedBatch
from ivl.data.settings import LossWeighting
from ivl.processing.processor import UNTRAINED
from ivl.processing.tiling import normalise
from ivl.types import ModelInputs


def collate(
    samples: Sequence[tuple[str, ModelInputs]],
    loss_weighting: LossWeighting = "token",
    *,
    dropped: Sequence[str] = (),
    filler_id: int = 0,
) -> PackedBatch:
    """The batch of (name, inputs) samples, each with labels (t,).

    dropped: why planned samples are missing. filler_id: the text token of which a batch without samples holds two,
    so that a rank with nothing to do can still go through the model.
    """
    if not samples:
        return PackedBatch(
            input_ids=torch.full((2,), filler_id, dtype=torch.int64),
            targets=torch.full((2,), UNTRAINED, dtype=torch.int64),
            weights=torch.zeros(2),
            offsets=(0, 2),
            pixel_values=None,
            sample_ids=(),
            dropped=tuple(dropped),
        )
    inputs = [each for _, each in samples]
    targets = [shift(each) for each in inputs]
    tiles = [each.pixel_values for each in inputs if each.pixel_values is not None]
    return PackedBatch(
        input_ids=torch.cat([each.input_ids for each in inputs]),
        targets=torch.cat(targets),
        weights=torch.cat([weigh(each, loss_weighting) for each in targets]),
        offsets=(0, *accumulate(len(each.input_ids) for each in inputs)),
        pixel_values=torch.cat(tiles) if tiles else None,
        sample_ids=tuple(name for name, _ in samples),
        dropped=tuple(dropped),
    )


def pixels_on(device: torch.device, pixels: Tensor | None) -> Tensor | None:
    """The (N, 3, p, p) uint8 of a batch as the float32 that the model reads; they travel as bytes."""
    return None if pixels is None else normalise(pixels.to(device, non_blocking=True))


def shift(inputs: ModelInputs) -> Tensor:
    """(t,) the token that each position is to predict: the next one's label; the last position has none."""
    assert inputs.labels is not None, "a training sample has labels"
    assert inputs.labels.shape == inputs.input_ids.shape, "every token has a label"
    return torch.cat((inputs.labels[1:], inputs.labels.new_full((1,), UNTRAINED)))


def weigh(targets: Tensor, loss_weighting: LossWeighting) -> Tensor:
    """(t,) float32 weights of one sample's targets (t,), n of them trained: 1, 1/n or 1/sqrt n; 0 elsewhere.

    As `len2weight` of the official packed data set.
    """
    trained = targets != UNTRAINED
    num_trained = max(int(trained.sum()), 1)
    weight = {"token": 1.0, "sample": 1 / num_trained, "square": num_trained**-0.5}[loss_weighting]
    return trained * torch.tensor(weight, dtype=torch.float32)
