"""A run of `ivl bench` as data with its circumstances, as a table for people and as JSON.

In: figures and what they were measured on. Out: texts. A number is of use only with its machine, versions, command
and commit.
"""

import platform
import shlex
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import torch

from ivl._version import __version__
from ivl.explain.ceilings import Ceilings
from ivl.explain.speed_figures import Distribution, Figures, Load

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


@dataclass(frozen=True, kw_only=True)
class Circumstances:
    """What the figures must be read with."""

    device: str
    """Name of the GPU or the processor."""
    threads: int
    versions: dict[str, str]
    command: str
    commit: str
    """Of the checkout that ran, with a plus where its source was changed; "unknown" for an installed package."""
    date: str


@dataclass(frozen=True, kw_only=True)
class SpeedReport:
    """A whole run."""

    model: str
    dtype: str
    quantization: str | None
    load: Load
    prompt_tokens: int
    repeats: int
    has_caches: bool
    """Whether the prefix cache and the feature cache were on."""
    ceilings: Ceilings
    figures: tuple[Figures, ...]
    circumstances: Circumstances

    def as_dict(self) -> dict[str, object]:
        """For JSON."""
        return asdict(self)


def circumstances(device: str) -> Circumstances:
    """Of this process, now."""
    return Circumstances(
        device=device_name(device),
        threads=torch.get_num_threads(),
        versions={"python": platform.python_version(), "torch": torch.__version__, "ivl": __version__},
        command=shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        commit=source_commit(),
        date=datetime.now(UTC).date().isoformat(),
    )


def device_name(device: str) -> str:
    """A GPU's name, or the processor's."""
    if torch.device(device).type == "cuda":
        return str(torch.cuda.get_device_name(device))
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text("utf-8", "replace").splitlines() if cpuinfo.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def source_commit() -> str:
    """The commit of the checkout that this package runs from; "unknown" without git or outside of one."""
    source, git = Path(__file__).parents[1], shutil.which("git")
    if git is None or not (source.parents[1] / ".git").exists():
        return "unknown"
    answers = []
    for words in (("rev-parse", "HEAD"), ("status", "--porcelain", "--", str(source))):
        done = subprocess.run([git, *words], cwd=source, capture_output=True, text=True, check=False)  # noqa: S603 - fixed words
        if done.returncode:
            return "unknown"
        answers.append(done.stdout.strip())
    return answers[0] + ("+" if answers[1] else "")


def table(report: SpeedReport) -> str:
    """The whole report as lines of at most 100 columns."""
    load, ceilings, where = report.load, report.ceilings, report.circumstances
    weights = report.dtype + (f", {report.quantization} weights" if report.quantization else "")
    lines = [
        f"{report.model}, {weights}, on {where.device}, {where.threads} threads, torch {where.versions['torch']}",
        f"requests of {_count(load.tiles, 'tile')} and {_count(load.text_tokens, 'text token')} "
        f"({report.prompt_tokens:,} prompt tokens), {load.new_tokens:,} new; "
        f"caches {'on' if report.has_caches else 'off'}; {_count(report.repeats, 'round')}",
        "",
        f"  ceilings here       {si(ceilings.product_flop_per_s, 'FLOP/s')} products, "
        f"{si(ceilings.read_bytes_per_s, 'B/s')} read, {si(ceilings.copy_bytes_per_s, 'B/s')} copied",
    ]
    for figures in report.figures:
        lines += ["", _title(figures, load), *(f"  {label:<20}{text}" for label, text in _rows(figures))]
    return "\n".join(lines)


def si(value: float, unit: str) -> str:
    """Three digits and a prefix: 788 TFLOP/s."""
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            return f"{digits(value / size)} {prefix}{unit}"
    return f"{digits(value)} {unit}"


def digits(value: float) -> str:
    """About three significant digits, never an exponent."""
    return f"{value:,.0f}" if abs(value) >= 99.95 else f"{value:.1f}" if abs(value) >= 9.995 else f"{value:.2f}"


def percent(share: float) -> str:
    """A share with as many digits as are of use."""
    return f"{share:.0%}" if share >= 0.0995 else f"{share:.1%}"


def duration(seconds: float) -> str:
    """Seconds or milliseconds."""
    return f"{digits(seconds)} s" if seconds >= 1 else f"{digits(1000 * seconds)} ms"


def _title(figures: Figures, load: Load) -> str:
    return {
        "throughput": f"throughput: {load.requests} requests at once",
        "latency": f"latency: {load.requests} requests, one after another",
        "vision": "vision: tiles through vision model and connector",
    }[figures.name]


def _rows(figures: Figures) -> Iterator[tuple[str, str]]:
    least, most = min(figures.seconds), max(figures.seconds)
    spread = f" ({duration(least)} to {duration(most)})" if len(figures.seconds) > 1 else ""
    yield "a round", duration(statistics.median(figures.seconds)) + spread
    for name, rate in figures.rates.items():
        yield name.removesuffix("_per_s").replace("_", " "), f"{digits(rate)} /s"
    if figures.first_token_s:
        yield "first token", _percentiles(figures.first_token_s)
    if figures.between_s:
        yield "between tokens", _percentiles(figures.between_s)
    for share in figures.shares:
        reached, ceiling = si(share.reached, share.unit), si(share.ceiling, share.unit)
        yield f"share, {share.name}", f"{percent(share.share)}: {reached} of {ceiling}"
    if figures.peak_memory_bytes:
        yield "peak memory", f"{figures.peak_memory_bytes / 2**30:.2f} GiB"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'s' * (number != 1)}"


def _percentiles(times: Distribution) -> str:
    return f"p50 {duration(times.p50)}, p90 {duration(times.p90)}, p99 {duration(times.p99)}"
