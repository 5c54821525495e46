"""Mixtures: repeats, replay, what is left out, and when that is too much."""

import json
from dataclasses import replace

import numpy as np
import pytest

from data_sets import ListSource, llava_records, make_example, write_llava, write_pictures
from ivl.data.corpus import Corpus, Portion, load_corpus, taken_records
from ivl.data.faults import Fault
from ivl.data.measure import Measures
from ivl.data.planner import Planner
from ivl.data.settings import DataSettings, DataSource
from ivl.errors import DataError
from ivl.processing import load_processor
from ivl.types import ImagePart
from ivl.zoo import nano_folder


@pytest.fixture(scope="module")
def processor():
    return load_processor(nano_folder())


@pytest.fixture(autouse=True)
def _own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def portion(name, lengths, *, repeat_time=1.0, is_replay=False):
    """A data set whose records have these lengths; 0 is a bad one."""
    examples = [make_example(f"{name} {number}", where=f"{name}:{number + 1}") for number in range(len(lengths))]
    faults = {
        number: Fault(where=f"{name}:{number + 1}", reason="it is bad", rule="record")
        for number, length in enumerate(lengths)
        if not length
    }
    tokens = np.array(lengths, np.int32)
    measures = Measures(
        num_tokens=tokens,
        num_tiles=tokens // 10,
        num_trained=tokens // 5,
        max_tiles=np.full(len(lengths), 6, np.int16),
        faults=faults,
    )
    return Portion(source=ListSource(examples, name), measures=measures, repeat_time=repeat_time, is_replay=is_replay)


def corpus_of(*portions, **settings):
    return Corpus(portions, DataSettings(**settings))


@pytest.mark.parametrize(
    ("count", "repeat_time", "taken"),
    [
        (4, 1, [0, 1, 2, 3]),
        (4, 0.5, [0, 1]),
        (3, 0.01, [0]),
        (3, 2, [0, 1, 2, 0, 1, 2]),
        (4, 1.5, [0, 1, 2, 3, 0, 1]),
        (100, 0.29, list(range(29))),
    ],
)
def test_repeat_time_takes_the_first_share_or_repeats(count, repeat_time, taken):
    assert taken_records(count, repeat_time).tolist() == taken


def test_samples_are_numbered_over_all_data_sets():
    corpus = corpus_of(portion("a", [10, 0, 30], repeat_time=2), portion("b", [40, 50]), max_bad_share=0.5)
    assert len(corpus) == 6
    assert corpus.num_tokens.tolist() == [10, 30, 10, 30, 40, 50]
    assert corpus.num_tiles.tolist() == [1, 3, 1, 3, 4, 5]
    assert corpus.num_trained.tolist() == [2, 6, 2, 6, 8, 10]
    assert [corpus.where(index) for index in range(6)] == ["a:1", "a:3", "a:1", "a:3", "b:1", "b:2"]
    assert corpus[3].messages[-1].parts[0].text == "a 2"
    assert corpus.members(0).tolist() == corpus.members(5).tolist() == list(range(6))
    with pytest.raises(IndexError):
        corpus[6]


def test_images_get_the_tiles_that_were_measured():
    pictured = portion("a", [10])
    pictured.source.examples[0] = make_example("a", "a.png")
    parts = corpus_of(pictured)[0].messages[0].parts
    assert [part.max_tiles for part in parts if isinstance(part, ImagePart)] == [6]


def test_every_epoch_draws_other_general_samples_and_all_of_them_in_turn():
    corpus = corpus_of(portion("g", [7] * 10, is_replay=True), portion("d", [9] * 4), replay_ratio=1.25)
    assert (corpus.num_domain, corpus.num_replay) == (4, 5)
    draws = [corpus.members(epoch)[4:].tolist() for epoch in range(4)]
    assert all(corpus.members(epoch)[:4].tolist() == [0, 1, 2, 3] for epoch in range(4))
    assert sorted(draws[0] + draws[1]) == sorted(draws[2] + draws[3]) == list(range(4, 14))
    assert draws[0] != draws[2]
    assert {corpus.where(index)[0] for index in draws[0]} == {"g"}
    assert corpus.members(2).tolist() == corpus.members(2).tolist()


def test_a_small_general_set_is_drawn_more_than_once_an_epoch():
    corpus = corpus_of(portion("d", [9] * 4), portion("g", [7] * 3, is_replay=True), replay_ratio=2)
    assert sorted(corpus.members(0)[4:].tolist() + corpus.members(2)[4:].tolist())[:2] == [4, 4]
    assert sorted(np.concatenate([corpus.members(epoch)[4:] for epoch in range(3)]).tolist()) == sorted([4, 5, 6] * 8)


def test_a_planner_follows_the_draws():
    corpus = corpus_of(portion("d", [9] * 4), portion("g", [7] * 10, is_replay=True), batch_size=3)
    planner = Planner(corpus.num_tokens, corpus.num_tiles, DataSettings(batch_size=3), 1, members=corpus.members)
    assert planner.num_steps(0) == 3
    for epoch in (0, 1):
        assert sorted(planner.epoch(epoch).samples.tolist()) == sorted(corpus.members(epoch).tolist())
    assert sorted(planner.epoch(0).samples.tolist()) != sorted(planner.epoch(1).samples.tolist())


def test_too_many_bad_records_stop_the_run_and_are_named():
    lengths = [10] * 6 + [0] * 4
    assert corpus_of(portion("a", lengths), max_bad_share=0.4).num_bad == 4
    with pytest.raises(DataError) as caught:
        corpus_of(portion("a", lengths))
    assert str(caught.value) == (
        "4 of 10 records cannot be used, which is more than max_bad_share=0.1: a:7: it is bad; a:8: it is bad; "
        "a:9: it is bad; and 1 more; `ivl data check` names them all"
    )


def test_a_data_set_of_which_nothing_is_left_stops_the_run():
    with pytest.raises(DataError, match="no record can be used: a:1: it is bad; a:2: it is bad; `ivl data check`"):
        corpus_of(portion("a", [0, 0]), portion("g", [5] * 50, is_replay=True), max_bad_share=1)
    with pytest.raises(DataError, match="no record of b can be used: b:1: it is bad"):
        corpus_of(portion("a", [5] * 50), portion("b", [0]), max_bad_share=1)


def test_the_summary_says_what_is_used_and_what_is_not():
    portions = (portion("d", [9] * 19 + [0], repeat_time=2), portion("g", [30] * 100, is_replay=True))
    noted = replace(portions[1], measures=replace(portions[1].measures, notes=("g: look at it",)))
    assert corpus_of(portions[0], noted, replay_ratio=0.5).summary() == (
        "d: 38 samples from 20 records, repeat_time 2; 1 left out: 1 record",
        "g: 100 samples from 100 records, for replay",
        "g: look at it",
        "an epoch: 57 samples, 912 tokens, 57 tiles; 19 of the samples are replayed ones, drawn anew in every epoch; "
        "the longest has 30 tokens",
    )


def test_a_recipes_data_is_loaded(processor, tmp_path):
    write_llava(tmp_path, 8)
    general = llava_records(write_pictures(tmp_path, 4))
    lines = [*(json.dumps(record) for record in general), "{broken"]
    (tmp_path / "general.jsonl").write_text("\n".join(lines), encoding="utf-8")
    settings = DataSettings(data_root=str(tmp_path), max_bad_share=0.2, max_length=1000)
    told = []
    corpus = load_corpus(
        (DataSource(path="train.json", repeat_time=0.5),),
        settings,
        processor,
        replay=(DataSource(path="general.jsonl"),),
        on_progress=lambda name, done, total: told.append((name, done, total)),
        workers=0,
    )
    assert (corpus.num_domain, corpus.num_replay, len(corpus)) == (4, 4, 8)
    assert [fault.where for fault in corpus.faults] == ["general.jsonl:5"]
    assert told[-1][1:] == (5, 5)
    assert {name for name, _, _ in told} == {"train.json", "general.jsonl"}
    for index in range(len(corpus)):
        inputs = processor(corpus[index].messages)
        assert len(inputs.input_ids) == corpus.num_tokens[index]
        assert sum(inputs.tile_counts) == corpus.num_tiles[index]
        assert int((inputs.labels >= 0).sum()) == corpus.num_trained[index]


def test_replay_ratio_0_does_not_even_open_the_general_data(processor, tmp_path):
    write_llava(tmp_path, 4)
    settings = DataSettings(data_root=str(tmp_path), replay_ratio=0)
    gone = (DataSource(path="no such file.json"),)
    assert len(load_corpus((DataSource(path="train.json"),), settings, processor, replay=gone, workers=0)) == 4
