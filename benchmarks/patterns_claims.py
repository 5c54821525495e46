"""The tutorial's two claims about connectors, put so that a run can refute them; and the table of a comparison.

In: the `results.json` of connector_patterns.py. Out: verdicts and Markdown. The criteria were written before any run
(docs/patterns.md); nothing here is to be changed once numbers are known.

1. "A Q-Former converges slowly." The target of a seed is the held-out loss at which the MLP has done 90% of its fall.
   Compared are the samples until a run first is there, alignment included; a run that never gets there counts with its
   whole budget, which is too little. The claim holds where the 95% interval of the mean log ratio over seeds lies above
   0 (Q-Former later), is refuted where it lies below and every Q-Former got there; else it is undecided.
2. "An MLP loses nothing." Compared is the accuracy at the end of equal budgets, MLP less Q-Former. The interval spans
   two: that over seeds (t), and that over the test's pictures (bootstrap). The claim holds where it lies above -2
   points, is refuted where it lies below -2 points; else it is undecided.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean, stdev
from typing import Any, Literal

from ivl.evals.intervals import paired_difference

FALL = 0.9
"""Share of the MLP's fall in held-out loss that makes the target."""
MARGIN = 0.02
"""Accuracy that may be lost before it is called a loss."""
_T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
"""97.5th percentile of Student's t with 1 to 9 degrees of freedom."""
Run = Mapping[str, Any]
Verdict = Literal["holds", "refuted", "undecided"]


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A mean and its 95% interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A verdict and what it rests on."""

    name: str
    verdict: Verdict
    figure: Interval
    note: str


def over_seeds(values: Sequence[float]) -> Interval:
    """By Student's t; one value alone says nothing of others."""
    if len(values) < 2:
        return Interval(mean=values[0], low=-math.inf, high=math.inf)
    freedom = len(values) - 1
    half = (_T[freedom - 1] if freedom <= len(_T) else 1.96) * stdev(values) / math.sqrt(len(values))
    return Interval(mean=fmean(values), low=fmean(values) - half, high=fmean(values) + half)


def claims(runs: Sequence[Run]) -> list[Claim]:
    """Both, by samples and for the first by seconds too; none where MLP and Q-Former have no seed in common."""
    pairs = paired(runs, "mlp", "qformer")
    return [slowness(pairs, "samples"), slowness(pairs, "seconds"), nothing_lost(pairs)] if pairs else []


def paired(runs: Sequence[Run], one: str, other: str) -> list[tuple[Run, Run]]:
    """Runs of two patterns with the same seed."""
    found = {(run["job"]["pattern"], run["job"]["seed"]): run for run in runs}
    seeds = sorted({seed for _, seed in found})
    return [(found[one, seed], found[other, seed]) for seed in seeds if (one, seed) in found and (other, seed) in found]


def slowness(pairs: Sequence[tuple[Run, Run]], cost: str) -> Claim:
    """How much later a Q-Former is where the MLP's target is."""
    ratios, num_late = [], 0
    for mlp, qformer in pairs:
        target = target_of(mlp)
        own, there = cost_until(mlp, target, cost), cost_until(qformer, target, cost)
        assert own is not None, "a run reaches its own target"
        num_late += there is None
        ratios.append(math.log(max(there if there is not None else _end(qformer, cost), 1e-9) / max(own, 1e-9)))
    figure = over_seeds(ratios)
    verdict: Verdict = "undecided"
    if figure.low > 0:
        verdict = "holds"
    elif figure.high < 0 and not num_late:
        verdict = "refuted"
    note = f"{num_late} of {len(pairs)} never reached the MLP's target" if num_late else "all reached the MLP's target"
    shown = Interval(mean=math.exp(figure.mean), low=_exp(figure.low), high=_exp(figure.high))
    return Claim(
        name=f"a Q-Former converges slowly ({cost}, ratio to the MLP)", verdict=verdict, figure=shown, note=note
    )


def nothing_lost(pairs: Sequence[tuple[Run, Run]]) -> Claim:
    """Accuracy of the MLP less that of the Q-Former at the end."""
    finals = [(last_point(mlp), last_point(qformer)) for mlp, qformer in pairs]
    seeds = over_seeds([mlp["accuracy"]["mean"] - qformer["accuracy"]["mean"] for mlp, qformer in finals])
    scores = [
        [fmean(column) for column in zip(*(pair[side]["scores"] for pair in finals), strict=True)] for side in (0, 1)
    ]
    items = paired_difference(scores[1], scores[0], finals[0][0]["clusters"])
    figure = Interval(mean=seeds.mean, low=min(seeds.low, items.low), high=max(seeds.high, items.high))
    verdict: Verdict = "undecided"
    if figure.low > -MARGIN:
        verdict = "holds"
    elif figure.high < -MARGIN:
        verdict = "refuted"
    note = f"over seeds {_span(seeds)}, over pictures {_span(items)}"
    return Claim(name="an MLP loses nothing (accuracy, MLP less Q-Former)", verdict=verdict, figure=figure, note=note)


def target_of(mlp: Run) -> float:
    """The held-out loss at which a run has done FALL of its fall."""
    losses = [each["loss"] for each in validations(mlp)]
    return float(losses[0] - FALL * (losses[0] - min(losses)))


def cost_until(run: Run, target: float, cost: str) -> float | None:
    """Samples or seconds until the held-out loss first is at `target`, linear between measurements; None: never."""
    before: Mapping[str, float] | None = None
    for each in validations(run):
        if each["loss"] <= target:
            if before is None:
                return float(each[cost])
            share = (before["loss"] - target) / (before["loss"] - each["loss"])
            return float(before[cost] + share * (each[cost] - before[cost]))
        before = each
    return None


def validations(run: Run) -> list[Mapping[str, float]]:
    """Held-out losses of the first stage: later ones train other parts too."""
    return list(run["stages"][0]["validations"])


def last_point(run: Run) -> Mapping[str, Any]:
    return run["stages"][-1]["points"][-1]  # type: ignore[no-any-return]


def markdown(data: Mapping[str, Any]) -> str:
    """The table and the verdicts."""
    runs, lines = (
        data["runs"],
        ["| connector | parameters | image tokens a tile | samples | seconds | held-out loss | accuracy |"],
    )
    lines.append("|---|---|---|---|---|---|---|")
    for pattern in dict.fromkeys(run["job"]["pattern"] for run in runs):
        own = [run for run in runs if run["job"]["pattern"] == pattern]
        points = [last_point(run) for run in own]
        loss = over_seeds([validations(run)[-1]["loss"] for run in own])
        accuracy = over_seeds([point["accuracy"]["mean"] for point in points])
        cells = (
            pattern,
            f"{own[0]['parameters']:,}",
            str(own[0]["tokens_per_tile"]),
            f"{fmean(point['samples'] for point in points):,.0f}",
            f"{fmean(point['seconds'] for point in points):,.0f}",
            f"{loss.mean:.3f} ({loss.low:.3f} to {loss.high:.3f})",
            f"{100 * accuracy.mean:.1f} ({100 * accuracy.low:.1f} to {100 * accuracy.high:.1f})",
        )
        lines.append(f"| {' | '.join(cells)} |")
    if data.get("reference"):
        lines.append(f"| as it came | | | | | | {100 * data['reference']['accuracy']['mean']:.1f} |")
    lines += ["", "| claim | verdict | figure (95%) | |", "|---|---|---|---|"]
    lines += [f"| {each.name} | {each.verdict} | {_span(each.figure)} | {each.note} |" for each in claims(runs)]
    return "\n".join(lines) + "\n"


def as_json(runs: Sequence[Run]) -> list[dict[str, Any]]:
    """The verdicts; where an interval has no end, None."""
    found = [asdict(each) for each in claims(runs)]
    for each in found:
        each["figure"] = {name: value if math.isfinite(value) else None for name, value in each["figure"].items()}
    return found


def _end(run: Run, cost: str) -> float:
    return float(validations(run)[-1][cost])


def _exp(value: float) -> float:
    return math.exp(value) if value < 700 else math.inf


def _span(figure: Any) -> str:
    return f"{figure.mean:+.3f} ({figure.low:+.3f} to {figure.high:+.3f})"
