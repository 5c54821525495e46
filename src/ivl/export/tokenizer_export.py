"""A model folder's tokenizer as the files that transformers reads without remote code.

In: a folder whose tokenizer is in any of the official forms. Out: tokenizer.json, tokenizer_config.json and
chat_template.jinja in another folder, which give the ids that `ivl` gives: read again here, and compared on texts that
tokenizers are known to differ on, before anybody relies on them. Knows no weights and no pictures.

transformers' generic class is named (`PreTrainedTokenizerFast`), because the classes named after models build their
tokenizer anew and set parts of the file aside.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from ivl.errors import TokenizerError
from ivl.export.tokenizer_export_chat import VIDEO_MARK, chat_template
from ivl.export.tokenizer_export_sentencepiece import SPACE, convert_sentencepiece
from ivl.processing.added_tokens import AddedToken
from ivl.processing.codec import SpaceRule
from ivl.processing.codec_bpe import qwen2_spec
from ivl.processing.segments import IMAGE_END, IMAGE_START, IMAGE_TOKEN, Segment
from ivl.processing.template import Template, Turn, get_template
from ivl.processing.tokenizer import Tokenizer
from ivl.processing.tokenizer_files import Kind, chosen_kind, load_tokenizer
from ivl.processing.tokenizer_settings import TokenizerSettings, read_file, read_object, read_settings

TEMPLATE_FILE = "chat_template.jinja"
_NAMES = ("bos_token", "eos_token", "pad_token", "unk_token")
_FLAGS = ("special", "lstrip", "rstrip", "single_word")

PROBES = (
    "What is this? What's THAT?",
    " a",
    "  two  spaces  \n\n  and lines\r\n\t\n",
    "图片里的食物是什么？它属于哪个菜系，　用中文回答。",
    "東京のラーメン🍜 और खाना 🥟👩‍👩‍👧‍👦 ﷽ שלום",
    "1234567890 3.14159e-10 0x7fff ١٢٣ ⅷ",
    "aaaaaaaaaaaaaaaaaaaa -------------------- ==== ________ \u00a0\u3000\u200b",
    "def f(x):\n    return {'a': [1, 2], \"b\": x ** 2}  # why",
    "ﬁ ﬂ ½ é é Å ｆｕｌｌ ＷＩＤＴＨ \x00\x01\x7f\ufffd\U0010fffd",
    "x▁under▁score ▁ Ġ Ċ <0x0A> <unk",
    "<ref>the dish</ref><box>[[1, 2, 3, 4]]</box>",
)
"""What a person might write, and what tokenizers are known to cut differently."""


def write_tokenizer(source: Path, template_name: str, max_positions: int, out: Path) -> Tokenizer:
    """Write the tokenizer of the folder `source` into the folder `out`; the source's own comes back.

    template_name: the conversation template. max_positions: the longest prompt that the model was trained for. Raises
    TokenizerError when `source` has no tokenizer, a damaged one, or one that the files cannot express.
    """
    template = get_template(template_name)
    control = template.control_tokens
    tokenizer = load_tokenizer(source, control)
    settings = read_settings(source)
    spec, own = _spec(source, settings, tokenizer)
    added = _added_tokens(tokenizer, control, own)
    prefix = prompt_prefix(tokenizer, template)
    spec |= {"version": "1.0", "truncation": None, "padding": None}
    spec["added_tokens"] = _entries(added, spec)
    spec["post_processor"] = _post_processor(tokenizer, prefix)
    _place(added, spec["model"]["vocab"], spec["model"]["merges"])
    config = _config(_named(settings, tokenizer, template), max_positions)
    order = ("version", "truncation", "padding", "added_tokens", "normalizer", "pre_tokenizer")
    spec = {key: spec.get(key) for key in (*order, "post_processor", "decoder", "model")}
    (out / "tokenizer.json").write_text(json.dumps(spec, ensure_ascii=False) + "\n", "utf-8")
    (out / "tokenizer_config.json").write_text(json.dumps(config, indent=2, ensure_ascii=False) + "\n", "utf-8")
    before = "".join(_text_of(token_id, tokenizer) for token_id in prefix)
    (out / TEMPLATE_FILE).write_text(chat_template(template, before), "utf-8")
    _check_same(tokenizer, load_tokenizer(out, control), template)
    return tokenizer


def prompt_prefix(tokenizer: Tokenizer, template: Template) -> list[int]:
    """The ids that stand before the first control token of every prompt."""
    return tokenizer.encode_segments([Segment(template.openings.system.control, "control")]).ids[:-1]


def _spec(source: Path, settings: TokenizerSettings, tokenizer: Tokenizer) -> tuple[dict[str, Any], tuple[str, ...]]:
    """The parts of tokenizer.json that cut ordinary text, and texts that the vocabulary itself reads whole."""
    kind: Kind = chosen_kind(source, settings)
    if kind == "json":
        return read_object(source / "tokenizer.json"), ()
    if kind == "vocab":
        merges = read_file(source / "merges.txt").decode()
        spec = qwen2_spec(read_object(source / "vocab.json"), merges)
        flags = {"add_prefix_space": False, "trim_offsets": False, "use_regex": False}
        return spec | {"decoder": {"type": "ByteLevel", **flags}}, ()
    path = source / "tokenizer.model"
    parts = convert_sentencepiece(read_file(path), cast(SpaceRule, tokenizer.space_rule), str(path))
    # Where the folder gives the id of such a piece to a token of its own, that one counts.
    alone = [text for text in parts.whole if tokenizer.added_token(tokenizer.token_id(text)) is None]
    if tokenizer.space_rule == "each" and alone:
        raise TokenizerError(
            f"{path} reads {alone[0]!r} as one piece and puts a space before each text, which cannot be written as "
            "tokenizer.json: export the official layout"
        )
    return parts.spec, tuple(alone)


def _listed(tokenizer: Tokenizer) -> list[AddedToken]:
    found = (tokenizer.added_token(token_id) for token_id in range(tokenizer.vocab_size))
    return [token for token in found if token is not None]


def _added_tokens(tokenizer: Tokenizer, control: Iterable[str], own: Iterable[str]) -> list[AddedToken]:
    """All tokens that are read whole: those of the folder, the template's, and the vocabulary's own."""
    tokens = _listed(tokenizer)
    known = {token.text for token in tokens}
    for text in dict.fromkeys([*control, IMAGE_START, IMAGE_TOKEN, IMAGE_END]):
        if text not in known:
            tokens.append(AddedToken(id=tokenizer.token_id(text), text=text))
            known.add(text)
    tokens += [AddedToken(id=tokenizer.token_id(text), text=text, special=False) for text in own if text not in known]
    return sorted(tokens, key=lambda token: token.id)


def _entries(added: Sequence[AddedToken], spec: Mapping[str, Any]) -> list[dict[str, Any]]:
    """`added_tokens` of tokenizer.json; what the source's file says of normalisation stays."""
    said = {entry.get("content"): bool(entry.get("normalized")) for entry in spec.get("added_tokens") or ()}
    return [
        {"id": token.id, "content": token.text, "normalized": said.get(token.text, False)}
        | {flag: getattr(token, flag) for flag in _FLAGS}
        for token in added
    ]


def _place(added: Sequence[AddedToken], vocab: dict[str, int], merges: Iterable[Any]) -> None:
    """See to it that the library gives each added token its id.

    It takes the id of the vocabulary, else the next free one after all of it. Where that would be another one, the
    token is put into the vocabulary, to which no merge leads.
    """
    beyond = [token for token in added if token.text not in vocab]
    if [token.id for token in beyond] != list(range(len(vocab), len(vocab) + len(beyond))):
        texts = {idx: text for text, idx in vocab.items()}
        merged = {part for merge in merges for part in (merge.split(" ") if isinstance(merge, str) else merge)}
        for token in beyond:
            old = texts.get(token.id)
            if old in merged:
                raise TokenizerError(
                    f"the added token {token.text!r} has the id {token.id}, which the vocabulary gives to {old!r}"
                )
            if old is not None:
                del vocab[old]
            vocab[token.text] = token.id
    for token in added:
        if vocab.get(token.text, token.id) != token.id:
            raise TokenizerError(
                f"the added token {token.text!r} has the id {token.id}, but the vocabulary gives it "
                f"{vocab[token.text]}: that cannot be written as tokenizer.json"
            )


def _post_processor(tokenizer: Tokenizer, prefix: Sequence[int]) -> dict[str, Any] | None:
    """What stands before every text: as in a prompt, where LlamaTokenizer puts a space before the first token."""
    if not prefix:
        return None
    texts = {token_id: _text_of(token_id, tokenizer) for token_id in prefix}
    before = [{"SpecialToken": {"id": texts[token_id], "type_id": 0}} for token_id in prefix]
    known = {text: {"id": text, "ids": [token_id], "tokens": [text]} for token_id, text in texts.items()}
    single = [*before, {"Sequence": {"id": "A", "type_id": 0}}]
    pair = [*single, *before, {"Sequence": {"id": "B", "type_id": 0}}]
    return {"type": "TemplateProcessing", "single": single, "pair": pair, "special_tokens": known}


def _text_of(token_id: int, tokenizer: Tokenizer) -> str:
    """The text that becomes this id before a prompt."""
    token = tokenizer.added_token(token_id)
    if token is not None:
        return token.text
    assert tokenizer.token_id(SPACE) == token_id, f"id {token_id} before a prompt is neither a token nor a space"
    return SPACE


def _named(settings: TokenizerSettings, tokenizer: Tokenizer, template: Template) -> dict[str, str]:
    """bos_token and so on, where the vocabulary has them. A padding token there is always."""
    known = {token.text for token in _listed(tokenizer)}
    named = {name: text for name, text in settings.named_special.items() if name in _NAMES and text in known}
    if tokenizer.bos_id is not None:
        named["bos_token"] = _text_of(tokenizer.bos_id, tokenizer)
    named.setdefault("eos_token", template.end)
    named.setdefault("pad_token", named["eos_token"])
    return {name: named[name] for name in _NAMES if name in named}


def _config(named: Mapping[str, str], max_positions: int) -> dict[str, Any]:
    """tokenizer_config.json."""
    return {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "processor_class": "InternVLProcessor",
        "clean_up_tokenization_spaces": False,
        "model_max_length": max_positions,
        "padding_side": "left",
        **named,
        "extra_special_tokens": {
            "start_image_token": IMAGE_START,
            "end_image_token": IMAGE_END,
            "context_image_token": IMAGE_TOKEN,
            "video_token": VIDEO_MARK,
        },
    }


def _check_same(source: Tokenizer, written: Tokenizer, template: Template) -> None:
    """Raise TokenizerError unless what was written gives the ids of what was read."""
    if written.vocab_size != source.vocab_size:
        raise TokenizerError(
            f"the tokenizer.json that was written has {written.vocab_size} ids instead of {source.vocab_size}: "
            "export the official layout, and report this"
        )
    for text in PROBES:
        turn = Turn(role="user", segments=(Segment(text),))
        segments = template.prompt([turn])
        if source.encode_segments(segments).ids != written.encode_segments(segments).ids:
            raise TokenizerError(
                f"the tokenizer.json that was written cuts {text!r} otherwise than the source's tokenizer: export the "
                "official layout, and report this"
            )
