"""The record: written whole, read back equal, refused where it is not what the story needs."""

from pathlib import Path

import pytest

from ivl.errors import InputError
from ivl.tutorial.numbers import Numbers
from ivl.tutorial.record import FILE, Ran, check_same, read_record, write_record
from ivl.tutorial.story import AFTER, BEFORE
from tutorial.made_up_story import finish, make_up


def test_read_back_equal(tmp_path: Path) -> None:
    story = make_up(tmp_path)
    record = finish(story)
    assert read_record(story.out) == record
    assert [path.name for path in story.out.glob("*.partial")] == []


def test_answers_by_question_and_subject(tmp_path: Path) -> None:
    story = make_up(tmp_path)
    record = finish(story)
    answers = record.answers(story)
    assert len(answers) == 3 * len(story.questions)
    assert answers[0, BEFORE] == "a dish"
    assert answers[7, AFTER] == "dumpling 饺子"
    failed = record.steps["chat"][0]
    record.steps["chat"][0] = Ran(line=failed.line, seconds=1, exit_code=1, output="half")
    assert (0, BEFORE) not in record.answers(story)


@pytest.mark.parametrize(
    "text", ["", "{", "[]", '{"schema": 99}', '{"schema": 1, "steps": 3}', '{"schema": 1, "steps": {}, "more": 1}']
)
def test_a_damaged_record_is_one_line(tmp_path: Path, text: str) -> None:
    (tmp_path / FILE).write_text(text)
    with pytest.raises(InputError, match=r"damaged or of another version: run `ivl tutorial` without --from"):
        read_record(tmp_path)


def test_no_record(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no tutorial to go on with"):
        read_record(tmp_path / "nowhere")


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    story = make_up(tmp_path)
    record = finish(story)
    with pytest.raises(InputError, match="cannot be written"):
        write_record(record, tmp_path / "nowhere")


def test_other_settings_are_refused(tmp_path: Path) -> None:
    story = make_up(tmp_path)
    record = finish(story)
    check_same(record, story, "report")
    with pytest.raises(InputError, match=r"step chat .* was done with other settings"):
        check_same(record, make_up(tmp_path, Numbers(answer_tokens=5)), "data")


def test_a_step_that_is_not_done_is_named(tmp_path: Path) -> None:
    story = make_up(tmp_path)
    record = finish(story)
    del record.steps["data"][1]
    with pytest.raises(InputError, match="step data is not done yet; go on with --from data"):
        check_same(record, story, "eval-food")
    check_same(record, story, "data")
