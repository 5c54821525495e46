"""What a folder that is to be published is: its layout, who can read it, its base and its licence.

In: a model or adapter folder, and what a run says of its base. Out: `Folder` and `Base`. Reads configurations and
headers only. What no file says is None: nothing is guessed but a published model's id, by its name and its shape.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ivl.errors import AdapterError, CheckpointError, IvlError
from ivl.export.card_private import public, public_name
from ivl.model.adapter_config import CONFIG_FILE as ADAPTER_CONFIG
from ivl.model.adapter_io import TENSOR_FILE
from ivl.model.config import InternVLConfig
from ivl.model.config_io import load_config, load_config_and_layout
from ivl.model.family import FAMILY
from ivl.model.folder_io import locate, open_file, read_json
from ivl.model.safetensors_io import read_header
from ivl.zoo import nano_folder

README = "README.md"
BASE_README = "BASE_README.md"
"""Where the base's own card may lie beside this model's."""
Kind = Literal["official", "official-bare", "own", "transformers", "adapter", "peft"]
"""official-bare: the official layout without the code that other engines run. own: with a connector that only this
package has. peft: an adapter whose tensors have the
names of transformers' own InternVL; adapter: one with names that only this package reads."""
_ID = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_HF_CACHE = re.compile(r"models--([\w.-]+?)--([\w.-]+)[\\/]snapshots[\\/]([0-9a-f]{40})[\\/]?$")
_MODELSCOPE_CACHE = re.compile(r"modelscope[\\/]hub[\\/](?:models[\\/])?([\w.-]+)[\\/]([\w.-]+)[\\/]?$")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_OWNER = "OpenGVLab"
_MOST_CARD_BYTES = 2 * 2**20
_MOST_LICENCE_BYTES = 200_000
_LICENCES = {
    "MIT License": "mit",
    "Apache License": "apache-2.0",
    "Permission is hereby granted, free of charge": "mit",
}


@dataclass(frozen=True, kw_only=True)
class Folder:
    """A folder that is to be published."""

    path: Path
    kind: Kind
    config: InternVLConfig | None
    """None for an adapter."""


@dataclass(frozen=True, kw_only=True)
class Base:
    """The model that was trained from."""

    name: str
    model_id: str | None
    """On a hub; None where nothing tells it."""
    is_by_name: bool
    """Whether the id follows from the folder's name and the model's shape only."""
    folder: Path | None
    """Where it lies on this machine; for reading, never for showing."""


@dataclass(frozen=True, kw_only=True)
class Licence:
    """Under what a model may be used, as files say it."""

    license: str
    """An identifier such as mit."""
    name: str = ""
    """What `other` is called."""
    link: str = ""


def read_folder(path: Path) -> Folder:
    """Raises CheckpointError, ConfigError or AdapterError for what is neither a model nor an adapter."""
    if locate(path, ADAPTER_CONFIG, AdapterError) is not None:
        return Folder(path=path, kind=_adapter_kind(path), config=None)
    if locate(path, "config.json") is None:
        raise CheckpointError(f"{path} holds neither a model (config.json) nor an adapter (adapter_config.json)")
    config, layout = load_config_and_layout(path)
    kind: Kind = "transformers"
    if layout == "official":
        auto_map = read_json(path, "config.json").get("auto_map")
        has_code = bool(auto_map) and any(each.suffix == ".py" for each in path.iterdir())
        kind = "official" if has_code else "official-bare"
        kind = kind if config.connector == "mlp" else "own"
    return Folder(path=path, kind=kind, config=config)


def find_base(folder: Folder, recipe_path: str | None, given: str | None = None) -> Base | None:
    """The base of a folder: as a person says it, or its run's recipe, or the adapter itself; None: nothing tells.

    given: a hub id.
    """
    if given:
        return Base(name=given.rpartition("/")[2], model_id=given, is_by_name=False, folder=None)
    if recipe_path is not None:
        return _base_at(recipe_path or str(nano_folder()), folder.config)
    if folder.config is not None:
        return None
    stored = read_json(folder.path, ADAPTER_CONFIG, AdapterError).get("base_model_name_or_path")
    if not isinstance(stored, str) or not stored or _COMMIT.fullmatch(stored):
        return None
    # An adapter may come from anybody: no folder that it names is looked into.
    return replace(_base_at(stored, None), folder=None)


def find_licence(folder: Folder, base: Base | None) -> Licence | None:
    """As the folder's own files say it, else the base's; None where no file does."""
    for place in (folder.path, base.folder if base else None):
        if place is None:
            continue
        found = _licence_of_card(place) or _licence_of_text(place)
        if found is not None:
            return found
    return None


def is_base_card(folder: Folder, base: Base | None) -> bool:
    """Whether README.md is byte for byte that of the base or of the package's model: a copy, not of this model."""
    ours = read_text(folder.path, README)
    places = [place for place in (base.folder if base else None, nano_folder()) if place is not None]
    others = [place for place in places if place.resolve() != folder.path.resolve()]
    return bool(ours) and any(ours == read_text(place, README) for place in others)


def read_text(folder: Path, name: str, most: int = _MOST_CARD_BYTES) -> str:
    """A small text file; empty where there is none. Raises CheckpointError for a link out of the folder and such."""
    if locate(folder, name) is None:
        return ""
    with open_file(folder, name) as file:
        data = file.read(most + 1)
    if len(data) > most:
        raise CheckpointError(f"{folder / name} has more than the {most:,} bytes that are read")
    return data.decode("utf-8", "replace")


def _adapter_kind(path: Path) -> Kind:
    with open_file(path, TENSOR_FILE, AdapterError) as file:
        names = read_header(file, str(path / TENSOR_FILE))
    return "peft" if any(name.startswith("base_model.model.model.") for name in names) else "adapter"


def _base_at(text: str, config: InternVLConfig | None) -> Base:
    path = Path(text).expanduser()
    folder = path if path.is_dir() else None
    if folder is not None and folder.resolve() == nano_folder().resolve():
        return Base(name=folder.name, model_id=None, is_by_name=False, folder=folder)
    for pattern in (_HF_CACHE, _MODELSCOPE_CACHE):
        if found := pattern.search(text):
            return Base(name=found[2], model_id=f"{found[1]}/{found[2]}", is_by_name=False, folder=folder)
    name = public_name(text)
    if _ID.fullmatch(text) and folder is None and not (path.is_absolute() or text.startswith(".")):
        # It may as well be a relative path that is not here: only a published model's own id is believed.
        is_published = text.partition("/")[0] == _OWNER and name in FAMILY
        return Base(name=name, model_id=text if is_published else None, is_by_name=False, folder=None)
    is_same = name in FAMILY and _same_shape(name, config or _config_of(folder))
    return Base(name=name, model_id=f"{_OWNER}/{name}" if is_same else None, is_by_name=is_same, folder=folder)


def _config_of(folder: Path | None) -> InternVLConfig | None:
    try:
        return None if folder is None else load_config(folder)
    except IvlError:
        return None


def _same_shape(name: str, config: InternVLConfig | None) -> bool:
    if config is None:
        return False
    published = FAMILY[name]
    fields = ("decoder", "hidden_size", "num_layers", "num_heads", "num_kv_heads", "intermediate_size", "vocab_size")
    same_text = all(getattr(config.text, field) == getattr(published.text, field) for field in fields)
    return same_text and config.vision.num_layers == published.vision.num_layers


def _licence_of_card(folder: Path) -> Licence | None:
    for name in (README, BASE_README):
        text = read_text(folder, name)
        front = dict(_front_lines(text)) if text.startswith("---") else {}
        if front.get("license", "unknown") != "unknown":
            link = _web(front.get("license_link", ""))
            return Licence(license=front["license"], name=front.get("license_name", ""), link=link)
    return None


def _front_lines(text: str) -> Iterator[tuple[str, str]]:
    """The plain `name: value` lines at the top of a card's front matter; no YAML is loaded."""
    for line in text.splitlines()[1:200]:
        if line.strip() == "---":
            return
        found = re.fullmatch(r"(license|license_name|license_link):\s*[\"']?([^\"'\[\]{}#]{1,200}?)[\"']?\s*", line)
        if found:
            yield found[1], public(found[2], 200)


def _web(link: str) -> str:
    """A link out to the web, or a file that lies beside the card."""
    return link if re.fullmatch(r"https://\S+|LICEN[CS]E[\w.-]*", link) else ""


def _licence_of_text(folder: Path) -> Licence | None:
    for path in sorted(folder.glob("LICEN[CS]E*")):
        head = read_text(folder, path.name, _MOST_LICENCE_BYTES)[:1000]
        for phrase, identifier in _LICENCES.items():
            if phrase in head:
                return Licence(license=identifier)
        return Licence(license="other", name=path.name, link=path.name)
    return None
