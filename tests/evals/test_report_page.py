"""The page: well formed, harmless whatever it is given, bounded, with the mistakes first and the boxes drawn."""

import base64
import io
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest
from PIL import Image

from evals.made_results import (
    box_item,
    choice_item,
    made_up,
    make_set,
    mean_score,
    picture,
    result,
    said,
    write_picture,
)
from ivl.data.thumbnail import thumbnail
from ivl.errors import ImageError
from ivl.evals import report_page
from ivl.evals.item import EvalResults, Score, Subject
from ivl.evals.report_cards import PICTURE_SIDE, boxes_in, choose, make_cases
from ivl.evals.report_data import make_report
from ivl.evals.report_page import MOST_MISTAKES, bar, render_page

HOSTILE = "</dd></style><script>alert(1)</script><img src=x onerror='alert(1)'>\"&\x00\u202e\ud800"
VOID = {"meta", "img", "br", "rect", "line"}


class Page(HTMLParser):
    """The elements of a page, and whether each is closed where it should be."""

    def __init__(self, text):
        super().__init__()
        self.tags, self.attributes, self.words, self._open = [], [], [], []
        self.feed(text)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs
        if tag not in VOID:
            self._open.append(tag)

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self._open.pop() == tag, f"</{tag}> closes another element"

    def handle_startendtag(self, tag, attrs):
        self.tags.append(tag)
        self.attributes += attrs

    def handle_data(self, data):
        self.words.append(data)

    @property
    def text(self):
        return " ".join(" ".join(self.words).split())


def rendered(results):
    return render_page(make_report(results))


def of_one(eval_set, *predictions):
    """Results of one subject on one set."""
    return EvalResults(
        subjects=(Subject(name="nano", folder="models/nano"),),
        sets=(eval_set,),
        results=(result("nano", eval_set, tuple(predictions)),),
        scoring="generate",
        circumstances={},
    )


def test_the_page():
    text = rendered(made_up())
    page = Page(text)
    for words in ("right letters · n = 24", "boxes at IoU 0.5", "all sets together", "for evaluation only", "Slices"):
        assert words in page.text, words
    assert "2 records of this set cannot be asked" in page.text
    assert "1 item not answered" in page.text
    (place,) = [place for place in range(len(page.words)) if page.words[place] == "1 item could not be answered"]
    assert page.words[place + 1].startswith("sivqa_tidy.json, entry 11: the prompt has 9,000 tokens: more than")
    assert page.words[place + 1].endswith("(nano, nano+food)")
    assert "questions about the same picture are drawn together" in page.text
    assert page.tags.count("h2") == 5


def test_nothing_from_elsewhere_and_no_script():
    page = Page(rendered(made_up()))
    policy = [value for name, value in page.attributes if name == "content" and "default-src" in value]
    assert policy == ["default-src 'none'; style-src 'unsafe-inline'; img-src data:"]
    assert "script" not in page.tags
    for name, value in page.attributes:
        assert not name.startswith("on")
        if name in ("src", "href"):
            assert value.startswith(("data:image/jpeg;base64,", "#set-"))


def test_hostile_texts_are_inert():
    item = choice_item(
        0, item_id=HOSTILE, where=HOSTILE, question=HOSTILE, choices=(HOSTILE, "b"), answers=("A",), images=(HOSTILE,)
    )
    answered = said(item, HOSTILE, 0.0, parsed=HOSTILE + "!", item_id=HOSTILE)
    words = {"title": HOSTILE, "licence": HOSTILE, "faults": (HOSTILE,)}
    results = of_one(make_set("s", (item,), **words), answered)
    named = replace(results.results[0], slices=((HOSTILE, HOSTILE, mean_score([1.0])),))
    page = Page(rendered(replace(results, results=(named,), circumstances={HOSTILE: HOSTILE})))
    assert not {"script", "style"} & set(page.tags[page.tags.index("body") :])
    assert "img" not in page.tags
    assert not any(name.startswith("on") for name, _ in page.attributes)
    assert "alert(1)" in page.text
    for steering in "\x00\u202e\ud800":
        assert steering not in page.text


def test_mistakes_come_first():
    page = rendered(made_up(60))
    section = page[page.index('id="set-0"') :]
    order = [section.index(f'class="badge {verdict}">{verdict}') for verdict in ("lost", "wrong", "gained")]
    wrong = section.index('</span></p><p class="question"')
    assert order[0] < wrong
    folded = section.index("that nobody got wrong")
    assert folded > section.index("<details>")
    assert order[0] < folded


def test_only_part_of_many_is_shown():
    eval_set = make_set("s", tuple(choice_item(number, images=()) for number in range(200)))
    page = Page(rendered(of_one(eval_set, *(said(item, "Z", 0.0) for item in eval_set.items))))
    assert f"200 items with a mistake; {MOST_MISTAKES} of them are shown" in page.text
    assert page.tags.count("article") == MOST_MISTAKES


def test_all_right():
    eval_set = make_set("s", (choice_item(0),))
    page = Page(rendered(of_one(eval_set, said(eval_set.items[0], "A", 1.0))))
    assert "No mistake in 1 item." in page.text


def test_no_items_at_all():
    assert "Evaluation" in Page(rendered(of_one(make_set("s", (choice_item(0),)), said(choice_item(0), "", 0)))).text


def test_chosen_cases_leave_room_for_each_verdict():
    results = made_up(60)
    (eval_set, _), columns = results.sets, [results.result("foodieqa-sivqa-zh", each.name) for each in results.subjects]
    cases = make_cases(eval_set, columns)
    chosen = choose([each for each in cases if each.verdict != "right"], 9)
    assert [each.verdict for each in chosen] == ["lost"] * 3 + ["wrong"] * 3 + ["gained"] * 3
    places = [int(each.item.item_id[1:]) for each in chosen if each.verdict == "wrong"]
    assert places[-1] - places[0] > 20  # from all over the set


def test_the_lowest_are_shown_first():
    eval_set = make_set("s", tuple(choice_item(number, images=()) for number in range(10)), "anls")
    scores = [0.4, 0.3, 0.1, 0.4, 0.2, 0.4, 0.4, 0.4, 0.4, 0.4]
    columns = [said(item, "x", score) for item, score in zip(eval_set.items, scores, strict=True)]
    cases = make_cases(eval_set, [result("nano", eval_set, tuple(columns))])
    assert [each.item.item_id for each in choose(cases, 4)] == ["q2", "q4", "q1", "q0"]


def test_captions_have_no_right_and_wrong():
    eval_set = make_set(
        "captions", tuple(choice_item(number, choices=(), answers=("a dish",)) for number in range(3)), "cider"
    )
    page = Page(rendered(of_one(eval_set, *(said(item, "a bowl", 0.7, parsed="a bowl") for item in eval_set.items))))
    assert "3 items, the lowest scores first" in page.text
    assert "0.70" in page.text
    assert not {"badge wrong", "badge right", "badge lost"} & {value for _, value in page.attributes}


def test_boxes_are_drawn():
    text = rendered(made_up())
    assert '<rect class="expected" x="250" y="250" width="500" height="500"/>' in text
    assert '<rect class="subject-1" x="100" y="300" width="400" height="500"/>' in text


@pytest.mark.parametrize(
    ("text", "boxes"),
    [
        ("[[1, 2, 30, 40]]", [(1, 2, 30, 40)]),
        ("<box>[[1,2,3,4], [5, 6, 7, 8.5]]</box>", [(1, 2, 3, 4), (5, 6, 7, 8.5)]),
        ("[3, 2, 1, 4]", []),
        ("[0, 0, 1001, 5]", []),
        ("[1.2.3, 0, 5, 5]", []),
        ("[1, 2, 3]", []),
        ("", []),
    ],
)
def test_boxes_in_a_text(text, boxes):
    assert boxes_in(text) == boxes


def test_pictures_are_small_and_few(monkeypatch):
    eval_set = make_set("s", tuple(choice_item(n, images=(picture(n, (1600, 900)),)) for n in range(3)))
    results = of_one(eval_set, *(said(item, "Z", 0.0) for item in eval_set.items))
    found = re.findall(r"data:image/jpeg;base64,([\w+/=]+)", rendered(results))
    assert len(found) == 3
    with Image.open(io.BytesIO(base64.b64decode(found[0]))) as image:
        assert (image.format, image.size) == ("JPEG", (PICTURE_SIDE, 180))
    monkeypatch.setattr(report_page, "MOST_PICTURE_BYTES", len(base64.b64decode(found[0])) + 1)
    page = Page(rendered(results))
    assert page.tags.count("img") == 1
    assert "2 pictures left out" in page.text


def test_several_pictures_are_numbered_as_the_choices():
    item = choice_item(0, images=tuple(picture(number) for number in range(4)))
    page = rendered(of_one(make_set("s", (item,)), said(item, "B", 0.0)))
    assert '<div class="pictures several lettered">' in page
    assert page.count("<img ") == 4
    many = choice_item(0, images=tuple(picture(number) for number in range(9)))
    page = rendered(of_one(make_set("s", (many,)), said(many, "B", 0.0)))
    assert page.count("<img ") == 6
    assert "3 more" in page


def test_a_missing_picture_is_named(tmp_path):
    items = (
        choice_item(0, images=(str(tmp_path / "gone.png"),)),
        choice_item(1, images=(write_picture(tmp_path / "a.png"),)),
    )
    page = Page(rendered(of_one(make_set("s", items), *(said(item, "Z", 0.0) for item in items))))
    assert "gone.png' does not exist" in page.text
    assert page.tags.count("img") == 1


def test_addresses_are_not_fetched_again():
    with pytest.raises(ImageError, match="not fetched again"):
        thumbnail("https://example.org/a.png", 100)


def test_terse_answers_are_told():
    eval_set = make_set("s", tuple(choice_item(number, images=()) for number in range(4)))
    subjects = (Subject(name="a", folder="a"), Subject(name="b", folder="b"))
    columns = [tuple(said(item, text, 1.0) for item in eval_set.items) for text in ("A long answer of words.", "A")]
    results = tuple(result(each.name, eval_set, column) for each, column in zip(subjects, columns, strict=True))
    page = rendered(
        EvalResults(subjects=subjects, sets=(eval_set,), results=results, scoring="generate", circumstances={})
    )
    assert "answers of 23.0 characters became 1.0" in page


@pytest.mark.parametrize("score", [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0), (0.5, 0.2, 0.9), (0.5, -1.0, 2.0)])
def test_bars_stay_inside(score):
    mean, low, high = score
    drawing = bar(Score(mean=mean, low=low, high=high, n=5), 0, 1, 0.25)
    for x, width in re.findall(r'x="([\d.-]+)" y="\d+" width="([\d.]+)"', drawing):
        assert float(x) >= 0
        assert float(x) + float(width) <= 101.3


def test_a_box_item_with_two_pictures_has_no_boxes():
    item = box_item(0, images=(picture(0), picture(1)))
    assert 'svg class="boxes"' not in rendered(of_one(make_set("s", (item,), "iou"), said(item, "[[1, 2, 3, 4]]", 0.0)))
