"""What `ivl init` does: two folders in, a model folder out, all of it or nothing."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ivl.model.config import InternVLConfig, Template
    from ivl.model.part import Part
    from ivl.processing.new_tokens import ExtendedTokenizer

_TEMPLATES: dict[str, "Template"] = {"internlm2": "internlm2-chat", "phi3": "phi3-chat"}
"""By the kind of language model; others speak Hermes-2, as in InternVL2."""


@dataclass(frozen=True, kw_only=True)
class Joined:
    """What came of it, for the command to tell."""

    config: "InternVLConfig"
    new_tokens: tuple[str, ...]
    dtype: str


def join_folders(
    vision: Path,
    llm: Path,
    output: Path,
    *,
    template: "Template | None",
    max_tiles: int,
    image_size: int | None,
    dtype: str | None,
    seed: int,
) -> Joined:
    """Make the folder `output` of the vision model and the language model. Raises errors of ivl.errors.

    The finished folder is opened as a user would before it gets its name.
    """
    from ivl.model.folder_io import new_folder
    from ivl.model.join import Vocabulary, joined_config, write_joined
    from ivl.model.part import open_part
    from ivl.processing import load_processor
    from ivl.processing.new_tokens import INTERNVL_TOKENS, extend_tokenizer
    from ivl.processing.template import get_template

    eyes, mind = open_part(vision, "vision_model"), open_part(llm, "language_model")
    chosen = template or _default_template(mind)
    control = get_template(chosen).control_tokens
    dtype = dtype or str(mind.dtype).removeprefix("torch.")
    with new_folder(output) as folder:
        tokens = extend_tokenizer(llm, folder, (*INTERNVL_TOKENS, *control))
        vocabulary = Vocabulary(
            num_known=tokens.num_known,
            new_ids=tuple(tokens.ids[text] for text in tokens.new),
            image_token_id=tokens.ids["<IMG_CONTEXT>"],
        )
        config = joined_config(eyes, mind, vocabulary, chosen, max_tiles=max_tiles, image_size=image_size)
        _write_generation_config(llm, folder, tokens, get_template(chosen).end)
        write_joined(eyes, mind, config, vocabulary, folder, dtype=dtype, seed=seed)
        load_processor(folder)
    return Joined(config=config, new_tokens=tokens.new, dtype=dtype)


def _default_template(mind: "Part") -> "Template":
    return mind.config.template if mind.is_whole else _TEMPLATES.get(mind.config.text.decoder, "Hermes-2")


def _write_generation_config(llm: Path, folder: Path, tokens: "ExtendedTokenizer", end: str) -> None:
    """The language model's own end tokens, and the template's."""
    ends = sorted({*_end_tokens(llm), tokens.ids[end]})
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": ends}, indent=2) + "\n", "utf-8")


def _end_tokens(llm: Path) -> Iterator[int]:
    """eos_token_id of the first file that has one: a number or a list of them."""
    from ivl.processing.tokenizer_settings import read_object

    for name in ("generation_config.json", "config.json"):
        value = read_object(llm / name).get("eos_token_id")
        ids = value if isinstance(value, list) else [value]
        found = [each for each in ids if isinstance(each, int) and not isinstance(each, bool) and each >= 0]
        if found:
            yield from found
            return
