"""Says how a run goes (a line every ten seconds), keeps checkpoints, and writes metrics.json at the end."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

import torch
from tools.seedling.judge import Result
from torch import Tensor, nn


class Report:
    """Of one run, from its first second."""

    def __init__(self, out: Path, minutes: float) -> None:
        self.start = time.monotonic()
        self.out = out
        out.mkdir(parents=True, exist_ok=True)
        self.log = (out / "train.log").open("w", encoding="utf-8")
        self.every = 10.0
        self.probe_every = max(45.0, 60 * minutes / 14)
        self.save_every = 240.0
        self.last_line = self.last_probe = self.last_save = 0.0
        self.pictures = self.steps = self.total_pictures = 0
        self.phase = ""
        self.curve: list[dict[str, float | str]] = []

    def elapsed(self) -> float:
        """Seconds since the run began."""
        return time.monotonic() - self.start

    def say(self, text: str) -> None:
        line = f"{self.elapsed():7.1f}s {text}"
        print(line, flush=True)
        self.log.write(line + "\n")
        self.log.flush()

    def step(self, phase: str, pictures: int, figures: dict[str, Tensor], probe: Callable[[], str]) -> None:
        """Count a step; now and then a line of figures, more rarely a probe."""
        now = self.elapsed()
        if phase != self.phase:
            self.phase, self.last_line, self.last_probe = phase, now, now
            self.pictures = self.steps = 0
        self.pictures += pictures
        self.total_pictures += pictures
        self.steps += 1
        if now - self.last_line >= self.every:
            values = {name: float(value) for name, value in figures.items()}
            now = self.elapsed()
            rate, pace = self.pictures / (now - self.last_line), (now - self.last_line) / self.steps * 1000
            memory = torch.cuda.max_memory_allocated() / 2**30 if torch.cuda.is_available() else 0.0
            text = " ".join(f"{name} {value:.4f}" for name, value in values.items())
            self.say(f"{phase} {text} | {rate:.0f} pictures/s, {pace:.0f} ms a step, {memory:.1f} GiB")
            self.curve.append(
                {"phase": phase, "second": round(now, 1), "pictures_per_second": round(rate, 1), **values}
            )
            self.last_line, self.pictures, self.steps = now, 0, 0
        if now - self.last_probe >= self.probe_every:
            text = probe()
            self.say(f"{phase} {text}")
            self.last_probe = self.last_line = self.elapsed()
            self.pictures = self.steps = 0

    def checkpoint(self, model: nn.Module, average: object) -> None:
        if self.elapsed() - self.last_save < self.save_every:
            return
        self.last_save = self.elapsed()
        values = {name: value for (name, _), value in zip(model.named_parameters(), average.values, strict=True)}  # type: ignore[attr-defined]
        torch.save({name: value.to(torch.bfloat16).cpu() for name, value in values.items()}, self.out / "checkpoint.pt")

    def finish(
        self, results: list[Result], table: dict[str, dict[str, float]], settings: object, device: torch.device
    ) -> None:
        """Write metrics.json."""
        gpu = torch.cuda.get_device_name() if device.type == "cuda" else platform.processor() or "CPU"
        content = {
            "device": gpu,
            "torch": torch.__version__,
            "command": " ".join(["python -m tools.seedling.train", *sys.argv[1:]]),
            "commit": current_commit(),
            "seconds": round(self.elapsed(), 1),
            "pictures": self.total_pictures,
            "settings": {name: str(value) for name, value in asdict(settings).items()},  # type: ignore[call-overload]
            "summary": table,
            "results": [result.to_json() for result in results],
            "curve": self.curve,
        }
        (self.out / "metrics.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


class Clock:
    """Where the time goes, part by part; waits for the GPU at each mark, so it is off unless asked for."""

    def __init__(self, on: bool) -> None:
        self.on = on
        self.seconds: dict[str, float] = {}
        self.last = time.monotonic()

    def mark(self, part: str) -> None:
        """The time since the last mark went to this part."""
        if not self.on:
            return
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        now = time.monotonic()
        self.seconds[part] = self.seconds.get(part, 0.0) + now - self.last
        self.last = now

    def text(self) -> str:
        """Seconds of each part since the last call."""
        text = " ".join(f"{part} {seconds:.1f}s" for part, seconds in self.seconds.items())
        self.seconds = {}
        return f"({text})" if text else ""


def current_commit() -> str:
    """Of the checkout that runs; "unknown" outside of one."""
    try:
        done = subprocess.run(["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return done.stdout.strip()
