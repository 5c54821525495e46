"""What a model folder holds beside its weights: config.json, generation_config.json, tokenizer, licence, code.

In: the folders that they come from, and the configuration. Out: files in a new folder. Files go over as bytes; nothing
of them is run, and Python files go only where the official layout stays the official layout. config.json is the
source's own wherever the layout stays, with what was asked to be changed and nothing else: `auto_map` and fields that
nobody here knows stay in it.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from ivl.errors import CheckpointError, IvlError
from ivl.hub.repository import PLAIN_NAME
from ivl.model.config import InternVLConfig
from ivl.model.config_export import to_official, to_transformers
from ivl.model.config_io import load_config_and_layout
from ivl.model.folder_io import locate, open_file, read_json
from ivl.model.names import Layout
from ivl.model.weights import write_json
from ivl.processing.template import get_template

CONFIG, GENERATION = "config.json", "generation_config.json"
_SUFFIXES = (".py", ".json", ".model", ".txt", ".md", ".jinja")
_LEGAL = ("LICENSE", "LICENCE", "NOTICE", "COPYING")
# Written anew, or about files that do not come along.
_NOT_COPIED = (CONFIG, GENERATION, "adapter_config.json", "state.json", "trainer_state.json")
_FOR_TRANSFORMERS = ("processor_config.json", "preprocessor_config.json", "chat_template.json", "chat_template.jinja")
_COPY_BYTES = 2**20


@dataclass(frozen=True, kw_only=True)
class SideFiles:
    """What goes into the new folder beside the weights."""

    folders: tuple[Path, ...]
    """Where files come from; the first that has a name gives it."""
    own_layout: Layout
    layout: Layout
    config: InternVLConfig
    """Of the new folder."""
    dtype: torch.dtype | None
    """Of all weights, where they are to be of one type; None: as in the source."""
    max_tiles: int | None
    """As asked for; None: as in the source."""

    @property
    def copied(self) -> dict[str, Path]:
        """Names that go over as they are, and the folders that have them."""
        found: dict[str, Path] = {}
        for folder in self.folders:
            for name in _listed(folder):
                if self._is_wanted(name) and name not in found and locate(folder, name) is not None:
                    found[name] = folder
        return found

    @property
    def left_out(self) -> list[str]:
        """Names in the first folder that are neither weights nor go over; hidden ones are not told."""
        known = (*_NOT_COPIED, *(_FOR_TRANSFORMERS if self.own_layout == "transformers" else ()))
        names = [name for name in _listed(self.folders[0]) if not name.startswith(".")]
        ours = [name for name in names if name in known or name.endswith((".safetensors", ".index.json"))]
        return [name for name in names if name not in ours and not self._is_wanted(name)]

    @property
    def num_bytes(self) -> int:
        """About what all of them take, for the look at the disk before anything is written."""
        sizes = 2**20
        for folder in self.folders[:1]:
            small = (path for path in folder.iterdir() if path.suffix in _SUFFIXES and path.is_file())
            sizes += 2 * sum(path.stat().st_size for path in small)
        return sizes

    def check(self) -> None:
        """Raise ConfigError or CheckpointError for what could not be written, before anything is."""
        self._raw_config()
        _ = self.copied

    def write(self, folder: Path) -> list[str]:
        """Write all but config.json; gives a line for each thing that a person should know."""
        if self.layout == "transformers":
            from ivl.export.transformers_files import write_transformers_files

            write_transformers_files(self.folders[0], self.config, folder)
        for name, source in self.copied.items():
            if not (folder / name).exists():
                _copy(source, folder, name)
        notes = [] if (folder / GENERATION).exists() else self._write_generation_config(folder)
        return [*notes, *self._notes(folder)]

    def write_config(self, folder: Path) -> None:
        """Write config.json, after which the folder is a model, and read it again. Raises ConfigError."""
        write_json(folder / CONFIG, self._raw_config())
        found = load_config_and_layout(folder)
        if found != (self.config, self.layout):
            raise CheckpointError(f"{folder / CONFIG} does not say what {self.folders[0] / CONFIG} says")

    def _is_wanted(self, name: str) -> bool:
        if not PLAIN_NAME.fullmatch(name):
            return False
        if name.startswith(_LEGAL) or name == "README.md":
            return True
        if self.layout == "transformers" or not name.endswith(_SUFFIXES):
            return False
        if self.own_layout != self.layout and (name in _FOR_TRANSFORMERS or name.endswith(".py")):
            return False
        return name not in _NOT_COPIED and not name.endswith(".index.json")

    def _raw_config(self) -> dict[str, Any]:
        name = None if self.dtype is None else str(self.dtype).removeprefix("torch.")
        if self.own_layout != self.layout:
            write = to_official if self.layout == "official" else to_transformers
            return write(self.config, name)
        raw = read_json(self._with_code(), CONFIG)
        if self.max_tiles is not None:
            raw["max_dynamic_patch"] = self.max_tiles
        for table in (raw, raw.get("llm_config"), raw.get("text_config"), raw.get("vision_config")):
            for key in ("torch_dtype", "dtype"):
                if name is not None and isinstance(table, dict) and table.get(key) is not None:
                    table[key] = name
        return raw

    def _with_code(self) -> Path:
        """Whose config.json it is: the one with auto_map, if it says the same of the model otherwise."""
        own = self.folders[0]
        if self.layout != "official" or "auto_map" in read_json(own, CONFIG):
            return own
        for folder in self.folders[1:]:
            try:
                config, layout = load_config_and_layout(folder)
            except IvlError:
                continue
            mine = load_config_and_layout(own)[0]
            if layout == "official" and config == mine and "auto_map" in read_json(folder, CONFIG):
                return folder
        return own

    def _write_generation_config(self, folder: Path) -> list[str]:
        """The source's, with the id of the template's end token among its eos_token_id."""
        home = next((each for each in self.folders if locate(each, GENERATION) is not None), None)
        fields = {} if home is None else read_json(home, GENERATION)
        token = get_template(self.config.template).end
        found = _token_id(self.folders[0], token)
        stated = fields.get("eos_token_id")
        ids = stated if isinstance(stated, list) else [] if stated is None else [stated]
        if home is not None and (found is None or found in ids):
            _copy(home, folder, GENERATION)
        elif found is not None:
            write_json(folder / GENERATION, fields | {"eos_token_id": sorted({*ids, found})})
        if found is None:
            return [f"the tokenizer's files name no id for {token}, which ends an answer: {GENERATION} may lack it"]
        return [] if found in ids else [f"{GENERATION} did not stop at {token}: its id {found} was added"]

    def _notes(self, folder: Path) -> Iterator[str]:
        if self.layout == "official":
            if others := self.left_out:
                more = f" and {len(others) - 4} more" if len(others) > 4 else ""
                yield f"left where they are: {', '.join(others[:4])}{more}"
            modules = sorted(_modules(read_json(self._with_code(), CONFIG))) if self.own_layout == "official" else []
            missing = [name for name in modules if not (folder / name).exists()]
            if missing:
                yield (
                    f"config.json names {', '.join(missing[:3])} in its auto_map, and no such file is in "
                    f"{self.folders[0]}: fetch the model's .py files for programs that run them, or use "
                    "--layout transformers"
                )
            elif not modules:
                yield "only ivl reads this official layout: its base has no .py files (others: --layout transformers)"
        if not any((folder / name).exists() for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
            yield f"{self.folders[0]} has no tokenizer: the new folder has none either"


def _listed(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def _modules(raw: dict[str, Any]) -> set[str]:
    """The Python files that the auto_map of a config.json names."""
    found: set[str] = set()
    for table in (raw, raw.get("llm_config"), raw.get("vision_config")):
        entries = table.get("auto_map") if isinstance(table, dict) else None
        for value in entries.values() if isinstance(entries, dict) else ():
            if isinstance(value, str) and "--" not in value:  # "org/name--module.Class" lies in another repository
                found.add(f"{value.partition('.')[0][:80]}.py")
    return found


def _token_id(folder: Path, token: str) -> int | None:
    """The id of a control token by the tokenizer's files; None where they do not tell."""
    for name in ("added_tokens.json", "tokenizer_config.json", "tokenizer.json"):
        if locate(folder, name) is None:
            continue
        for text, token_id in _tokens(read_json(folder, name)):
            if text == token and isinstance(token_id, int) and not isinstance(token_id, bool) and token_id >= 0:
                return token_id
    return None


def _tokens(fields: dict[str, Any]) -> Iterator[tuple[object, object]]:
    """(text, id) of added tokens, in each of the three forms that files have them in."""
    decoder, listed = fields.get("added_tokens_decoder"), fields.get("added_tokens")
    for key, entry in decoder.items() if isinstance(decoder, dict) else ():
        if isinstance(entry, dict) and key.isdecimal():
            yield entry.get("content"), int(key[:12])
    for entry in listed if isinstance(listed, list) else ():
        if isinstance(entry, dict):
            yield entry.get("content"), entry.get("id")
    yield from fields.items()


def _copy(source: Path, folder: Path, name: str) -> None:
    with open_file(source, name) as file, (folder / name).open("xb") as copy:
        while block := file.read(_COPY_BYTES):
            copy.write(block)


def with_max_tiles(config: InternVLConfig, max_tiles: int | None) -> InternVLConfig:
    """The configuration with another limit of tiles. Raises ConfigError for one below min_dynamic_patch."""
    return config if max_tiles is None else replace(config, max_tiles=max_tiles)
