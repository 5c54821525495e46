"""`ivl doctor`: lines, JSON and exit codes."""

import json

import pytest

from ivl.explain import machine
from ivl.explain.check import Check


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    """No time is spent on measuring."""
    monkeypatch.setattr(machine, "measure_dtypes", lambda device: dict.fromkeys(machine.DTYPES, 1.0))


def test_this_machine(ivl_command):
    shown = ivl_command("doctor")
    assert shown.code == 0
    *lines, _, summary = shown.out.splitlines()
    assert all(line.split()[0] in {"ok", "warning"} for line in lines)
    assert "no problems" in summary


def test_a_whole_model(ivl_command, tiny_folder):
    shown = ivl_command("doctor", tiny_folder("tiny-qwen2"))
    assert shown.code == 0
    assert "ok       forward      finite logits" in shown.out


def test_a_broken_model(ivl_command, tiny_folder, tmp_path):
    (tmp_path / "config.json").write_bytes((tiny_folder("tiny-qwen2") / "config.json").read_bytes())
    shown = ivl_command("doctor", tmp_path)
    assert shown.code == 1
    assert "problem  weights" in shown.out
    assert "problem  tokenizer" in shown.out
    assert shown.out.splitlines()[-1].startswith("2 problems")


def test_json(ivl_command, tiny_folder, tmp_path):
    (tmp_path / "config.json").write_bytes((tiny_folder("tiny-qwen2") / "config.json").read_bytes())
    shown = ivl_command("doctor", tmp_path, "--json")
    assert shown.code == 1
    report = json.loads(shown.out)
    assert report["problems"] == 2
    assert {"name", "level", "found", "advice", "figures"} == set(report["checks"][0])


def test_what_to_do_stands_on_the_same_line(ivl_command, monkeypatch):
    check = Check(name="threads", level="warning", found="64 for 2 cores", advice="set OMP_NUM_THREADS=2")
    monkeypatch.setattr(machine, "machine_checks", lambda: iter([check]))
    shown = ivl_command("doctor")
    assert shown.code == 0
    assert "warning  threads      64 for 2 cores -> set OMP_NUM_THREADS=2\n" in shown.out
    assert "no problems, 1 warning" in shown.out


def test_no_such_model(ivl_command):
    shown = ivl_command("doctor", "./no/such/folder")
    assert (shown.code, shown.out) == (1, "")
    assert shown.err.startswith("error: ")
