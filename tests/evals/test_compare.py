from dataclasses import replace

import pytest

from evals.fake_pipeline import sums
from ivl.errors import SettingsError
from ivl.evals.compare import answer_lengths, paired
from ivl.evals.item import EvalResults, EvalSet, Subject
from ivl.evals.predictions import Answer
from ivl.evals.results import set_result


def said(item_id: str, text: str, prompt: int) -> Answer:
    """ "!" is no answer."""
    finish = "" if text == "!" else "stop"
    return Answer(item_id=item_id, prompt=prompt, asked="", text=text, num_tokens=2 * len(text), finish_reason=finish)


def result(subject: str, eval_set: EvalSet, *prompts: list[str]):
    rows = [
        [said(item.item_id, text, prompt) for item, text in zip(eval_set.items, texts, strict=True)]
        for prompt, texts in enumerate(prompts)
    ]
    return set_result(subject, eval_set, eval_set, rows)


def made(*metrics: str) -> EvalResults:
    """Two sets of 4; `after` is right in 3 of 8 where `before` is right in 5, each under its best prompt."""
    one, two = sums(4, "one", num_prompts=2), sums(4, "two")
    for metric in metrics:
        two = replace(two, metric=metric)
    results = (
        result("before", one, ["0", "2", "4", "6"], ["no"] * 4),
        result("after", one, ["no"] * 4, ["0", "no", "4", "no"]),
        result("before", two, ["!", "2", "no", "!"]),
        result("after", two, ["!", "nothing", "no", "6"]),
    )
    subjects = tuple(Subject(name=name, folder=".") for name in ("before", "after"))
    return EvalResults(subjects=subjects, sets=(one, two), results=results, scoring="generate", circumstances={})


def test_differences_are_paired_and_pooled():
    score = paired(made(), "before", "after")
    assert (score.n, score.mean) == (7, pytest.approx((-2 - 1 + 1) / 7))
    assert score.low < score.mean < score.high
    back = paired(made(), "after", "before")
    assert back.mean == -score.mean


def on_pictures(eval_set: EvalSet, *names: str) -> EvalSet:
    items = tuple(replace(item, images=(name,)) for item, name in zip(eval_set.items, names, strict=True))
    return replace(eval_set, items=items)


def test_items_on_one_picture_are_drawn_together():
    """`after` gains on all questions about the first half of the pictures, 5 of them for each."""
    apart = sums(40)
    together = on_pictures(apart, *[f"{number // 5}.png" for number in range(40)])
    widths, slices = [], []
    for eval_set in (apart, together):
        answers = [[str(2 * number) for number in range(20)] + ["no"] * 20, ["no"] * 40]
        results = tuple(result(name, eval_set, said) for name, said in zip(("after", "before"), answers, strict=True))
        subjects = tuple(Subject(name=name, folder=".") for name in ("before", "after"))
        made = EvalResults(subjects=subjects, sets=(eval_set,), results=results, scoring="generate", circumstances={})
        scores = (paired(made, "before", "after"), results[0].scores[0])
        assert [score.mean for score in scores] == [0.5, 0.5]
        widths.append([score.high - score.low for score in scores])
        slices.append(results[0].slices[0][2])
    assert all(wide > 1.7 * narrow for narrow, wide in zip(*widths, strict=True)), widths
    assert slices[1].high - slices[1].low > 1.5 * (slices[0].high - slices[0].low)


def test_a_picture_of_two_sets_is_one():
    names = ("a", "b", "c", "d")
    plain, other = made(), ("e", "f", "g", "h")
    scores = []
    for second in (names, other):
        sets = (on_pictures(plain.sets[0], *names), on_pictures(plain.sets[1], *second))
        scores.append(paired(replace(plain, sets=sets), "before", "after"))
    one, two = scores
    assert one.mean == two.mean
    assert (one.low, one.high) != (two.low, two.high)
    assert two == paired(plain, "before", "after")


def test_sets_are_chosen_by_name():
    assert paired(made(), "before", "after", ["one"]).mean == -0.5
    assert paired(made(), "before", "after", ["two"]).n == 3
    assert paired(made(), "before", "after", ["one", "one"]).n == 4


def test_answers_that_became_longer():
    lengths = answer_lengths(made(), "before", "after", ["two"])
    assert (lengths.characters_before, lengths.characters_after) == (1.5, 4.5)
    assert (lengths.tokens_before, lengths.tokens_after) == (3, 9)
    assert (lengths.ratio, lengths.difference.mean, lengths.difference.n) == (3, 3, 2)


@pytest.mark.parametrize(
    ("before", "after", "sets", "message"),
    [
        ("befor", "after", (), "no subject is named 'befor'; did you mean 'before'"),
        ("before", "x", (), "no subject is named 'x'; allowed: after, before"),
        ("before", "after", ["on"], "no set is named 'on'; did you mean 'one'"),
    ],
)
def test_unknown_names_are_told(before, after, sets, message):
    for compare in (paired, answer_lengths):
        with pytest.raises(SettingsError, match=message):
            compare(made(), before, after, sets)


def test_other_scales_are_not_pooled():
    with pytest.raises(SettingsError, match="CIDEr"):
        paired(made("cider"), "before", "after")


def test_where_nothing_was_answered_there_is_nothing_to_compare():
    results = made()
    nothing = result("after", results.sets[1], ["!"] * 4)
    results = replace(results, results=(*results.results[:3], nothing))
    with pytest.raises(SettingsError, match="no item was answered by before and after"):
        answer_lengths(results, "before", "after", ["two"])
    assert paired(results, "before", "after", ["two"]).n == 2
