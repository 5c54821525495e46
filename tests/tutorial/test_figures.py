"""What the report reads: results as `ivl eval` writes them, loss curves, and which answers name the dish."""

import json
from pathlib import Path

import pytest

from ivl.errors import DataError
from ivl.tutorial.figures import read_chats, read_figures, read_runs
from ivl.tutorial.story import AFTER, BEFORE, REPLAY
from tutorial.made_up_story import finish, make_up


def test_results_of_an_evaluation(tmp_path: Path) -> None:
    story = make_up(tmp_path)
    finish(story)
    figures = read_figures(story.food_results)
    assert figures is not None
    naming, choice = figures.sets
    assert (naming.metric, naming.num_items, naming.chance, choice.chance) == ("contains", 12, None, 0.25)
    assert [naming.scores[name].mean for name in (BEFORE, AFTER, REPLAY)] == [0.25, 0.5, 0.75]
    assert naming.differences[REPLAY].score.mean == 0.5
    assert naming.differences[REPLAY].verdict == "better"
    assert naming.lengths[BEFORE] == (4.0, 0.0)
    assert naming.lengths[AFTER][1] == 1.0
    assert not choice.lengths, "letters have no manner"
    assert figures.over_all(AFTER) == figures.pooled[AFTER]
    assert figures.pooled[AFTER].score.n == 24


def test_one_set_alone_is_all(tmp_path: Path) -> None:
    story = make_up(tmp_path)
    finish(story)
    assert story.general_results is not None
    figures = read_figures(story.general_results)
    assert figures is not None
    assert not figures.pooled
    assert figures.over_all(AFTER) == figures.sets[0].differences[AFTER]
    assert figures.over_all(BEFORE) is None


def test_no_results_yet(tmp_path: Path) -> None:
    assert read_figures(tmp_path) is None


@pytest.mark.parametrize("change", [{"differences": 3}, {"sets": [{}]}, None, {"sets": [{"metric": "guess"}]}])
def test_damaged_results_are_one_line(tmp_path: Path, change: dict[str, object] | None) -> None:
    data = {"sets": [], "differences": []}
    text = json.dumps({**data, **change}) if change is not None else "{"
    (tmp_path / "results.json").write_text(text)
    with pytest.raises(DataError, match=r"results.json' cannot be read .*: evaluate again"):
        read_figures(tmp_path)


def test_loss_curves(tmp_path: Path) -> None:
    story = make_up(tmp_path)
    assert read_runs(story) == {}
    finish(story)
    assert {name: history.last_step for name, history in read_runs(story).items()} == {AFTER: 60, REPLAY: 90}


def test_answers_are_judged_as_the_evaluation_judges(tmp_path: Path) -> None:
    story = make_up(tmp_path)
    record = finish(story)
    chats = read_chats(story, record)
    dumpling_zh, dumpling_en, sushi_zh = chats[:3]
    assert (dumpling_zh.expected, dumpling_en.expected, sushi_zh.expected) == ("饺子", "dumpling", "寿司")
    assert dumpling_zh.answers[BEFORE] == ("a dish", False)
    assert dumpling_zh.answers[AFTER][1]
    assert dumpling_en.answers[REPLAY][1]
    assert not sushi_zh.answers[AFTER][1]
