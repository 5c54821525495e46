"""Folders and conversations for the tests of prompts: what the goldens were made with, as ivl takes it."""

import gzip
import json
import lzma
import shutil
from pathlib import Path
from typing import Any

from ivl.model.config import InternVLConfig, TextConfig, VisionConfig
from ivl.processing.processor import Processor
from ivl.processing.template import get_template
from ivl.processing.tokenizer import Tokenizer
from ivl.processing.tokenizer_files import load_tokenizer
from ivl.types import ImagePart, Message, Part, TextPart

HERE = Path(__file__).parent
TOKENIZERS = HERE / "tokenizers"
IMAGES = HERE / "conversation" / "images"
CONTROL = ("<|im_start|>", "<|im_end|>", "<|system|>", "<|user|>", "<|assistant|>", "<|end|>")


def golden_prompts() -> dict[str, Any]:
    return json.loads((HERE / "conversation" / "golden_prompts.json").read_text("utf-8"))


def golden_labels() -> dict[str, list[dict[str, Any]]]:
    return json.loads(gzip.decompress((HERE / "conversation" / "golden_labels.json.gz").read_bytes()))["cases"]


def internvl2_2b_folder(folder: Path) -> Path:
    """The small files and the tokenizer of OpenGVLab/InternVL2-2B."""
    shutil.copytree(HERE / "InternVL2-2B", folder, dirs_exist_ok=True)
    packed = folder / "tokenizer.model.xz"
    (folder / "tokenizer.model").write_bytes(lzma.decompress(packed.read_bytes()))
    packed.unlink()
    return folder


def tiny_config(template: str, vocab_size: int = 512, **fields: Any) -> InternVLConfig:
    """A model whose tiles have 56 pixels a side and 4 image tokens, as the goldens' models."""
    sizes = {"hidden_size": 64, "num_layers": 1, "num_heads": 4, "intermediate_size": 64}
    text = TextConfig(
        decoder="internlm2", num_kv_heads=2, head_dim=16, vocab_size=vocab_size, max_positions=512, **sizes
    )
    vision = VisionConfig(image_size=56, **sizes)
    return InternVLConfig(vision=vision, text=text, image_size=56, template=template, **fields)


def tiny_processor(template: str, tokenizer: Tokenizer | str, **fields: Any) -> Processor:
    if isinstance(tokenizer, str):
        tokenizer = load_tokenizer(TOKENIZERS / tokenizer, get_template(template).control_tokens)
    return Processor(tiny_config(template, **fields), tokenizer)


def official_messages(
    turns: list[tuple[str, str]], images: list[Any], system: str | None = None
) -> tuple[Message, ...]:
    """Messages of official turns (role, text), whose images are one flat list given to `<image>` in order.

    Images that no `<image>` is left for go to the last user turn.
    """
    left = list(images)
    last_user = max(index for index, (role, _) in enumerate(turns) if role == "user")
    messages = [] if system is None else [Message(role="system", parts=(TextPart(text=system),))]
    for index, (role, text) in enumerate(turns):
        count = text.count("<image>") if role == "user" else 0
        here, left = (left, []) if index == last_user else (left[:count], left[count:])
        parts: tuple[Part, ...] = tuple(ImagePart(source=image) for image in here)
        messages.append(Message(role=role, parts=(*parts, TextPart(text=text))))
    return tuple(messages)


def golden_turns(case: dict[str, Any]) -> list[tuple[str, str]]:
    """The turns of a case of golden_prompts.json or golden_generate.json."""
    history = case.get("history", case.get("history_in")) or []
    turns = [turn for question, answer in history for turn in (("user", question), ("assistant", answer))]
    return [*turns, ("user", case["question"])]


def labelled_turns(case: dict[str, Any]) -> list[tuple[str, str]]:
    """The turns of a case of golden_labels.json."""
    roles = {"human": "user", "gpt": "assistant"}
    return [(roles[turn["from"]], turn["value"]) for turn in case["conversations"]]
