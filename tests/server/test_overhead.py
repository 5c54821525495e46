"""The benchmark of the server's own CPU time counts what it says, behind an engine that computes nothing."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "benchmarks"))

import server_overhead_cpu


@pytest.mark.slow
def test_a_token_and_a_request_have_a_cost(tmp_path: Path) -> None:
    file = tmp_path / "cpu.json"
    words = ["--requests", "4", "--rounds", "2", "--pause-ms", "2", "--pictures", "0", "1", "--out", str(file)]
    result = server_overhead_cpu.main(words)
    assert [(cost.with_picture, cost.is_stream) for cost in result.costs] == [
        (False, True), (False, False), (True, True), (True, False)
    ]  # fmt: skip
    for cost in result.costs:
        assert all(0 < figure < 2000 for figure in cost.token_us), "microseconds"
        assert all(0 < figure < 500 for figure in cost.prepare_request_ms), "milliseconds"
    told = json.loads(file.read_text("utf-8"))
    assert set(told) == {"circumstances", "costs"}
