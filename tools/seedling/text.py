"""The seedling's tokenizer, and conversations as token ids.

In: things and exchanges. Out: a byte-level BPE (tokenizer.json and its companions, InternLM2's special tokens) and the
token ids that the package's own processor gives for the same conversation. Knows no pixels.
"""

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from tools.seedling.questions import Exchange, article
from tools.seedling.templates import COLOURS, PLACES, TEMPLATES
from tools.seedling.vocabulary import Thing, plural

SYSTEM = "你是由上海人工智能实验室联合商汤科技开发的书生多模态大模型，英文名叫InternVL, 是一个有用无害的人工智能助手。"
"""The official system message of internlm2-chat."""
FIRST = ("<unk>", "<s>", "</s>")
LAST = (
    "<|im_end|>",
    "<|im_start|>",
    "<img>",
    "</img>",
    "<IMG_CONTEXT>",
    "<quad>",
    "</quad>",
    "<ref>",
    "</ref>",
    "<box>",
    "</box>",
)
MERGED_SIZE = 2304
"""Vocabulary size, all special tokens included."""


def train_tokenizer(things: list[Thing], size: int = MERGED_SIZE) -> Tokenizer:
    """A byte-level BPE of the names and questions.

    While it learns, a Chinese character stands alone, so no merge joins one with its neighbours and a name is the same
    tokens wherever it stands. The file itself needs only the plain byte-level rule.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{Han}"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size - len(LAST),
        special_tokens=list(FIRST),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(things), trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in LAST])
    bos = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", bos)]
    )
    return tokenizer


def _corpus(things: list[Thing]) -> list[str]:
    """Names by weight (foods first), every template, the frame of a conversation."""
    lines = [SYSTEM, "system\n", "user\n", "assistant\n"] * 200
    for kind in TEMPLATES.values():
        for templates in kind.values():
            lines += [part for text in templates for part in text.replace("{p}", "{n}").split("{n}")] * 40
    lines += [*COLOURS, *COLOURS.values(), *PLACES, *PLACES.values(), "Yes", "No", "有", "没有", "是", "不是"] * 100
    lines += [f" {number}" for number in range(10)] * 20 + [
        "The picture shows",
        " on a",
        " background.",
        " and",
        ", ",
        "、",
    ] * 40
    for thing in things:
        weight = 30 if thing.is_food else 4 if thing.group in (3, 5, 6, 7) else 1
        english = thing.english
        lines += [english, f" {english}", f" {plural(english)}", f" {article(english)}", thing.chinese] * weight
    return lines


def save_tokenizer(tokenizer: Tokenizer, folder: Path) -> None:
    """tokenizer.json, tokenizer_config.json, special_tokens_map.json and generation_config.json."""
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    names = {"bos_token": "<s>", "eos_token": "</s>", "unk_token": "<unk>", "pad_token": "</s>"}
    common = {"lstrip": False, "normalized": False, "rstrip": False, "single_word": False, "special": True}
    added = {str(tokenizer.token_to_id(text)): {"content": text, **common} for text in (*FIRST, *LAST)}
    config = {
        "add_bos_token": True,
        "added_tokens_decoder": added,
        "additional_special_tokens": list(LAST),
        "clean_up_tokenization_spaces": False,
        "model_max_length": 2048,
        "tokenizer_class": "PreTrainedTokenizerFast",
        **names,
    }
    eos = [tokenizer.token_to_id("</s>"), tokenizer.token_to_id("<|im_end|>")]
    files = {
        "tokenizer_config.json": config,
        "special_tokens_map.json": {**names, "additional_special_tokens": list(LAST)},
        "generation_config.json": {"bos_token_id": 1, "eos_token_id": eos, "pad_token_id": 2},
    }
    for name, content in files.items():
        (folder / name).write_text(json.dumps(content, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")


@dataclass(frozen=True, kw_only=True)
class Slot:
    """Ids of the part of a conversation after the picture, and whether each is trained."""

    ids: tuple[int, ...]
    trained: tuple[bool, ...]


class Speaker:
    """Turns exchanges into ids, exactly as the rendered prompt would be tokenized."""

    def __init__(self, tokenizer: Tokenizer) -> None:
        self.tokenizer = tokenizer
        self.im_end, self.im_start = (tokenizer.token_to_id(text) for text in ("<|im_end|>", "<|im_start|>"))
        self.image = tuple(tokenizer.token_to_id(text) for text in ("<img>", "<IMG_CONTEXT>", "</img>"))
        # Few distinct texts, asked again and again.
        self.encode = lru_cache(maxsize=400_000)(self._encode)

    def _encode(self, text: str) -> tuple[int, ...]:
        return tuple(self.tokenizer.encode(text, add_special_tokens=False).ids)

    def prefix(self, num_image_tokens: int, system: str = SYSTEM) -> list[int]:
        """Ids up to and with </img>: begin, system message, the user's turn, the picture."""
        opening, context, closing = self.image
        ids = [self.tokenizer.token_to_id("<s>"), self.im_start, *self.encode(f"system\n{system}"), self.im_end]
        ids += [self.im_start, *self.encode("user\n"), opening]
        return [*ids, *[context] * num_image_tokens, closing]

    def slot(self, exchanges: list[Exchange]) -> Slot:
        """Ids after the picture: question, answer, question, answer ..."""
        ids: list[int] = []
        trained: list[bool] = []
        for turn, exchange in enumerate(exchanges):
            opening = () if turn == 0 else (self.im_start,)
            question = ("\n" if turn == 0 else "user\n") + exchange.question
            asked = (*opening, *self.encode(question), self.im_end, self.im_start, *self.encode("assistant\n"))
            answered = (*self.encode(exchange.answer), self.im_end)
            ids += asked + answered
            trained += [False] * len(asked) + [True] * len(answered)
        return Slot(ids=tuple(ids), trained=tuple(trained))
