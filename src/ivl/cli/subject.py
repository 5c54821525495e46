"""The model that `info` and `doctor` speak of: by folder, published name or hub id."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from ivl.errors import HubError, nearest

if TYPE_CHECKING:
    from ivl.model.config import InternVLConfig


@dataclass(frozen=True, kw_only=True)
class Subject:
    """A model's configuration, and its folder where there is one."""

    title: str
    config: "InternVLConfig"
    folder: Path | None


def find_folder(model: str | None) -> Path:
    """The folder of a model (None or "zoo": the one in the package); a hub id is fetched. Raises HubError."""
    from ivl.hub import resolve
    from ivl.zoo import IN_THE_PACKAGE, nano_folder

    return nano_folder() if model is None or model == IN_THE_PACKAGE else resolve(model)


def find_subject(model: str | None) -> Subject:
    """A model to describe; a published one needs no folder. Raises HubError, ConfigError."""
    from ivl.model import load_config
    from ivl.model.family import FAMILY
    from ivl.zoo import IN_THE_PACKAGE

    if model == IN_THE_PACKAGE:
        model = None
    if model and not Path(model).exists():
        name = model.removeprefix("OpenGVLab/")
        if name in FAMILY:
            return Subject(title=model, config=FAMILY[name], folder=None)
        if "/" not in model:
            raise HubError(f"{model} is neither a folder nor a published model: {nearest(model, FAMILY)}")
    folder = find_folder(model)
    title = folder.resolve().name if model and folder == Path(model) else model
    title = title or f"the small model in the package ({folder.name})"
    return Subject(title=title, config=load_config(folder), folder=folder)
