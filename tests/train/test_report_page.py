import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from ivl.data.settings import DataSource
from ivl.train.config import TrainConfig
from ivl.train.metrics import History
from ivl.train.report import RunReport, Sample, settings_of
from ivl.train.report_page import LONGEST_TEXT, MOST_SAMPLES, MOST_VALIDATIONS, render_page, shown

HOSTILE = "</dd></style><script>alert(1)</script><img src=x onerror='alert(1)'>\"&\x00\u202e\ud800"
VOID = {"meta", "img", "br", "rect", "line", "polyline", "circle"}


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


def step(number, **changes):
    values = {
        "step": number, "loss": 2 - number / 20, "lr": 1e-4, "grad_norm": 1.0, "num_tokens": 1000, "seconds": 0.5,
        "data_seconds": 0.1, "memory_bytes": 2**30, "num_dropped": 3, "mfu": 0.4,
    }  # fmt: skip
    return {**values, **changes}


START = {
    "kind": "run_start", "step": 0, "time": 1.7e9, "total_steps": 20, "num_trainable": 1000, "num_parameters": 12000,
    "device": "NVIDIA H100", "world_size": 4,
}  # fmt: skip


def validated(number, loss=1.0, **changes):
    return {"step": number, "loss": loss, "exact_match": 0.5, "mean_characters": 40.0, **changes}


def sample(name="food-1", before="a bowl of something red", after="tofu", expected="tofu", **changes):
    values = {"question": "What is it?", "picture": None, **changes}
    return Sample(sample_id=name, before=before, after=after, expected=expected, **values)


def report(*samples, config=None, **changes):
    history = History(
        starts=(START,),
        steps=tuple(step(number) for number in range(1, 21)),
        validations=(validated(0, 2.0), validated(10, 0.9), validated(20, 1.1, mean_characters=8.0)),
        end={"time": 1.7e9 + 600, "output": "runs/food/adapter"},
    )
    values = {
        "title": "food", "state": "finished", "model": "InternVL2-2B", "history": history, "samples": samples,
        "steps_compared": (0, 20), "settings": settings_of(config or TrainConfig(lr=1e-3)),
        "data_lines": ("food.json: 6,543 samples",), "versions": {"torch": "2.11"}, "written": 1.7e9,
    }  # fmt: skip
    return RunReport(**{**values, **changes})


def test_the_page_tells_the_whole_story():
    text = Page(render_page(report(sample()))).text
    for words in (
        "food", "finished", "InternVL2-2B", "steps 20 of 20", "validation loss 1.100 from 2.000",
        "exact match 50% from 50%", "characters 8 from 40", "skipped 3 samples", "10 0.9000 lowest 50% 40",
        "Step 0 beside step 20, changed ones first: 1 now right.", "expected tofu step 0 a bowl of something red",
        "food.json: 6,543 samples", "lr 0.001 3e-05", "device 4 × NVIDIA H100", "1,000 of 12,000 train",
        "torch 2.11", "output runs/food/adapter", "model FLOP utilisation 40%", "memory, at most 1 GB",
    ):  # fmt: skip
        assert words in text, words


def test_what_a_model_or_a_file_says_stays_text():
    hostile = sample(HOSTILE, HOSTILE, HOSTILE, "x" + HOSTILE, question=HOSTILE)
    config = TrainConfig(path=HOSTILE, target_modules=(HOSTILE,), data_path=(DataSource(path=HOSTILE),))
    start = {**START, "device": HOSTILE}
    history = replace(
        report().history, starts=(start,), notices=({"text": HOSTILE},), end={"time": 0, "output": HOSTILE}
    )
    texts = {"title": HOSTILE, "model": HOSTILE, "data_lines": (HOSTILE,), "versions": {HOSTILE: HOSTILE}}
    written = render_page(report(hostile, config=config, history=history, **texts))
    page = Page(written)
    assert "script" not in page.tags
    assert page.tags.count("style") == page.tags.count("title") == 1
    assert not [name for name, _ in page.attributes if name.startswith("on")]
    assert page.text.count("<script>alert(1)</script>") >= 12
    assert not re.search("[\x00\u202e\ud800]", written)
    written.encode("utf-8")


def test_nothing_comes_from_elsewhere():
    written = render_page(report(sample(picture="iVBORw0KGgo=")))
    page = Page(written)
    links = [value for name, value in page.attributes if name in {"src", "href", "data", "action", "xlink:href"}]
    assert links == ["data:image/png;base64,iVBORw0KGgo="]
    assert not re.search(r"https?:|//[a-z]|@import|url\((?!#clip-)", written)
    assert ("content", "default-src 'none'; style-src 'unsafe-inline'; img-src data:") in page.attributes
    assert not {"script", "link", "iframe", "object", "form"} & set(page.tags)


def test_light_and_dark_and_phone():
    written = render_page(report())
    assert "prefers-color-scheme:dark" in written
    assert 'name="viewport"' in written


def test_charts_have_names_of_their_own():
    identities = re.findall(r'clipPath id="([^"]+)"', render_page(report()))
    assert identities == ["clip-Loss", "clip-Exact-match", "clip-Learning-rate", "clip-Gradient-norm"]


def test_answers_that_became_much_shorter_are_pointed_out():
    terse = render_page(report(sample(before="x" * 100, after="tofu")))
    assert "100 characters before, 4 after; the expected answers have 4." in terse
    assert "much more briefly" in terse
    assert "much more briefly" not in render_page(report(sample(before="rice", after="tofu")))
    assert "Mean length" not in render_page(report(sample(before=None)))


def test_an_empty_answer_is_said_to_be_one():
    assert "<i>nothing</i>" in render_page(report(sample(after="")))


def test_long_texts_and_many_samples_are_cut_and_said_to_be():
    assert shown("x" * (LONGEST_TEXT + 1)).endswith(" … (1 more character)")
    written = render_page(report(*(sample(f"food-{index}") for index in range(MOST_SAMPLES + 5))))
    assert written.count("<article>") == MOST_SAMPLES
    assert "5 more are in answers.jsonl" in written


def test_many_validations_keep_the_first_and_the_newest():
    records = tuple(validated(10 * index, 1 + index) for index in range(100))
    written = render_page(report(history=replace(report().history, validations=records)))
    table = written[written.index("<h2>Validation") : written.index("<h2>Data")]
    assert table.count("<tr>") == 1 + MOST_VALIDATIONS
    assert "<td>0</td>" in table
    assert "<td>990</td>" in table
    assert "60 between the first and these are in metrics.jsonl" in table


@pytest.mark.parametrize("state", ["running", "stopped", "broken"])
def test_a_page_of_a_run_that_has_hardly_begun(state):
    page = Page(render_page(report(history=History(starts=(START,)), state=state)))
    assert "steps 0 of 20" in page.text
    assert "svg" not in page.tags
    Page(render_page(report(history=History(), state=state)))


def test_losses_that_are_no_numbers_leave_gaps():
    records = (validated(0, None), validated(5, 1.0))
    steps = (step(1, loss=None, grad_norm=None), step(2))
    text = Page(render_page(report(history=replace(report().history, validations=records, steps=steps)))).text
    assert "0 – 50%" in text
    assert "5 1.000 lowest" in text


def test_settings_are_said_as_a_recipe_says_them():
    config = TrainConfig(data_path=(DataSource(path="a.json"), DataSource(path="b.json")), packing=True, max_steps=1)
    text = Page(render_page(report(config=config))).text
    assert "data_path a.json b.json none" in text
    assert "packing yes no" in text
    assert "max_steps 1 not set" in text
    assert "fields with default values" in text
