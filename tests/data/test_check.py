"""A check of real files: every bad record is named with its line, what stands twice is found, the page is whole."""

import json
import time
from html.parser import HTMLParser

import pytest

from broken_set import NUM_RECORDS, record, write_broken, write_pictures, write_records
from ivl.data.check import check
from ivl.data.check_page import page
from ivl.data.check_text import as_data, describe, list_faults, verdict
from ivl.data.rendering import view
from ivl.data.settings import DataSettings, DataSource
from ivl.data.sources import open_sources
from parity.prompts import tiny_processor

PROCESSOR = tiny_processor("internlm2-chat", "internlm2")


@pytest.fixture
def folder(tmp_path):
    write_pictures(tmp_path)
    return tmp_path


@pytest.fixture
def broken(folder):
    """5 records of 100 are broken, each in another way. Gives the file, and {line: rule}."""
    return write_broken(folder)


def run(settings=None, workers=0, on_progress=None, **paths):
    settings = settings or DataSettings(max_length=1000)
    splits = {name: open_sources([DataSource(path=str(path))], settings) for name, path in paths.items()}
    return check(splits, PROCESSOR, settings, workers=workers, on_progress=on_progress)


def test_every_bad_record_is_found_with_its_line(broken):
    path, expected = broken
    started = time.monotonic()
    report = run(train=path)
    assert time.monotonic() - started < 60, "a long answer takes linear time"
    assert {fault.where: fault.rule for fault in report.faults} == {
        f"train.jsonl:{line}": rule for line, rule in expected.items()
    }
    assert len(report.faults_by_rule) == 8
    text = "\n".join(list_faults(report))
    for line, rule in expected.items():
        assert f"\n  train.jsonl:{line}: " in f"\n{text}"
        assert f"{rule} (1)" in text
    assert verdict(report).startswith("8 of 160 records cannot be used (5.0%)")
    assert len(report.splits[0].column("num_tokens")) == NUM_RECORDS - 8


def test_processes_find_the_same(broken):
    told = []
    alone, helped = run(train=broken[0]), run(train=broken[0], workers=1, on_progress=lambda *each: told.append(each))
    assert as_data(helped) == as_data(alone)
    assert told[-1] == ("train.jsonl", 160, 160)
    assert [done for _, done, _ in told] == sorted(done for _, done, _ in told)


def test_numbers_are_those_of_the_samples(folder):
    write_records(folder / "a.jsonl", [record(number) for number in range(6)])
    report = run(train=folder / "a.jsonl")
    samples = [each for _, each in report.choose(100)]
    inputs = [PROCESSOR(each.messages) for each in samples]
    assert report.splits[0].column("num_tokens").tolist() == [len(each.input_ids) for each in inputs]
    assert report.splits[0].column("num_tiles").tolist() == [sum(each.tile_counts) for each in inputs]
    tokens = sorted(len(each.input_ids) for each in inputs)
    spread = report.splits[0].spread("num_tokens")
    assert (spread.min, spread.median, spread.p95, spread.max) == (tokens[0], tokens[2], tokens[-1], tokens[-1])
    assert report.splits[0].in_epoch("num_tokens") == sum(tokens)
    assert not report.faults
    assert verdict(report) == "all 6 records can be used"


def test_an_epoch_repeats_a_data_set(folder):
    write_records(folder / "a.jsonl", [record(number) for number in range(6)])
    settings = DataSettings()
    sources = open_sources([DataSource(path=str(folder / "a.jsonl"), repeat_time=2.5)], settings)
    split = check({"train": sources}, PROCESSOR, settings, workers=0).splits[0]
    tokens = split.column("num_tokens")
    assert split.in_epoch("num_tokens") == 2 * tokens.sum() + tokens[:3].sum()


def test_what_stands_twice(folder):
    train = [record(0), record(1), record(2), record(0, id="x"), record(0, id="y", image="1.png")]
    val = [record(1, id="v"), record(7, id="w", question="Another?"), record(2, id="z"), record(2, id="zz")]
    (folder / "copy.png").write_bytes((folder / "2.png").read_bytes())
    val[2]["image"] = "copy.png"
    write_records(folder / "train.jsonl", train)
    write_records(folder / "val.jsonl", val)
    report = run(train=folder / "train.jsonl", val=folder / "val.jsonl")
    pairs = [(each.where, each.first) for each in report.splits[0].duplicates]
    assert pairs == [("train.jsonl:4", "train.jsonl:1")]
    between = [(each.where, each.first) for each in report.shared_records]
    assert between == [
        ("val.jsonl:1", "train.jsonl:2"),
        ("val.jsonl:3", "train.jsonl:3"),
        ("val.jsonl:4", "train.jsonl:3"),
    ]
    assert report.num_shared_pictures == 2  # 1.png and 2.png; 3.png stands in val only
    text = "\n".join(describe(report))
    assert "train.jsonl:4 equals train.jsonl:1" in text
    assert "3 records stand in two splits" in text
    assert "2 pictures stand in two splits" in text


def test_samples_that_lose_tiles_are_counted(folder):
    write_records(folder / "a.jsonl", [record(number) for number in range(8)])
    roomy = run(train=folder / "a.jsonl").splits[0]
    least = roomy.spread("num_tokens").max - 1
    tight = run(DataSettings(max_length=least), train=folder / "a.jsonl").splits[0]
    assert (roomy.num_losing_tiles, tight.num_losing_tiles) == (0, 2)
    assert "fewer tiles" in "\n".join(describe(run(DataSettings(max_length=least), train=folder / "a.jsonl")))


def test_nothing_usable_is_a_report_too(folder):
    write_records(folder / "a.jsonl", [record(number, answer="") for number in range(3)])
    report = run(train=folder / "a.jsonl")
    assert len(report.faults) == 3
    assert list(report.choose(3)) == []
    assert "tokens          none" in "\n".join(describe(report))
    assert json.loads(json.dumps(as_data(report)))["splits"][0]["num_tokens"] is None
    assert "cannot be used (100%)" in verdict(report)


@pytest.mark.parametrize("count", [0, 1, 3, 7, 50])
def test_samples_are_spread_over_the_usable_records(broken, count):
    report = run(train=broken[0])
    chosen = [each.where for _, each in report.choose(count)]
    assert len(set(chosen)) == len(chosen) == count
    assert not {fault.where for fault in report.faults} & set(chosen)


class Page(HTMLParser):
    """Reads a page; every element that is opened is closed."""

    def __init__(self):
        super().__init__()
        self.open, self.text, self.addresses, self.tags = [], [], [], set()

    def handle_starttag(self, tag, attrs):
        self.tags.add(tag)
        self.addresses += [value for name, value in attrs if name in ("src", "href")]
        assert not [name for name, _ in attrs if name.startswith("on")]
        if tag not in ("meta", "img"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def test_the_page_is_whole_and_escaped(folder):
    evil = "<script>alert(1)</script>&amp;\"'<img src=https://example.org/x>"
    records = [record(0, question=evil, id=evil), record(2), record(3, image=f"{evil[:30]}.png")]
    write_records(folder / "a.jsonl", records)
    settings = DataSettings()
    report = run(settings, train=folder / "a.jsonl")
    samples = [(split.name, view(each, PROCESSOR, settings)) for split, each in report.choose(3)]
    made = page(report, samples)
    read = Page()
    read.feed(made)
    assert read.open == []
    assert "script" not in read.tags
    assert read.addresses
    assert all(address.startswith("data:image/jpeg;base64,") for address in read.addresses)
    assert "http" not in made.replace("https://example.org/x", "").replace("http-equiv", "")
    text = "".join(read.text)
    assert evil in text
    assert "prefers-color-scheme: dark" in made
    assert "missing file" in text
    assert "A dish. 2<|im_end|>" in text
    assert made.count('<mark class="trained">') == 2 + 1  # and the legend
