"""What ships in the package: a small model and pictures to ask it about. Data, and where it lies."""

from pathlib import Path

_HERE = Path(__file__).parent


def seedling_folder() -> Path:
    """The small InternVL2 of our own, in the official layout."""
    return _HERE / "seedling"


def sample_pictures() -> list[Path]:
    """Pictures to try a model on."""
    return sorted((_HERE / "pictures").glob("*.png"))
