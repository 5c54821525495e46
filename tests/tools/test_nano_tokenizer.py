"""The small model's tokenizer: characters and digits apart, special tokens where InternLM2 has them, the same bytes."""

import json
from pathlib import Path

import pytest
from tools.nano.tokenizer import FILES, FIRST, LAST, SYSTEM, VOCABULARY, save_tokenizer, train_tokenizer

NAMES = {"en": ["ramen", "fried egg"], "zh": ["拉面", "煎蛋"]}
SAID = ("How many cats are there?", "图里有几个猫？", "The coffee costs €17.50.", "红辣椒多少钱？") * 30


@pytest.fixture
def data(tmp_path: Path) -> Path:
    for name in FILES:
        turns = [{"from": "human", "value": f"<image>\n{text}"} for text in SAID]
        (tmp_path / f"{name}.jsonl").write_text(json.dumps({"conversations": turns}) + "\n", encoding="utf-8")
    return tmp_path


def test_texts_come_back_and_names_are_the_same_tokens_everywhere(data: Path) -> None:
    tokenizer = train_tokenizer(data, NAMES)
    assert tokenizer.get_vocab_size() <= VOCABULARY
    for text in (*SAID[:4], SYSTEM, "ramen 拉面 𝄞"):
        assert tokenizer.decode(tokenizer.encode(text).ids) == text
    assert len(tokenizer.encode("拉面", add_special_tokens=False).ids) == 2
    assert len(tokenizer.encode("17.50", add_special_tokens=False).ids) == 5
    ramen = tokenizer.encode("ramen", add_special_tokens=False).ids
    assert len(ramen) == 1


def test_special_tokens_are_first_and_last(data: Path) -> None:
    tokenizer = train_tokenizer(data, NAMES)
    size = tokenizer.get_vocab_size()
    assert [tokenizer.token_to_id(text) for text in FIRST] == [0, 1, 2]
    assert [tokenizer.token_to_id(text) for text in LAST] == list(range(size - len(LAST), size))
    assert tokenizer.encode("a").ids[0] == 1


def test_the_same_texts_give_the_same_files(data: Path, tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        save_tokenizer(train_tokenizer(data, NAMES), folder)
    files = sorted(path.name for path in folders[0].iterdir())
    assert files == ["generation_config.json", "special_tokens_map.json", "tokenizer.json", "tokenizer_config.json"]
    for name in files:
        assert (folders[0] / name).read_bytes() == (folders[1] / name).read_bytes(), name
    eos = json.loads((folders[0] / "generation_config.json").read_text("utf-8"))["eos_token_id"]
    assert len(eos) == 2
