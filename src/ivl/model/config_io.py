"""A model folder -> its InternVLConfig.

In: a folder. Out: `InternVLConfig`. `config_parse.py` reads config.json itself; here is settled what that
file leaves open or gets wrong, from other files: the image token's id (the tokenizer's added tokens), the
limits of transformers' image processor, and whether there is an output head. `config_export.py` is the way
back. Reads JSON and safetensors headers only; a checkpoint's Python is never looked at.
"""

import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from ivl.errors import ConfigError
from ivl.model.config import InternVLConfig, TextConfig
from ivl.model.config_parse import layout_of, parse_config
from ivl.model.folder_io import check_folder, locate, open_file, read_json
from ivl.model.names import Layout, head_name, modern_name
from ivl.model.safetensors_io import read_header

IMAGE_TOKEN = "<IMG_CONTEXT>"  # noqa: S105
INDEX_FILE = "model.safetensors.index.json"
WEIGHT_FILE = "model.safetensors"


def load_config(folder: str | os.PathLike[str]) -> InternVLConfig:
    """The configuration of the model in `folder`, official or transformers layout.

    The head is the embedding table (`tie_embeddings`) where the config says so, unless the weights hold a
    head of their own: then they are right, as every InternVL2 shows. Raises ConfigError, one line naming file
    and field.
    """
    return load_config_and_layout(folder)[0]


def load_config_and_layout(folder: str | os.PathLike[str]) -> tuple[InternVLConfig, Layout]:
    """As `load_config`, with the layout that the folder is in."""
    root = check_folder(folder, ConfigError)
    where = str(root / "config.json")
    raw = _read_raw(root)
    layout = layout_of(raw, where)
    config = parse_config(raw, where, _image_processor(root) if layout == "transformers" else {})
    if config.text.tie_embeddings and _stores_head(root, config.text, layout):
        config = replace(config, text=replace(config.text, tie_embeddings=False))
    return replace(config, image_token_id=_image_token_id(root, config, where)), layout


def _read_raw(folder: Path) -> dict[str, Any]:
    if locate(folder, "config.json", ConfigError) is not None:
        return read_json(folder, "config.json", ConfigError)
    if (folder / "adapter_config.json").exists():
        raise ConfigError(f"{folder} holds an adapter, not a model: give the model and add the adapter to it")
    raise ConfigError(f"{folder} has no config.json: it is no model folder, or its download did not finish")


def _image_processor(folder: Path) -> dict[str, Any]:
    """The fields of transformers' image processor; empty without its file."""
    for name in ("processor_config.json", "preprocessor_config.json"):
        if locate(folder, name, ConfigError) is not None:
            fields = read_json(folder, name, ConfigError)
            nested = fields.get("image_processor")
            if isinstance(nested, dict):  # transformers 5 keeps both in one file
                return nested
            if "max_patches" in fields or "min_patches" in fields:
                return fields
    return {}


def _stores_head(folder: Path, text: TextConfig, layout: Layout) -> bool:
    """Whether the weights in `folder` hold an output head; False when there are no weights."""
    head = head_name(text, layout)
    if locate(folder, WEIGHT_FILE, ConfigError) is not None:
        with open_file(folder, WEIGHT_FILE) as file:
            names: Any = read_header(file, str(folder / WEIGHT_FILE))
    elif locate(folder, INDEX_FILE, ConfigError) is not None:
        names = read_json(folder, INDEX_FILE, ConfigError).get("weight_map", ())
    else:
        return False
    return any(modern_name(str(name), layout) == head for name in names)


def _image_token_id(folder: Path, config: InternVLConfig, where: str) -> int | None:
    """The id of `<IMG_CONTEXT>`, from config.json or the tokenizer's files, which must agree; None if neither
    tells."""
    stated = config.image_token_id
    found, source = _tokenizer_image_token_id(folder)
    if stated is not None and found is not None and stated != found:
        raise ConfigError(
            f"{where}: image_token_id={stated} but {source} gives {IMAGE_TOKEN} the id {found}: "
            "the tokenizer and the configuration do not belong together"
        )
    token_id, source = (found, source) if found is not None else (stated, where)
    if token_id is not None and token_id >= config.text.vocab_size:
        raise ConfigError(
            f"{source} gives {IMAGE_TOKEN} the id {token_id} but the vocabulary of {where} has only "
            f"{config.text.vocab_size} tokens: the tokenizer and the weights do not belong together"
        )
    return token_id


def _tokenizer_image_token_id(folder: Path) -> tuple[int | None, str]:
    """The id of `<IMG_CONTEXT>` by the tokenizer's files, and which file says so."""
    for name, table in (
        ("added_tokens.json", _plain_table),
        ("tokenizer_config.json", _decoder_table),
        ("tokenizer.json", _token_list),
    ):
        if locate(folder, name, ConfigError) is None:
            continue
        token_id = table(read_json(folder, name, ConfigError))
        if isinstance(token_id, int) and not isinstance(token_id, bool) and token_id >= 0:
            return token_id, str(folder / name)
    return None, ""


def _plain_table(fields: dict[str, Any]) -> object:
    """added_tokens.json: token -> id."""
    return fields.get(IMAGE_TOKEN)


def _decoder_table(fields: dict[str, Any]) -> object:
    """tokenizer_config.json: added_tokens_decoder is id -> {"content": token}."""
    table = fields.get("added_tokens_decoder")
    for token_id, token in table.items() if isinstance(table, dict) else ():
        if isinstance(token, dict) and token.get("content") == IMAGE_TOKEN and token_id.isdecimal():
            return int(token_id[:12])
    return None


def _token_list(fields: dict[str, Any]) -> object:
    """tokenizer.json: added_tokens is a list of {"id", "content"}."""
    table = fields.get("added_tokens")
    for token in table if isinstance(table, list) else ():
        if isinstance(token, dict) and token.get("content") == IMAGE_TOKEN:
            return token.get("id")
    return None
