import sys

import pytest
from PIL import Image

from ivl.errors import MissingExtraError
from ivl.train.metrics import History, MetricsLog, read_history
from ivl.train.plot import draw_history
from train.made_up_run import run_start, step_end, whole_run


def history(tmp_path, events):
    metrics = MetricsLog(tmp_path / "metrics.jsonl", 0)
    for event in events:
        metrics(event)
    metrics.close()
    return read_history(tmp_path / "metrics.jsonl")


def colours(path, box):
    with Image.open(path) as image:
        part = image.convert("RGB").crop(
            tuple(round(share * side) for share, side in zip(box, image.size * 2, strict=True))
        )
    return {colour for _, colour in part.getcolors(1 << 24)}


BLUE, ORANGE, GREEN = (0x2F, 0x6F, 0xDE), (0xE0, 0x7A, 0x2F), (0x2F, 0x9E, 0x6E)
PANELS = {"loss": (0, 0, 0.5, 0.5), "lr": (0.5, 0, 1, 0.5), "validation": (0, 0.5, 0.5, 1), "norm": (0.5, 0.5, 1, 1)}


def test_four_panels_with_their_curves(tmp_path):
    draw_history(history(tmp_path, whole_run()), tmp_path / "plot.png")
    drawn = {name: colours(tmp_path / "plot.png", box) for name, box in PANELS.items()}
    assert {BLUE, ORANGE} <= drawn["loss"]
    assert BLUE in drawn["lr"]
    assert {ORANGE, GREEN} <= drawn["validation"]
    assert BLUE in drawn["norm"]
    assert ORANGE not in drawn["lr"] | drawn["norm"]


def test_a_run_without_validation_and_with_gaps(tmp_path):
    events = [run_start(), step_end(1, grad_norm=float("nan")), step_end(2, loss=3.0)]
    draw_history(history(tmp_path, events), tmp_path / "plot.png")
    drawn = {name: colours(tmp_path / "plot.png", box) for name, box in PANELS.items()}
    assert BLUE in drawn["loss"]
    assert not {ORANGE, GREEN} & drawn["validation"]


def test_nothing_to_draw_is_no_error(tmp_path):
    draw_history(History(), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").exists()


def test_without_matplotlib_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'ivl\[plot\]'"):
        draw_history(History(), tmp_path / "plot.png")
    assert not (tmp_path / "plot.png").exists()
