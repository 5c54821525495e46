"""The Markdown and the terminal's table: figures in their places, and strangers' texts without effect."""

from dataclasses import replace

import pytest

from evals.made_results import choice_item, made_up, make_set, result, said
from ivl.evals.item import Score, Subject
from ivl.evals.report_data import make_report
from ivl.evals.report_text import markdown, terminal_lines
from ivl.evals.report_words import (
    clean,
    difference_text,
    duration,
    in_table,
    inert,
    interval_text,
    score_text,
    signed_interval_text,
)

HOSTILE = "</td><script>alert(1)</script>|\n# x\x1b[31m\u202e\x00`a`"


def test_markdown():
    text = markdown(make_report(made_up()))
    lines = text.splitlines()
    assert lines[2] == "| set | metric | n | nano | nano+food |"
    (row,) = [line for line in lines if line.startswith("| boxes | boxes at IoU 0.5 | 24 |")]
    results = made_up()
    for name in ("nano", "nano+food"):
        assert score_text("iou", results.result("boxes", name).scores[0].mean) in row
    assert "right letters (chance 25.0%)" in text
    assert "## Differences from nano" in text
    assert "all sets together" in text
    assert "| style: fxemoji, n = 2 |" in text
    assert "2 records cannot be asked:\n\n- sivqa\\_tidy.json, entry 77: " in text
    assert "1 item could not be answered:\n\n- sivqa\\_tidy.json, entry 11: the prompt has 9,000 tokens: " in text
    assert ", 1 not answered" in text
    assert "questions about the same picture are drawn together" in text
    assert "for evaluation only" in text
    assert "with the adapter runs/food/adapter" in text


def test_the_manner_of_open_answers():
    eval_set = make_set("s", tuple(choice_item(number, choices=(), answers=("tofu",)) for number in range(2)), "exact")
    texts = ("This is mapo tofu.", "tofu")
    column = tuple(said(item, text, 1.0) for item, text in zip(eval_set.items, texts, strict=True))
    results = replace(
        made_up(2),
        subjects=(Subject(name="a", folder="a"),),
        sets=(eval_set,),
        results=(result("a", eval_set, column),),
    )
    text = markdown(make_report(results))
    assert "| characters an answer | 11.0 |" in text
    assert "| answers that are sentences | 50.0% |" in text
    assert "sentences" not in markdown(make_report(made_up(4)))


def test_one_subject_has_no_differences():
    results = made_up()
    alone = replace(results, subjects=results.subjects[:1], results=results.results[::2])
    assert "Differences" not in markdown(make_report(alone))
    assert not any("points" in line for line in terminal_lines(make_report(alone), 200))


def test_markdown_is_inert():
    results = made_up(4)
    hostile = replace(
        results,
        sets=tuple(replace(each, title=HOSTILE, licence=HOSTILE, faults=(HOSTILE,)) for each in results.sets),
        circumstances={HOSTILE: HOSTILE},
    )
    text = markdown(make_report(hostile))
    assert "<script" not in text.replace("\\<", "")
    assert "\x1b" not in text
    assert "\u202e" not in text
    rows = [line for line in text.splitlines() if line.startswith("|")]
    assert all(line.endswith("|") for line in rows)
    assert not any(line.startswith("# x") for line in text.splitlines())


def test_a_table_that_fits():
    lines = terminal_lines(make_report(made_up()), 200)
    assert lines[0].split() == ["set", "metric", "n", "nano", "nano+food"]
    starts = {line.index("(") for line in lines[1:3]}
    assert len(starts) == 1
    assert any("1 item could not be answered; counted as wrong" in line for line in lines)


def test_a_narrow_terminal_gets_blocks():
    lines = terminal_lines(make_report(made_up()), 60)
    assert lines[0] == "foodieqa-sivqa-zh"
    assert lines[3].startswith("  nano  ")


def test_wide_characters_and_controls_in_a_terminal():
    results = made_up(4)
    names = ("模型", "b\x1b[31m")
    subjects = tuple(Subject(name=name, folder="x") for name in names)
    renamed = tuple(replace(each, subject=names[number % 2]) for number, each in enumerate(results.results))
    lines = terminal_lines(make_report(replace(results, subjects=subjects, results=renamed)), 200)
    assert not any("\x1b" in line for line in lines)
    assert "模型" in lines[0]
    header, row = lines[0], lines[1]
    second = row.index(row.split(")")[1].strip())
    assert header.index("b\ufffd") + len("模型") == second  # each of them takes two columns


@pytest.mark.parametrize(
    ("metric", "value", "text"), [("choice", 0.876, "87.6%"), ("cider", 0.876, "0.88"), ("iou", 1.0, "100.0%")]
)
def test_scores(metric, value, text):
    assert score_text(metric, value) == text


def test_words():
    score = Score(mean=-0.01, low=-0.042, high=0.021, n=9)
    assert difference_text("choice", -0.042) == "−4.2"
    assert signed_interval_text("choice", score) == "−4.2 to +2.1"
    assert interval_text("choice", Score(mean=0.5, low=0.4, high=0.6, n=9)) == "40.0 to 60.0"
    assert [duration(each) for each in (0.2, 61, 3661)] == ["0:00", "1:01", "1:01:01"]
    assert inert("a<b>" + "x" * 20, 4) == "a&lt;b&gt; … (20 more characters)"
    assert in_table("a|b\n*c*") == "a\\|b \\*c\\*"
    assert clean("a\x1b[0m\u202eb\tc\n") == "a\ufffd[0m\ufffdb\tc\n"
