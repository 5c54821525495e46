"""The food story's parts: shares that make the whole, recipes that `ivl train` takes, tables that say what was said."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import easy_vqa_finetune as easy_vqa
from food_story import tables
from food_story.answering import lay_together, shard
from food_story.cutting import without_thumbnail
from food_story.data import Places
from food_story.processes import PYTHON, Command, run_all
from food_story.report import blind_data, markdown, story_data
from food_story.training import RUNS, Settings, recipe, write_recipe

from ivl.evals.item import Asked, EvalResults, EvalSet, Item, Prediction, Score, SetResult, Subject
from ivl.evals.results import mean_interval
from ivl.model.config_io import load_config
from ivl.train.recipe import load_recipe
from ivl.zoo import nano_folder

ASK = Asked(messages=())


def items(count: int, **tags: str) -> tuple[Item, ...]:
    return tuple(
        Item(
            item_id=str(number),
            where="here",
            question="?",
            answers=("A",),
            choices=("x", "y"),
            tags=tuple(tags.items()),
        )
        for number in range(count)
    )


def a_set(name: str, metric: str, *of: Item) -> EvalSet:
    return EvalSet(name=name, title=name, items=of, metric=metric, ask=lambda item, prompt: ASK, language="zh")  # type: ignore[arg-type]


def said(eval_set: EvalSet, subject: str, scores: list[float], text: str) -> SetResult:
    predictions = tuple(
        Prediction(
            item_id=item.item_id, prompt=0, text=text, parsed="A", score=score, num_tokens=2, finish_reason="stop"
        )
        for item, score in zip(eval_set.items, scores, strict=True)
    )
    mean: Score = mean_interval(scores)
    return SetResult(
        subject=subject, set_name=eval_set.name, predictions=(predictions,), scores=(mean,), best_prompt=0,
        num_unparsed=0, num_failed=0, mean_tokens=2.0,
    )  # fmt: skip


@pytest.fixture
def results() -> EvalResults:
    styles = [*items(2, style="openmoji"), *items(4, style="fxemoji")[2:]]
    sets = [
        a_set("food-trained-naming-zh", "contains", *items(4, style="noto")),
        a_set("food-heldout-naming-zh", "contains", *styles),
        a_set("food-trained-sivqa-zh", "choice", *items(4)),
        a_set("general-kind", "exact", *items(2, style="trained"), *items(4, style="fxemoji")[2:]),
        a_set("general-counting", "exact", *items(2, style="trained"), *items(4, style="fxemoji")[2:]),
    ]
    told = [said(each, "before", [0, 0, 0, 0], "狗") for each in sets[:3]]
    told += [said(each, "before", [1, 1, 1, 1], "This is a dog.") for each in sets[3:]]
    told += [said(each, "food", [1, 1, 1, 0], "图中的菜是寿司。") for each in sets]
    subjects = (Subject(name="before", folder="x"), Subject(name="food", folder="x", adapter="y"))
    return EvalResults(subjects=subjects, sets=tuple(sets), results=tuple(told), scoring="generate", circumstances={})


def test_the_tables_say_what_was_said(results: EvalResults) -> None:
    naming = {row.title: {name: score.mean for name, score in row.scores.items()} for row in scored(results)}
    assert naming["heldout styles, zh"] == {"before": 0.0, "food": 0.75}
    assert naming["openmoji, zh"]["food"] == 1.0
    assert naming["fxemoji, zh"]["food"] == 0.5
    lost = {row.title: row.scores["food"] for row in tables.difference_rows(results)}
    assert lost["general abilities, pooled"].n == 4
    assert lost["general abilities, pooled"].mean == -0.25
    assert lost["dishes named, trained styles"].mean == 0.75
    general = {row.title: row.scores["food"].mean for row in tables.general_rows(results)}
    assert general == {
        "kind, trained styles": 1.0, "kind, held-out styles": 0.5,
        "counting, trained styles": 1.0, "counting, held-out styles": 0.5,
    }  # fmt: skip
    manner = {(row["asked"], row["subject"]): row["style_score"] for row in tables.manner_rows(results)}
    assert manner["names of dishes", "before"] == 0.0
    assert manner["names of dishes", "food"] == 1.0


def scored(results: EvalResults) -> list[tables.Row]:
    """As if both languages were there: the Chinese sets stand for the English ones."""
    english = [
        EvalSet(**{**vars(each), "name": each.name.replace("-zh", "-en")})
        for each in results.sets
        if "naming" in each.name
    ]
    again = [
        SetResult(**{**vars(each), "set_name": each.set_name.replace("-zh", "-en")})
        for each in results.results
        if "naming" in each.set_name
    ]
    whole = EvalResults(**{**vars(results), "sets": (*results.sets, *english), "results": (*results.results, *again)})
    data = {
        "run": {"device": "none", "commit": "abc", "command": "x", "seconds": {"data": 1.0}},
        "story": story_data(whole, "food"),
        "blind": blind_data(replace(results, sets=results.sets[2:3])),
    }
    text = markdown(json.loads(json.dumps(data)))
    assert "| food: dishes named, trained styles | 75.0% | 90% or more | no |" in text
    assert "| before: dishes named, trained styles | 0.0% | under 15% | yes |" in text
    return list(tables.naming_rows(whole))


def test_shares_make_the_whole() -> None:
    whole = a_set("one", "choice", *items(7))
    shares = [shard([whole], number, 3) for number in range(3)]
    assert sorted(item.item_id for (part,) in shares for item in part.items) == [str(number) for number in range(7)]
    assert [len(part.items) for (part,) in shares] == [3, 2, 2]
    assert shard([a_set("small", "choice", *items(1))], 2, 3) == []


def test_answers_are_laid_together_only_if_of_one_making(tmp_path: Path) -> None:
    name = Path("food") / "one.jsonl"
    for number, header in enumerate(("h", "h", "other")):
        path = tmp_path / str(number) / "predictions" / name
        path.parent.mkdir(parents=True)
        path.write_text(f"{header}\n{number}\n")
    lay_together(name, [tmp_path / "0", tmp_path / "1", tmp_path / "missing"], tmp_path / "out")
    assert (tmp_path / "out" / "predictions" / name).read_text() == "h\n0\n1\n"
    with pytest.raises(AssertionError, match="2 different makings"):
        lay_together(name, [tmp_path / "0", tmp_path / "2"], tmp_path / "out")


@pytest.mark.parametrize("run", RUNS, ids=lambda run: run.name)
def test_train_takes_every_recipe(run: object, tmp_path: Path) -> None:
    places = Places(out=tmp_path, pack=tmp_path, fonts=tmp_path)
    write_recipe(tmp_path / "one.yaml", recipe(run, places, nano_folder(), Settings(), 3))  # type: ignore[arg-type]
    config = load_recipe(tmp_path / "one.yaml", ())
    assert config.packing
    assert [bool(config.replay_path), config.vision_model] == [
        run.has_replay, "lora" if run.sees else "frozen"  # type: ignore[attr-defined]
    ]  # fmt: skip
    folders = [source.image_folder for source in config.data_path]
    assert all(("grey" in str(folder)) == (run.name == "grey") for folder in folders)  # type: ignore[attr-defined]


def test_a_copy_without_thumbnail_is_the_same_model(tmp_path: Path) -> None:
    copy = without_thumbnail(nano_folder(), tmp_path / "copy")
    assert load_config(nano_folder()).use_thumbnail
    assert not load_config(copy).use_thumbnail
    assert {path.name for path in copy.iterdir()} == {path.name for path in nano_folder().iterdir()}


def test_a_failed_command_ends_the_others_and_is_shown(tmp_path: Path) -> None:
    good = Command(name="good", words=[PYTHON, "-c", "import time; time.sleep(60)"], log=tmp_path / "good")
    bad = Command(name="bad", words=[PYTHON, "-c", "print('why'); raise SystemExit(3)"], log=tmp_path / "bad")
    with pytest.raises(RuntimeError, match="bad ended with 3:\nwhy"):
        run_all([good, bad], at_once=2)


def test_the_probes_rate_is_that_of_its_later_steps(tmp_path: Path) -> None:
    lines = [{"kind": "step", "step": step, "time": time} for step, time in ((5, 0.0), (20, 100.0), (60, 110.0))]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert easy_vqa.steps_a_second(tmp_path / "metrics.jsonl") == 4.0
