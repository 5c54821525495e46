"""What transformers needs beside the weights and config.json: tokenizer, chat template, processor, stop tokens.

In: the folder that a model was read from, and its configuration. Out: files in another folder, so that
`AutoModelForImageTextToText`, `AutoProcessor` and `AutoTokenizer` (transformers 5.10 and newer) give the model what
`ivl` gives it. A folder that has them already keeps its own, byte by byte. Knows no weights; never runs what it copies.

How far transformers' pictures differ from the official ones stands in docs/adapters.md.
"""

import json
import shutil
from pathlib import Path
from typing import Any

from ivl.errors import CheckpointError, ConfigError
from ivl.export.tokenizer_export import TEMPLATE_FILE, write_tokenizer
from ivl.model.config import InternVLConfig
from ivl.model.folder_io import locate, open_file, read_json
from ivl.processing.template import get_template
from ivl.processing.tiling import IMAGENET_MEAN, IMAGENET_STD
from ivl.processing.tokenizer import Tokenizer

PROCESSOR_FILE = "processor_config.json"
GENERATION_FILE = "generation_config.json"
_OLD_PROCESSOR_FILE = "preprocessor_config.json"
_TEMPLATE_FILES = (TEMPLATE_FILE, "chat_template.json")
_COPIED = (
    "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.json",
    "merges.txt", "tokenizer.model", *_TEMPLATE_FILES, PROCESSOR_FILE, _OLD_PROCESSOR_FILE,
    "video_preprocessor_config.json", GENERATION_FILE,
)  # fmt: skip
_BICUBIC = 3
"""PIL's number."""


def write_transformers_files(source: Path, config: InternVLConfig, out: Path) -> None:
    """Write into the folder `out` all that transformers reads beside the weights and config.json.

    source: the model's own folder, in either layout. config: what the exported model says of itself. Raises
    TokenizerError for a tokenizer that is missing, damaged or cannot be expressed, ConfigError for pictures prepared in
    a way that transformers does not have, CheckpointError for files of `source` that are refused.
    """
    for name in _COPIED:
        locate(source, name)  # refuses links out of the folder and what is no file
    if _is_complete(source):
        _copy(source, config, out)
        return
    processor = _processor_config(config)
    tokenizer = write_tokenizer(source, config.template, config.text.max_positions, out)
    _write(out / PROCESSOR_FILE, processor)
    _write(out / GENERATION_FILE, _generation_config(source, config, tokenizer))


def _is_complete(folder: Path) -> bool:
    """Whether a folder has all of transformers' files."""

    def has(*names: str) -> bool:
        return any(locate(folder, name) is not None for name in names)

    return has("tokenizer.json") and has(PROCESSOR_FILE, _OLD_PROCESSOR_FILE) and has(*_TEMPLATE_FILES)


def _copy(source: Path, config: InternVLConfig, out: Path) -> None:
    for name in _COPIED:
        if locate(source, name) is None:
            continue
        with open_file(source, name) as read, (out / name).open("wb") as written:
            shutil.copyfileobj(read, written)
        if name in (PROCESSOR_FILE, _OLD_PROCESSOR_FILE):
            _set_tiles(out, name, config)


def _set_tiles(folder: Path, name: str, config: InternVLConfig) -> None:
    """Bring the tile limits of a copied file in line with those of the exported model, where they differ."""
    table = read_json(folder, name)
    nested = table.get("image_processor")
    fields = nested if isinstance(nested, dict) else table
    limits = _limits(config)
    if any(fields.get(key, value) != value for key, value in limits.items()):
        fields.update(limits)
        _write(folder / name, table)


def _limits(config: InternVLConfig) -> dict[str, int]:
    """How many tiles a picture may take, without the thumbnail."""
    least, most = (config.min_tiles, config.max_tiles) if config.dynamic_image_size else (1, 1)
    return {"min_patches": least, "max_patches": most}


def _processor_config(config: InternVLConfig) -> dict[str, Any]:
    """processor_config.json: how a picture becomes tiles, and tiles become image tokens."""
    limits = _limits(config)
    if limits["max_patches"] > 1 and not config.use_thumbnail:
        raise ConfigError(
            "use_thumbnail=False is not possible in the transformers layout, whose image processor always appends the "
            "whole picture: export the official layout, or one tile a picture"
        )
    pixels = {
        "do_convert_rgb": True,
        "do_normalize": True,
        "do_rescale": True,
        "do_resize": True,
        "image_mean": list(IMAGENET_MEAN),
        "image_std": list(IMAGENET_STD),
        "resample": _BICUBIC,
        "rescale_factor": 1 / 255,
        "size": {"height": config.image_size, "width": config.image_size},
    }
    # transformers' processor asks for tiles whatever `crop_to_patches` says: the limits decide.
    tiles = {"crop_to_patches": True, **limits}
    return {
        "image_processor": {"image_processor_type": "GotOcr2ImageProcessor", **pixels, **tiles},
        "image_seq_length": config.tokens_per_tile,
        "processor_class": "InternVLProcessor",
        "video_processor": {"video_processor_type": "InternVLVideoProcessor", **pixels},
    }


def _generation_config(source: Path, config: InternVLConfig, tokenizer: Tokenizer) -> dict[str, Any]:
    """generation_config.json: the ids that end an answer, the template's and those of the source."""
    stated: Any = None
    if locate(source, GENERATION_FILE) is not None:
        stated = read_json(source, GENERATION_FILE).get("eos_token_id")
    more = stated if isinstance(stated, list) else [] if stated is None else [stated]
    for token_id in more:
        if not isinstance(token_id, int) or isinstance(token_id, bool) or token_id < 0:
            raise CheckpointError(f"{source / GENERATION_FILE}: eos_token_id={token_id!r:.80} is no token id")
    end = tokenizer.token_id(get_template(config.template).end)
    stops = sorted({end, *more})
    table = {"do_sample": False, "eos_token_id": stops, "pad_token_id": end}
    return table if tokenizer.bos_id is None else {"bos_token_id": tokenizer.bos_id, **table}


def _write(path: Path, table: dict[str, Any]) -> None:
    path.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", "utf-8")
