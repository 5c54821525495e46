"""`ivl bench`: a table, a file and a drawing of a real engine's speed; what cannot be is one line."""

import builtins
import json

import pytest
from PIL import Image

import ivl.model.family
from ivl.explain import ceilings
from random_model import CONFIG

QUICK = ["--requests", 2, "--new-tokens", 3, "--text-tokens", 5, "--repeats", 1, "--warmup", 0, "--device", "cpu"]


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """A small model is among the published ones, and ceilings are measured in no time."""
    monkeypatch.setattr(ivl.model.family, "FAMILY", {"InternVL2-0B": CONFIG})
    monkeypatch.setitem(ceilings._SIDE, "cpu", 64)
    monkeypatch.setitem(ceilings._BYTES, "cpu", 2**20)


def test_a_shape_needs_no_folder(ivl_command, tmp_path):
    files = ["--out", tmp_path / "speed.json", "--plot", tmp_path / "speed.png"]
    shown = ivl_command("bench", "--shape", "InternVL2-0B", *QUICK, *files)
    assert shown.code == 0, shown.err
    for words in ("InternVL2-0B, random weights", "throughput: 2 requests at once", "latency: 2 requests", "vision: "):
        assert words in shown.out
    assert "speed.json" in shown.err
    written = json.loads((tmp_path / "speed.json").read_text("utf-8"))
    assert [each["name"] for each in written["figures"]] == ["throughput", "latency", "vision"]
    assert written["prompt_tokens"] == CONFIG.tokens_per_tile + 5
    assert written["has_caches"] is False
    assert written["figures"][0]["rates"]["new_tokens_per_s"] > 0
    with Image.open(tmp_path / "speed.png") as image:
        assert image.format == "PNG"


def test_a_folder_is_measured(ivl_command, tiny_folder):
    shown = ivl_command("bench", tiny_folder("tiny-internlm2"), "--workload", "latency", "--tiles", 0, *QUICK)
    assert shown.code == 0, shown.err
    assert "tiny-internlm2, float32, on " in shown.out
    assert "latency: 2 requests" in shown.out
    assert "throughput" not in shown.out
    assert "between tokens" in shown.out


def test_a_shape_runs_in_8_bits(ivl_command):
    shown = ivl_command("bench", "--shape", "InternVL2-0B", "--workload", "latency", "--quantization", "int8", *QUICK)
    assert shown.code == 0, shown.err
    assert "float32, int8 weights" in shown.out


def test_kept_caches_are_told(ivl_command):
    shown = ivl_command("bench", "--shape", "InternVL2-0B", "--workload", "throughput", "--keep-caches", *QUICK)
    assert "caches on" in shown.out, shown.err


@pytest.mark.parametrize(
    ("args", "code", "named"),
    [
        (["--shape", "InternVL2-0BB"], 1, "did you mean 'InternVL2-0B'?"),
        (["a-model", "--shape", "InternVL2-0B"], 2, "give one"),
        (["--requests", "0"], 2, "--requests"),
        (["--shape", "InternVL2-0B", "--plot", "nowhere/at/all.png"], 1, "nowhere"),
        (["--shape", "InternVL2-0B", "--out", "nowhere/at/all.json"], 1, "nowhere"),
        (["--shape", "InternVL2-0B", "--session-len", "7", *QUICK], 1, "session_len is 7"),
        (["--shape", "InternVL2-0B", "--session-len", "11", *QUICK], 1, "raise session_len"),
        (["--shape", "InternVL2-0B", "--device", "tpu"], 1, "tpu"),
    ],
)
def test_what_cannot_be_is_one_line(ivl_command, args, code, named):
    shown = ivl_command("bench", *args)
    assert (shown.code, shown.out) == (code, "")
    (line,) = shown.err.splitlines()
    assert line.startswith("error: ")
    assert named in line


def test_a_drawing_without_matplotlib_is_refused_before_measuring(ivl_command, monkeypatch, tmp_path):
    real = builtins.__import__

    def no_matplotlib(name, *rest):
        if name.startswith("matplotlib"):
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", no_matplotlib)
    shown = ivl_command("bench", "--shape", "InternVL2-0B", "--plot", tmp_path / "speed.png")
    assert (shown.code, shown.out) == (1, "")
    assert "pip install 'ivl[plot]'" in shown.err
    assert ivl_command("bench", "--shape", "InternVL2-0B", "--workload", "vision", *QUICK).code == 0
