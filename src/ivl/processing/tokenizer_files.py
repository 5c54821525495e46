"""The tokenizer of a model folder.

In: a folder. Out: a `Tokenizer`. Reads what the official code (`AutoTokenizer`, use_fast=False) would read:

- tokenizer.json where tokenizer_config.json's tokenizer_class ends in "Fast";
- else tokenizer.model (InternLM2Tokenizer, LlamaTokenizer), or vocab.json with merges.txt (Qwen2Tokenizer);
- and where those files are missing, whichever of the three forms is there.

Runs no code of the folder. Every damaged or missing file is a TokenizerError of one line.
Source: transformers 4.37.2, tokenization_utils_base.py (`_from_pretrained`) and tokenization_utils.py.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, Literal

from ivl.errors import TokenizerError
from ivl.processing.added_tokens import MAX_LENGTH, AddedToken
from ivl.processing.codec import Codec
from ivl.processing.codec_bpe import BpeCodec, checked_id, prefix_ids, qwen2_spec
from ivl.processing.codec_sentencepiece import SentencePieceCodec
from ivl.processing.tokenizer import Tokenizer
from ivl.processing.tokenizer_settings import TokenizerSettings, read_file, read_object, read_settings

MAX_ADDED_TOKENS = 20_000

Kind = Literal["sentencepiece", "vocab", "json"]
_FILES: Mapping[Kind, tuple[str, ...]] = {
    # The slow ones first.
    "sentencepiece": ("tokenizer.model",),
    "vocab": ("vocab.json", "merges.txt"),
    "json": ("tokenizer.json",),
}


def load_tokenizer(folder: Path | str, control: Iterable[str] = ()) -> Tokenizer:
    """The tokenizer of a folder.

    control: texts that are control tokens whatever the folder says of them. Raises TokenizerError.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise TokenizerError(f"there is no folder {str(folder)!r} to read a tokenizer from")
    settings = read_settings(folder)
    kind = chosen_kind(folder, settings)
    if kind == "json":
        return _from_json(folder / "tokenizer.json", settings, control)
    codec = _sentencepiece(folder, settings) if kind == "sentencepiece" else _qwen2(folder, settings)
    tokens = _slow_added_tokens(folder, settings, codec)
    prefix = _bos(settings, tokens) if kind == "sentencepiece" else ()
    return Tokenizer(codec, tokens, prefix, settings.all_special, control)


def chosen_kind(folder: Path, settings: TokenizerSettings) -> Kind:
    """Which form of tokenizer counts where a folder has several; raises TokenizerError where it has none."""
    kinds = [kind for kind, names in _FILES.items() if all((folder / name).is_file() for name in names)]
    if not kinds:
        raise TokenizerError(
            f"no tokenizer in {str(folder)!r}: it holds neither tokenizer.json nor tokenizer.model "
            "nor vocab.json with merges.txt"
        )
    return "json" if settings.is_fast and "json" in kinds else kinds[0]


def _sentencepiece(folder: Path, settings: TokenizerSettings) -> SentencePieceCodec:
    # The official class takes the older way unless the folder says otherwise.
    once = settings.class_name == "LlamaTokenizer" and settings.config.get("legacy") is False
    unknown = settings.named_special.get("unk_token", "<unk>")
    return SentencePieceCodec(read_file(folder / "tokenizer.model"), prefix_once=once, unknown=unknown)


def _qwen2(folder: Path, settings: TokenizerSettings) -> BpeCodec:
    if settings.class_name not in {"", "Qwen2Tokenizer"}:
        raise TokenizerError(
            f"tokenizer_class={settings.class_name[:60]!r} with vocab.json and merges.txt is not supported: "
            "only Qwen2Tokenizer is"
        )
    try:
        merges = read_file(folder / "merges.txt").decode()
    except UnicodeDecodeError:
        raise TokenizerError(f"{str(folder / 'merges.txt')!r} is no UTF-8 text") from None
    return BpeCodec(qwen2_spec(read_object(folder / "vocab.json"), merges))


def _from_json(path: Path, settings: TokenizerSettings, control: Iterable[str]) -> Tokenizer:
    spec = read_object(path)
    codec = BpeCodec(spec)
    tokens = _json_added_tokens(spec, path)
    known = {token.text for token in tokens}
    # The folder's settings may list tokens that were added after the file was made.
    tokens += [token for token in _config_added_tokens(settings) if token.text not in known]
    tokens = _checked(tokens)
    prefix = prefix_ids(spec.get("post_processor"))
    if settings.is_fast and settings.class_name == "LlamaTokenizer":
        # This class alone sets the file's post-processor aside.
        prefix = _bos(settings, tokens)
    return Tokenizer(codec, tokens, prefix, settings.all_special, control)


def _bos(settings: TokenizerSettings, tokens: Iterable[AddedToken]) -> tuple[int, ...]:
    """The begin-of-sequence token of Llama's and InternLM2's classes, unless it is switched off."""
    text = settings.named_special.get("bos_token")
    return tuple(token.id for token in tokens if settings.adds_bos and token.text == text)


def _slow_added_tokens(folder: Path, settings: TokenizerSettings, codec: Codec) -> list[AddedToken]:
    """Added tokens as the slow classes find them."""
    special = settings.all_special
    if "added_tokens_decoder" in settings.config:
        tokens = _config_added_tokens(settings)
    else:
        tokens = [
            AddedToken(id=checked_id(token_id, "added_tokens.json"), text=text, special=text in special)
            for text, token_id in settings.added.items()
        ]
        path = folder / "tokenizer.json"
        newer = _json_added_tokens(read_object(path), path)
        replaced = {token.id for token in newer}
        tokens = [token for token in tokens if token.id not in replaced] + newer
    tokens = _checked(tokens)
    known = {token.text for token in tokens}
    next_id = max([codec.size, *(token.id + 1 for token in tokens)])
    for text, entry in special.items():
        if text in known:
            continue
        token_id = codec.find(text)
        if token_id is None:
            token_id, next_id = next_id, next_id + 1
        said = {**entry, "content": text, "special": True}
        tokens.append(_added_token(token_id, said, "special_tokens_map.json"))
    return _checked(tokens)


def _config_added_tokens(settings: TokenizerSettings) -> list[AddedToken]:
    where = "tokenizer_config.json: added_tokens_decoder"
    table = settings.config.get("added_tokens_decoder", {})
    if not isinstance(table, Mapping):
        raise TokenizerError(f"{where} is a {type(table).__name__}: an object is needed")
    tokens = []
    for key, entry in table.items():
        if not key.isascii() or not key.isdigit():
            raise TokenizerError(f"{where} has the token id {key[:40]!r}: a whole number is needed")
        tokens.append(_added_token(int(key[:20]), entry, where))
    return tokens


def _json_added_tokens(spec: Mapping[str, Any], path: Path) -> list[AddedToken]:
    entries = spec.get("added_tokens") or []
    if not isinstance(entries, list) or not all(isinstance(entry, Mapping) for entry in entries):
        raise TokenizerError(f"{path.name}: added_tokens must be a list of objects")
    return [_added_token(entry.get("id"), entry, f"{path.name}: added_tokens") for entry in entries]


def _added_token(token_id: Any, entry: Any, where: str) -> AddedToken:
    checked = checked_id(token_id, where)
    if not isinstance(entry, Mapping) or not isinstance(entry.get("content"), str):
        raise TokenizerError(f"{where} has an entry without a 'content' text for id {checked}")
    flags = {name: bool(entry.get(name)) for name in ("special", "lstrip", "rstrip", "single_word")}
    return AddedToken(id=checked, text=entry["content"], **flags)


def _checked(tokens: list[AddedToken]) -> list[AddedToken]:
    """The tokens, each once; raises TokenizerError where they contradict each other."""
    if len(tokens) > MAX_ADDED_TOKENS:
        raise TokenizerError(f"the tokenizer has {len(tokens)} added tokens: at most {MAX_ADDED_TOKENS} are read")
    by_text: dict[str, AddedToken] = {}
    by_id: dict[int, AddedToken] = {}
    for token in tokens:
        if not 0 < len(token.text) <= MAX_LENGTH:
            raise TokenizerError(
                f"the added token of id {token.id} has {len(token.text)} characters: 1 to {MAX_LENGTH} may be"
            )
        other = by_id.setdefault(token.id, token)
        if other.text != token.text:
            raise TokenizerError(f"the added tokens {other.text!r} and {token.text!r} have the same id {token.id}")
        same = by_text.setdefault(token.text, token)
        if same.id != token.id:
            raise TokenizerError(f"the added token {token.text!r} has two ids, {same.id} and {token.id}")
    return list(by_text.values())
