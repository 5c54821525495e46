"""The report of `ivl bench`: its table, its JSON, its drawing, and what they are measured on."""

import builtins
import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from ivl.errors import MissingExtraError, SettingsError
from ivl.explain import speed_report
from ivl.explain.ceilings import Ceilings
from ivl.explain.speed import Round
from ivl.explain.speed_figures import Load, Shape, latency_figures, throughput_figures, vision_figures
from ivl.explain.speed_plot import check_plot, draw_speed
from ivl.explain.speed_report import SpeedReport, circumstances, duration, si, source_commit, table
from random_model import CONFIG

CEILINGS = Ceilings(product_flop_per_s=2e9, read_bytes_per_s=3e9, copy_bytes_per_s=1e9)


@pytest.fixture
def report() -> SpeedReport:
    load = Load(requests=2, tiles=1, text_tokens=6, new_tokens=3)
    shape = Shape(config=CONFIG, itemsize=4, product_itemsize=4)
    at_once = [Round(seconds=each, token_s=((0.2, 0.3, 0.4), (0.5, 0.6, each))) for each in (1.0, 1.1, 0.9)]
    in_turn = [Round(seconds=2.0, token_s=((0.1, 0.11, 0.12),) * 2)]
    figures = (
        replace(throughput_figures(at_once, load, shape, CEILINGS, 8), peak_memory_bytes=3 * 2**30),
        latency_figures(in_turn, load, shape, CEILINGS),
        vision_figures([0.5], 4, shape, CEILINGS),
    )
    return SpeedReport(
        model="a model",
        dtype="float32",
        quantization="int8",
        load=load,
        prompt_tokens=10,
        repeats=3,
        has_caches=False,
        ceilings=CEILINGS,
        figures=figures,
        circumstances=circumstances("cpu"),
    )


def test_the_table_says_it_all(report: SpeedReport) -> None:
    text = table(report)
    for words in (
        "a model, float32, int8 weights, on ",
        "2.00 GFLOP/s products, 3.00 GB/s read, 1.00 GB/s copied",
        "throughput: 2 requests at once",
        "1.00 s (900 ms to 1.10 s)",
        "latency: 2 requests, one after another",
        "p50 10.0 ms",
        "peak memory         3.00 GiB",
        "8.00 /s",
    ):
        assert words in text, words
    assert re.search(r"share, decode +[\d.]+%: .*B/s of 3\.00 GB/s", text)
    assert max(map(len, text.splitlines())) <= 120


def test_the_file_holds_every_figure_and_its_circumstances(report: SpeedReport) -> None:
    written = json.loads(json.dumps(report.as_dict()))
    assert [each["name"] for each in written["figures"]] == ["throughput", "latency", "vision"]
    assert written["figures"][0]["seconds"] == [1.0, 1.1, 0.9]
    assert len(written["figures"][0]["first_token_s"]["percentiles"]) == 101
    assert written["ceilings"]["product_flop_per_s"] == 2e9
    assert all(
        written["circumstances"][name] for name in ("device", "threads", "versions", "command", "commit", "date")
    )
    assert written["circumstances"]["versions"].keys() == {"python", "torch", "ivl"}


def test_numbers_are_short() -> None:
    assert si(788.4e12, "FLOP/s") == "788 TFLOP/s"
    assert si(3.051e9, "B/s") == "3.05 GB/s"
    assert si(12.34, "requests/s") == "12.3 requests/s"
    assert si(9.996e9, "B/s") == "10.0 GB/s"
    assert (duration(0.0123), duration(2.5), duration(0.9)) == ("12.3 ms", "2.50 s", "900 ms")


def test_the_commit_is_the_checkouts(monkeypatch: pytest.MonkeyPatch) -> None:
    assert re.fullmatch(r"[0-9a-f]{40}\+?|unknown", source_commit())
    monkeypatch.setattr(speed_report.shutil, "which", lambda name: None)
    assert source_commit() == "unknown"


def test_a_drawing_needs_a_place(tmp_path: Path) -> None:
    check_plot(tmp_path / "speed.png")
    with pytest.raises(SettingsError, match="nowhere"):
        check_plot(tmp_path / "nowhere" / "speed.png")


def test_without_matplotlib_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    real = builtins.__import__

    def no_matplotlib(name: str, *rest: object) -> object:
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    with pytest.raises(MissingExtraError, match=r"pip install 'ivl\[plot\]'"):
        check_plot(tmp_path / "speed.png")


@pytest.mark.parametrize("parts", [slice(0, 3), slice(2, 3), slice(1, 2)])
def test_the_drawing_is_a_picture(report: SpeedReport, parts: slice, tmp_path: Path) -> None:
    draw_speed(replace(report, figures=report.figures[parts]), tmp_path / "speed.png")
    with Image.open(tmp_path / "speed.png") as image:
        assert image.format == "PNG"
        assert image.width > 1.5 * image.height > 700
        assert len(image.convert("RGB").getcolors(2**24) or ()) > 100
