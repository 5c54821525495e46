"""The recipe's text: read back equal, whatever is in its paths."""

from pathlib import Path

import pytest

from ivl.train.recipe import load_recipe
from ivl.tutorial.numbers import Numbers
from ivl.tutorial.recipe import Recipe, recipe_text


def written(tmp_path: Path, numbers: Numbers | None = None, **changes: object):
    values = {
        "file": tmp_path / "r.yaml", "folder": tmp_path / "r", "model": None, "data": Path("data/train.json"),
        "images": Path("images"), "replay": None, "replay_file": "train.jsonl", "cache": Path("cache"), "steps": 12,
    }  # fmt: skip
    path = tmp_path / "r.yaml"
    path.write_text(recipe_text(Recipe(**{**values, **changes}), numbers or Numbers()), "utf-8")  # type: ignore[arg-type]
    return load_recipe(path)


def test_numbers_arrive(tmp_path: Path) -> None:
    numbers = Numbers(batch_size=3, lr=2e-5, r=4, lora_alpha=9, lora_dropout=0.1, warmup_ratio=0.2)
    config = written(tmp_path, numbers)
    assert (config.batch_size, config.lr, config.r, config.lora_alpha) == (3, 2e-5, 4, 9)
    assert (config.lora_dropout, config.warmup_ratio) == (0.1, 0.2)
    assert (config.max_steps, config.save_steps, config.path) == (12, 12, "")
    assert (config.language_model, config.vision_model, config.connector) == ("lora", "frozen", "frozen")


def test_a_published_model_learns_more_slowly(tmp_path: Path) -> None:
    assert written(tmp_path, model="OpenGVLab/InternVL2-2B").lr == Numbers().published_lr < Numbers().lr


@pytest.mark.parametrize("name", ['a "quoted" folder', "with: colon # and hash", "{braces}, [brackets]", "饺子 \\ 😀"])
def test_odd_paths(tmp_path: Path, name: str) -> None:
    config = written(tmp_path, model=name, data=Path(name), images=Path(name), cache=Path(name), replay=Path(name))
    assert config.path == config.image_folder == config.vision_cache == name
    assert config.data_path[0].path == name
    assert config.replay_path[0].path == f"{name}/train.jsonl"
    assert config.replay_path[0].image_folder == name


def test_a_line_break_in_a_path_ends_no_comment(tmp_path: Path) -> None:
    assert written(tmp_path, folder=Path("a\nlr: 5")).lr == Numbers().lr
