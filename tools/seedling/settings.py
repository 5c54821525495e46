"""The options of a training run: what the command line gives, as one frozen value."""

import argparse
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class Settings:
    """One run."""

    pack: Path
    out: Path
    minutes: float
    device: str
    seeing: float
    """Share of the training time that goes to the first phase."""
    lr: float
    workers: int
    tiles: int
    """Tiles per batch of the first phase; the second has half."""
    cases: int
    """Questions per kind and style of the final evaluation."""
    seed: int
    compile: bool
    profile: bool
    tiny: bool


def read_settings(description: str | None) -> Settings:
    """From the command line; `description` is the help's opening."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pack", type=Path, default=Path("out/seedling/pack.npz"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--minutes", type=float, default=20.0, help="wall time of everything, evaluation included")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--seeing", type=float, default=0.4)
    parser.add_argument("--lr", type=float, default=2e-3)
    parser.add_argument("--workers", type=int, default=14)
    parser.add_argument("--tiles", type=int, default=840, help="a multiple of 840")
    parser.add_argument("--cases", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--no-compile", dest="compile", action="store_false")
    parser.add_argument(
        "--profile", action="store_true", help="say where the time of each phase goes (slows it a little)"
    )
    parser.add_argument("--tiny", action="store_true", help="a toy size, to try the code on a CPU")
    return Settings(**vars(parser.parse_args()))
