"""New tokens for somebody's tokenizer: its files copied, with the tokens added where each kind of file lists them.

In: a folder with a tokenizer, texts that are to be tokens. Out: the files in another folder, and each text's id. A new
token gets the next free id and is special, as the official trainer adds them (`add_tokens(..., special_tokens=True)`);
one that exists keeps its id. Knows no weights.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivl.errors import TokenizerError
from ivl.processing.added_tokens import AddedToken
from ivl.processing.tokenizer import Tokenizer
from ivl.processing.tokenizer_files import load_tokenizer
from ivl.processing.tokenizer_settings import read_file, read_object

INTERNVL_TOKENS = (
    "<img>", "</img>", "<IMG_CONTEXT>", "<quad>", "</quad>", "<ref>", "</ref>", "<box>", "</box>",
)  # fmt: skip
"""In the order in which the official trainer adds them."""
_VOCABULARIES = ("tokenizer.model", "vocab.json", "merges.txt")
_LISTS = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json")


@dataclass(frozen=True, kw_only=True)
class ExtendedTokenizer:
    """What became of the texts."""

    ids: Mapping[str, int]
    """Of every text that was asked for."""
    new: tuple[str, ...]
    """Those that the tokenizer did not have."""
    num_known: int
    """Ids below it were the tokenizer's before."""


def extend_tokenizer(source: Path, target: Path, texts: Sequence[str]) -> ExtendedTokenizer:
    """Copy the tokenizer in `source` to the folder `target` and add those `texts` that it lacks.

    Raises TokenizerError where there is no tokenizer, or a damaged one, or one whose own tokens would change.
    """
    tokenizer = load_tokenizer(source)
    own = [token for token_id in range(tokenizer.vocab_size) if (token := tokenizer.added_token(token_id))]
    ids = {text: token_id for text in texts if (token_id := _find(tokenizer, text)) is not None}
    new = tuple(text for text in texts if text not in ids)
    ids |= {text: tokenizer.vocab_size + count for count, text in enumerate(new)}
    for name in _VOCABULARIES:
        if (source / name).is_file():
            (target / name).write_bytes(read_file(source / name))
    # A text that is only in the vocabulary would not be read as one token from a longer text.
    unlisted = {text: token_id for text, token_id in ids.items() if tokenizer.added_token(token_id) is None}
    files = {name: read_object(source / name) for name in _LISTS if (source / name).is_file()}
    for name, values in (_listed(files, unlisted, own) if unlisted else files).items():
        (target / name).write_text(json.dumps(values, indent=2, ensure_ascii=False) + "\n", "utf-8")
    again = load_tokenizer(target)
    changed = [token.text for token in own if again.added_token(token.id) != token]
    changed += [text for text, token_id in ids.items() if _find(again, text) != token_id]
    if changed:
        raise TokenizerError(f"{source}: new tokens would change {changed[0]!r}: save the tokenizer in the newer form")
    return ExtendedTokenizer(ids=ids, new=new, num_known=tokenizer.vocab_size)


def _find(tokenizer: Tokenizer, text: str) -> int | None:
    try:
        return tokenizer.token_id(text)
    except TokenizerError:
        return None


def _listed(
    files: dict[str, dict[str, Any]], tokens: Mapping[str, int], own: Sequence[AddedToken]
) -> dict[str, dict[str, Any]]:
    """The files with these tokens in them, in the old form (added_tokens.json) or the new one, as the folder has."""
    flags = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    config = files.setdefault("tokenizer_config.json", {})
    if "added_tokens_decoder" in config:
        entries = {str(token_id): {"content": text, **flags} for text, token_id in tokens.items()}
        config["added_tokens_decoder"] = config["added_tokens_decoder"] | entries
    else:
        # The old form counts special tokens without an id after all others: they get theirs before new ones come.
        plain = {token.text: token.id for token in own if not (token.lstrip or token.rstrip or token.single_word)}
        files["added_tokens.json"] = plain | files.get("added_tokens.json", {})
        files.setdefault("special_tokens_map.json", {}).setdefault("additional_special_tokens", [])
    if "added_tokens.json" in files:
        files["added_tokens.json"] |= tokens
    if "tokenizer.json" in files:
        spec = files["tokenizer.json"]
        added = [{"id": token_id, "content": text, **flags} for text, token_id in tokens.items()]
        spec["added_tokens"] = [*(spec.get("added_tokens") or []), *added]
    for name in ("tokenizer_config.json", "special_tokens_map.json"):
        extra = files.get(name, {}).get("additional_special_tokens")
        if isinstance(extra, list):
            files[name]["additional_special_tokens"] = [*extra, *tokens]
    return files
