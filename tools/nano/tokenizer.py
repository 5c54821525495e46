"""The small model's tokenizer, learned from its training texts.

In: the JSONL files that `generate.py` wrote, and the names of dishes. Out: a byte-level BPE with InternLM2's special
tokens, and the files that it ships in. The same texts give the same bytes.
"""

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors, trainers

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
VOCABULARY = 3328
"""Tokens, all special ones included."""
FILES = ("sheets", "scenes", "large", "several", "documents", "words")
_MOST_LINES = 20_000
"""Of each file, that the tokenizer learns from."""


def train_tokenizer(data: Path, names: dict[str, list[str]]) -> Tokenizer:
    """A byte-level BPE of what is asked and answered.

    While it learns, a Chinese character stands alone, so no merge joins one with its neighbours and a name is the same
    tokens wherever it stands. The file itself needs only the plain byte-level rule.
    """
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(r"\p{Han}"), behavior="isolated"),
            pre_tokenizers.Split(Regex(r"\p{N}"), behavior="isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY - len(LAST),
        special_tokens=list(FIRST),
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(_corpus(data, names), trainer)
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=True)
    tokenizer.add_special_tokens([AddedToken(text, special=True, normalized=False) for text in LAST])
    bos = tokenizer.token_to_id("<s>")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", bos)]
    )
    return tokenizer


def _corpus(data: Path, names: dict[str, list[str]]) -> list[str]:
    """What is said in the data, every Chinese character of it often enough to be a token, and the names of dishes."""
    lines = list(_said(data))
    han = Counter(char for line in lines for char in line if "\u4e00" <= char <= "\u9fff")
    rare = [char for char, number in han.items() if number >= 3] * 40
    dishes = [f"{mark}{name}" for name in names["en"] for mark in ("", " ")] + names["zh"]
    return [*lines, *rare, *dishes * 40, *[SYSTEM, "system\n", "user\n", "assistant\n"] * 500]


def _said(data: Path) -> Iterator[str]:
    for name in FILES:
        with (data / f"{name}.jsonl").open(encoding="utf-8") as file:
            for _, line in zip(range(_MOST_LINES), file, strict=False):
                for turn in json.loads(line)["conversations"]:
                    yield turn["value"].replace("<image>", "")


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
