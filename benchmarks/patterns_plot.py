"""The comparison of connectors, drawn: held-out loss and accuracy against samples, seconds and parameters.

    python benchmarks/patterns_plot.py OUT/results.json          writes loss.svg and accuracy.svg beside it

In: the `results.json` of connector_patterns.py. Out: SVG files and, on the terminal, the table. Needs matplotlib, and
so is a step of its own: the machine that trained may not have it. A line is the mean over seeds, its band the 95%
interval of that mean (Student's t), every dot one run.
"""

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from patterns_claims import markdown, over_seeds, validations

COLOURS = {"mlp": "#0072b2", "linear": "#009e73", "qformer": "#d55e00", "qformer-direct": "#cc79a7"}
AXES = (("samples", "samples"), ("seconds", "seconds of training"))


def draw(data: Mapping[str, Any], folder: Path) -> list[Path]:
    """Write both pictures; their paths."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "ivl"
    import matplotlib.pyplot as plt

    written = []
    for name, title in (("loss", "held-out loss, nats a token"), ("accuracy", "accuracy, %")):
        figure, panels = plt.subplots(1, 3, figsize=(12, 4), sharey=True, layout="constrained")
        for pattern in dict.fromkeys(run["job"]["pattern"] for run in data["runs"]):
            own = [run for run in data["runs"] if run["job"]["pattern"] == pattern]
            curves = [curve(run, name) for run in own]
            for panel, (cost, label) in zip(panels, AXES, strict=False):
                _band(panel, curves, cost, COLOURS.get(pattern, "#555555"), pattern)
                panel.set_xlabel(label)
            last = over_seeds([each[-1]["value"] for each in curves])
            whiskers = None if len(curves) < 2 else [[last.mean - last.low], [last.high - last.mean]]
            panels[2].errorbar(own[0]["parameters"], last.mean, yerr=whiskers, fmt="o", color=COLOURS.get(pattern))
            panels[2].scatter([own[0]["parameters"]] * len(own), [each[-1]["value"] for each in curves], s=8, color="k")
        panels[2].set_xscale("log")
        panels[2].set_xlabel("parameters of the connector")
        panels[0].set_ylabel(title)
        panels[0].legend(frameon=False)
        if name == "accuracy" and data.get("reference"):
            for panel in panels:
                panel.axhline(100 * data["reference"]["accuracy"]["mean"], color="#999999", linestyle=":", linewidth=1)
        path = folder / f"{name}.svg"
        figure.savefig(path, metadata={"Date": None})
        plt.close(figure)
        written.append(path)
    return written


def curve(run: Mapping[str, Any], name: str) -> list[dict[str, float]]:
    """Each measurement of a run: samples, seconds, value."""
    if name == "loss":
        return [{**each, "value": each["loss"]} for each in validations(run)]
    points = [point for stage in run["stages"] for point in stage["points"]]
    return [{**point, "value": 100 * point["accuracy"]["mean"]} for point in points]


def _band(panel: Any, curves: Sequence[Sequence[Mapping[str, float]]], cost: str, colour: str, label: str) -> None:
    """The mean over seeds, measurement by measurement, with its interval."""
    columns = list(zip(*curves, strict=True))
    x = [sum(each[cost] for each in column) / len(column) for column in columns]
    spans = [over_seeds([each["value"] for each in column]) for column in columns]
    panel.plot(x, [span.mean for span in spans], color=colour, marker=".", label=label)
    if len(curves) > 1:
        panel.fill_between(x, [s.low for s in spans], [s.high for s in spans], color=colour, alpha=0.2, linewidth=0)


if __name__ == "__main__":
    source = Path(sys.argv[1])
    results = json.loads(source.read_text("utf-8"))
    print(markdown(results))
    print(*draw(results, source.parent), sep="\n")
