"""The page: well formed, harmless whatever it is given, true to the record, with links only to what is there."""

import re
from dataclasses import replace
from pathlib import Path

from evals.test_report_page import Page
from ivl.tutorial.numbers import Numbers
from ivl.tutorial.page_steps import steps_section
from ivl.tutorial.report import write_report
from ivl.tutorial.story import AFTER, BEFORE, NO_GENERAL, REPLAY, make_story
from ivl.zoo import foods_folder
from tutorial.made_up_story import finish, make_up

HOSTILE = "</dd></style><script>alert(1)</script><img src=x onerror='alert(1)'>\"&\x00‮"


def told(story, record) -> Page:
    return Page(write_report(story, record).read_text("utf-8"))


def test_the_whole_story(tmp_path: Path) -> None:
    story = make_up(tmp_path)
    record = finish(story)
    page = told(story, record)
    for words in (
        "The same questions, before and after", "What it learnt", "What it forgot", "How it answers", "How it learnt",
        "Steps and commands", "foods, after", "+25.0 points", "everything else, after, with replay", "+50.0 points",
        "这是什么菜？", "it is 饺子", "dumpling 饺子", "100% sentences", "60 steps, 960 samples",
    ):  # fmt: skip
        assert words in page.text, words
    for command in (command for step in story.steps for command in step.commands):
        assert command.line in "".join(page.words), command.line
    assert page.tags.count("img") == 4
    assert page.tags.count("figure") == 2
    assert "Stopped" not in page.text
    assert "so far" not in page.text


def test_nothing_from_elsewhere_and_no_script(tmp_path: Path) -> None:
    story = make_up(tmp_path)
    page = told(story, finish(story))
    policy = [value for name, value in page.attributes if name == "content" and "default-src" in value]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert "script" not in page.tags
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name == "src":
            assert value.startswith("data:image/jpeg;base64,")
        if name == "href":
            assert (story.out / value).is_file(), value


def test_links_lead_to_what_is_there(tmp_path: Path) -> None:
    story = make_up(tmp_path)
    record = finish(story)
    links = [value for name, value in told(story, record).attributes if name == "href"]
    assert links == ["eval-food/report.html", "eval-general/report.html"]
    (story.out / "data-check.html").touch()
    assert "data-check.html" in steps_section(story, record)


def test_hostile_answers_are_inert(tmp_path: Path) -> None:
    story = make_up(tmp_path, model=HOSTILE)
    record = finish(story, {BEFORE: HOSTILE, AFTER: HOSTILE, REPLAY: HOSTILE})
    record.failure = HOSTILE
    for step, ran in record.steps.items():
        record.steps[step] = [replace(each, output=HOSTILE) for each in ran]
    page = told(story, record)
    assert not {"script", "style"} & set(page.tags[page.tags.index("body") :])
    assert page.tags.count("img") == 4
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "alert(1)" in page.text
    assert "\x00" not in page.text


def test_a_story_that_stopped(tmp_path: Path) -> None:
    story = make_up(tmp_path)
    record = finish(story)
    for name in story.names[3:]:
        record.steps.pop(name)
    record.failure = "step train-replay: exit code 1 of: ivl train"
    record.is_quick = True
    page = told(story, record)
    assert "Stopped. step train-replay: exit code 1" in page.text
    assert "Its figures mean nothing" in page.text
    assert "not done yet" in page.text
    assert "so far" in page.text


def test_a_story_that_has_just_begun(tmp_path: Path) -> None:
    story = make_up(tmp_path)
    record = finish(story)
    record.steps.clear()
    story.out.mkdir(exist_ok=True)
    for path in (*story.runs.values(), story.food_results, story.general_results):
        assert path is not None
        for file in path.iterdir():
            file.unlink()
    page = told(story, record)
    assert page.tags.count("h2") == 1
    assert "Steps and commands" in page.text


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    story = make_story(Numbers(), tmp_path / "out", None, foods_folder(), tmp_path / "nothing")
    page = told(story, finish(story))
    assert f"Left out: {NO_GENERAL}." in page.text
    assert "after, with replay" not in page.text
    assert re.search("Left out: the package holds no general training data", page.text)
