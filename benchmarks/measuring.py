"""Fair repeats of contestants, and what they ran on.

In: contestants by name, a prompt. Out: `Timings` of each, and dataclasses that become a results file: every
published number carries its machine, its versions, its command and its commit.
"""

import gc
import json
import os
import platform
import shlex
import statistics
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

import torch
from contestants import Answer, Contestant
from stand_in import Prompt

import ivl._version


@dataclass(kw_only=True)
class Timings:
    """All repeats of one contestant, in the order in which they ran."""

    first_token_s: list[float] = field(default_factory=list)
    tokens_per_s: list[float] = field(default_factory=list)

    def add(self, answer: Answer) -> None:
        self.first_token_s.append(answer.first_token_s)
        self.tokens_per_s.append(answer.tokens_per_s)


def take_turns(contestants: dict[str, Contestant], prompt: Prompt, new_tokens: int, repeats: int) -> dict[str, Timings]:
    """Each contestant once in a round, A B A B ..., so that what else the machine does strikes all alike.

    Raises RuntimeError when the contestants' tokens differ: then they did not do the same work.
    """
    timings = {name: Timings() for name in contestants}
    for _ in range(repeats):
        answers = {name: _run(contestant, prompt, new_tokens) for name, contestant in contestants.items()}
        check_equal({name: answer.token_ids for name, answer in answers.items()})
        for name, answer in answers.items():
            timings[name].add(answer)
    return timings


def check_equal(tokens: dict[str, list[int]]) -> None:
    """Raise RuntimeError, naming the first difference, unless all contestants gave the same tokens."""
    (first, wanted), *others = tokens.items()
    for name, got in others:
        if got != wanted:
            differ = [i for i, (a, b) in enumerate(zip(got, wanted, strict=False)) if a != b]
            where = differ[0] if differ else min(len(got), len(wanted))
            raise RuntimeError(f"{first} and {name} differ at new token {where}: there is nothing to compare")


def spread(values: list[float]) -> dict[str, float]:
    """Median, least and most."""
    return {"median": statistics.median(values), "least": min(values), "most": max(values)}


def pairwise_ratio(ours: list[float], theirs: list[float]) -> float:
    """The median of ours / theirs within each round: steadier than the ratio of medians on a busy machine."""
    return statistics.median(a / b for a, b in zip(ours, theirs, strict=True))


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What a number must be read with."""

    processor: str
    cores: int
    threads: int
    memory_gib: float
    load_before: float
    """Processes that wanted a core in the minute before the run; near 0 on a quiet machine."""
    versions: dict[str, str]
    command: str
    commit: str


def circumstances(commit: str | None = None) -> Circumstances:
    """Of this process, now; `commit` where git cannot tell it."""
    names = ("torch", "transformers", "ivl")
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return Circumstances(
        processor=_processor(),
        cores=os.cpu_count() or 0,
        threads=torch.get_num_threads(),
        memory_gib=round(pages / 2**30, 1),
        load_before=round(os.getloadavg()[0], 2),
        versions={"python": platform.python_version()} | {name: _version(name) for name in names},
        command=shlex.join(["python", *sys.argv]),
        commit=commit or _commit(),
    )


def write_result(path: Path, result: object) -> None:
    """A dataclass as JSON."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(asdict(result), indent=2) + "\n", "utf-8")  # type: ignore[call-overload]


def _run(contestant: Callable[[Prompt, int], Answer], prompt: Prompt, new_tokens: int) -> Answer:
    gc.collect()  # what one left behind is not the next one's work
    return contestant(prompt, new_tokens)


def _processor() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def _commit() -> str:
    """The commit of this checkout, with a plus where its files were changed since."""
    try:
        head = _git("rev-parse", "HEAD")
        changed = _git("status", "--porcelain", "--", "../src", "*.py")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return head + ("+" if changed else "")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ivl._version.__version__ if package == "ivl" else "not installed"


def _git(*words: str) -> str:
    run = subprocess.run(["git", *words], cwd=Path(__file__).parent, capture_output=True, text=True, check=True)
    return run.stdout.strip()
