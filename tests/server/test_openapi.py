"""The server does what its OpenAPI document says, also to requests that nobody would think of."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from exact_pipeline import assert_baseline

CHECKS = (
    "not_a_server_error", "status_code_conformance", "content_type_conformance", "response_schema_conformance",
    "negative_data_rejection", "unsupported_method",
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_schemathesis_finds_no_fault(serve: Callable[..., Any], tmp_path: Path) -> None:
    """Some 1,000 requests: examples, the edges of every field, random ones."""
    with serve(default_max_tokens=4, max_tokens=64) as live:
        command = [
            str(Path(sys.executable).parent / "st"),
            "run",
            f"{live.url}/openapi.json",
            "--checks",
            ",".join(CHECKS),
        ]
        command += ["--phases", "examples,coverage,fuzzing", "--max-examples", "30", "--seed", "1", "--warnings", "off"]
        command += ["--suppress-health-check", "all", "--continue-on-failure"]
        ended = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=800)
        assert ended.returncode == 0, ended.stdout[-4000:] + ended.stderr[-1000:]
        statuses = [line["status"] for line in live.lines()]
        assert len(statuses) > 500
        assert {200, 400, 404, 405} <= set(statuses)
        assert max(statuses) < 500
        assert live.state.gate.num_answers == live.state.tiles.held == live.state.bodies.held == 0
        assert_baseline(live.state.pipe, 5)
