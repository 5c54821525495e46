"""How the learning rate goes over a run: a pure function of the step.

In: a step, the number of all steps, a recipe's numbers. Out: a factor. Knows no optimizer: who steps it multiplies each
group's `initial_lr`. The same shapes as transformers' `get_cosine_schedule_with_warmup`, `get_linear_...` and
`get_constant_...`, to the last bit.
"""

import math

from ivl.train.config import OptimSettings


def lr_factor(step: int, total_steps: int, config: OptimSettings) -> float:
    """The share of the highest learning rate at which `step` is taken, in [0, 1].

    step counts from 0: the first step of a run with warm-up changes nothing, as in transformers. After the warm-up of
    ceil(warmup_ratio * total_steps) steps it falls to 0 at `total_steps`, or stays.
    """
    assert 0 <= step <= total_steps, f"step {step} of {total_steps}"
    warmup_steps = math.ceil(total_steps * config.warmup_ratio)
    if step < warmup_steps:
        return step / warmup_steps
    if config.lr_schedule == "constant":
        return 1.0
    falling = max(1, total_steps - warmup_steps)
    if config.lr_schedule == "linear":
        return max(0.0, (total_steps - step) / falling)
    assert config.lr_schedule == "cosine", f"unknown lr_schedule {config.lr_schedule}"
    return max(0.0, 0.5 * (1.0 + math.cos(math.pi * ((step - warmup_steps) / falling))))
