"""What a folder says of its tokenizer beside the vocabulary: tokenizer_config.json and its older companions.

In: a folder. Out: `TokenizerSettings`. A checkpoint's JSON files are read here, within bounds. Knows no
vocabulary and no ids.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivl.errors import TokenizerError

MAX_FILE_BYTES = 64 * 2**20
"""Bytes of one tokenizer file; the largest of the family has 17 MB."""

_SPECIAL_NAMES = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")
# What a class names as its special tokens where the folder says nothing.
_CLASS_SPECIAL: Mapping[str, Mapping[str, str]] = {
    "InternLM2Tokenizer": {
        "unk_token": "<unk>",
        "bos_token": "<s>",
        "eos_token": "</s>",
        "pad_token": "</s>",
    },
    "LlamaTokenizer": {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"},
    "Qwen2Tokenizer": dict.fromkeys(("unk_token", "eos_token", "pad_token"), "<|endoftext|>"),
}


@dataclass(frozen=True, kw_only=True)
class TokenizerSettings:
    """tokenizer_config.json, special_tokens_map.json and added_tokens.json; empty where they are missing."""

    config: Mapping[str, Any]
    special_map: Mapping[str, Any]
    added: Mapping[str, Any]

    @property
    def class_name(self) -> str:
        """The official class, without "Fast"."""
        return str(self.config.get("tokenizer_class") or "").removesuffix("Fast")

    @property
    def is_fast(self) -> bool:
        return str(self.config.get("tokenizer_class") or "").endswith("Fast")

    @property
    def adds_bos(self) -> bool:
        """Whether Llama's and InternLM2's classes put a begin-of-sequence token before a text."""
        return bool(self.config.get("add_bos_token", True))

    @property
    def named_special(self) -> Mapping[str, str]:
        """The special tokens that the folder or its tokenizer's class names: bos_token and so on -> text."""
        named = {}
        defaults = _CLASS_SPECIAL.get(self.class_name, {})
        for name in _SPECIAL_NAMES:
            source = next((each for each in [*self._sources, defaults] if name in each), {})
            text = _text_of(source.get(name))
            if text:
                named[name] = text
        return named

    @property
    def all_special(self) -> Mapping[str, Mapping[str, Any]]:
        """Every special token that is named, each once: text -> what is said of it (lstrip, rstrip ...)."""
        entries: dict[str, Mapping[str, Any]] = {text: {} for text in self.named_special.values()}
        for source in self._sources:
            extra = source.get("additional_special_tokens") or []
            if not isinstance(extra, list):
                raise TokenizerError(f"additional_special_tokens is a {type(extra).__name__}: a list is needed")
            for text in map(_text_of, extra):
                entries.setdefault(text or "", {})
            for entry in [*extra, *(source.get(name) for name in _SPECIAL_NAMES)]:
                text = _text_of(entry)
                if isinstance(entry, Mapping) and text in entries and not entries[text]:
                    entries[text] = entry
        entries.pop("", None)
        return entries

    @property
    def _sources(self) -> list[Mapping[str, Any]]:
        """Where special tokens are named; special_tokens_map.json counts in older folders only."""
        return [self.config] if "added_tokens_decoder" in self.config else [self.special_map, self.config]


def read_settings(folder: Path) -> TokenizerSettings:
    """The settings of a folder; raises TokenizerError for damaged files."""
    return TokenizerSettings(
        config=read_object(folder / "tokenizer_config.json"),
        special_map=read_object(folder / "special_tokens_map.json"),
        added=read_object(folder / "added_tokens.json"),
    )


def read_file(path: Path) -> bytes:
    """A file's bytes; raises TokenizerError where it is too large or cannot be read."""
    try:
        size = path.stat().st_size
        if size > MAX_FILE_BYTES:
            raise TokenizerError(f"{str(path)!r} has {size} bytes: at most {MAX_FILE_BYTES} are read")
        return path.read_bytes()
    except OSError as error:
        raise TokenizerError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error


def read_object(path: Path) -> dict[str, Any]:
    """A JSON file's object, empty where the file is missing; raises TokenizerError for anything else."""
    if not path.is_file():
        return {}
    try:
        text = read_file(path).decode()
        value = json.loads(text)
        if "\\ud" in text.lower():
            # Half of a surrogate pair, which no text may hold, can only be written as an escape.
            json.dumps(value, ensure_ascii=False).encode()
    except UnicodeError:
        raise TokenizerError(f"{str(path)!r} is no valid JSON: it is no UTF-8 text") from None
    except (ValueError, RecursionError) as error:
        raise TokenizerError(f"{str(path)!r} is no valid JSON: {str(error)[:200]}") from error
    if not isinstance(value, dict):
        raise TokenizerError(f"{str(path)!r} holds a {type(value).__name__}: an object is needed")
    return value


def _text_of(entry: Any) -> str | None:
    """The text of a special token, which files write as a text or as an object."""
    text = entry.get("content") if isinstance(entry, Mapping) else entry
    return text if isinstance(text, str) else None
