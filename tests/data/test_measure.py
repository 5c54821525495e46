"""Measures of a source: as the processor's, the same from any number of processes, and kept on disk."""

from dataclasses import replace

import numpy as np
import PIL.Image
import pytest

from data.fake_source import FakeSource, example
from ivl.data.fitting import with_tiles
from ivl.data.measure import Fault, measure
from ivl.data.measure_cache import MeasureCache
from ivl.data.settings import DataSettings
from ivl.errors import SettingsError
from parity.prompts import tiny_processor

PROCESSOR = tiny_processor("internlm2-chat", "internlm2")
SETTINGS = DataSettings(max_length=300)


@pytest.fixture
def cache(tmp_path):
    return MeasureCache(tmp_path / "cache")


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "a.png"
    PIL.Image.new("RGB", (224, 112)).save(path)
    return path


def records(picture, count=40):
    """Records of many lengths; every tenth is bad."""
    made = [
        example(
            answer="word " * (1 + number % 11),
            images=[picture] * (number % 3),
            where=f"fake.jsonl:{number + 1}",
            id=str(number),
        )
        for number in range(1, count + 1)
    ]
    made[9], made[19] = "no valid JSON: Expecting value", example(answer="word " * 400, id="20")
    made[29] = replace(made[29], id="5")
    return made


def same(one, other) -> bool:
    names = ("num_tokens", "num_tiles", "num_trained", "max_tiles")
    return all(np.array_equal(getattr(one, name), getattr(other, name)) for name in names) and (
        (one.faults, one.notes) == (other.faults, other.notes)
    )


def test_measures_are_those_of_the_real_call(picture, cache):
    source = FakeSource(records(picture))
    measures = measure(source, PROCESSOR, SETTINGS, workers=0, cache=cache)
    assert list(measures.faults) == [9, 19, 29]
    assert [fault.rule for fault in measures.faults.values()] == ["bad JSON", "too long", "duplicate id"]
    assert measures.faults[9] == Fault(where="fake.jsonl:10", reason="no valid JSON: Expecting value", rule="bad JSON")
    assert measures.faults[29].reason == "its id '5' is that of fake.jsonl:5, too: give it another"
    assert measures.num_usable == 37
    assert (measures.num_tokens.dtype, measures.max_tiles.dtype) == (np.int32, np.int16)
    for index in range(len(source)):
        row = [int(getattr(measures, name)[index]) for name in ("num_tokens", "num_tiles", "num_trained")]
        if index in measures.faults:
            assert [*row, measures.max_tiles[index]] == [0, 0, 0, 0]
            continue
        inputs = PROCESSOR(with_tiles(source[index], int(measures.max_tiles[index])).messages)
        assert row == [len(inputs.input_ids), sum(inputs.tile_counts), int((inputs.labels != -100).sum())]
        assert row[0] <= SETTINGS.max_length


def test_processes_change_nothing_and_progress_is_told(picture, cache):
    told = []
    source = FakeSource(records(picture, 80))
    one = measure(source, PROCESSOR, SETTINGS, workers=0, cache=cache)
    two = measure(source, PROCESSOR, SETTINGS, workers=2, cache=cache, on_progress=lambda *each: told.append(each))
    assert same(one, two)
    assert told == [(32, 80), (64, 80), (80, 80)]


def test_an_impossible_setting_is_raised(cache):
    with pytest.raises(SettingsError, match="max_dynamic_patch=300"):
        measure(FakeSource([example()]), PROCESSOR, DataSettings(max_dynamic_patch=300), cache=cache)


def test_a_bad_record_holds_no_id(cache):
    source = FakeSource([example(id="a", answer=""), example(id="a"), example(id=""), example(id="")])
    assert list(measure(source, PROCESSOR, SETTINGS, cache=cache).faults) == [0]


def test_ids_that_name_no_records_are_no_fault(cache):
    made = [example(where=f"fake.jsonl:{number + 1}", id=str(number % 150)) for number in range(300)]
    measures = measure(FakeSource(made), PROCESSOR, SETTINGS, cache=cache)
    assert not measures.faults
    assert measures.notes == (
        "fake.jsonl: 150 of 300 ids stood before: they name no records (but pictures, perhaps), "
        "so none is left out for it",
    )


def test_kept_measures_are_used_again(picture, cache):
    made = records(picture)
    first = measure(FakeSource(made, identity="x"), PROCESSOR, SETTINGS, cache=cache)
    again = FakeSource(made, identity="x")
    told = []
    assert same(measure(again, PROCESSOR, SETTINGS, cache=cache, on_progress=lambda *each: told.append(each)), first)
    assert again.read == []
    assert told == [(40, 40)]


def test_kept_measures_belong_to_everything_they_depend_on(picture, cache):
    made = records(picture)
    source = FakeSource(made, identity="x")
    key = cache.key(source, PROCESSOR, SETTINGS)
    upright = tiny_processor("internlm2-chat", PROCESSOR.tokenizer)
    upright.as_viewed = False
    others = [
        cache.key(FakeSource(made, identity="y"), PROCESSOR, SETTINGS),
        cache.key(FakeSource(made[:-1], identity="x"), PROCESSOR, SETTINGS),
        cache.key(source, PROCESSOR, DataSettings(max_length=301)),
        cache.key(source, PROCESSOR, DataSettings(max_length=300, max_dynamic_patch=6)),
        cache.key(source, upright, SETTINGS),
        cache.key(source, tiny_processor("internlm2-chat", "qwen2"), SETTINGS),
        cache.key(source, tiny_processor("internvl2_5", PROCESSOR.tokenizer), SETTINGS),
        cache.key(source, tiny_processor("internlm2-chat", PROCESSOR.tokenizer, min_tiles=2), SETTINGS),
    ]
    assert len({key, *others}) == 9
    assert cache.key(FakeSource(made), PROCESSOR, SETTINGS) is None
    same_again = tiny_processor("internlm2-chat", "internlm2")
    assert cache.key(source, same_again, DataSettings(max_length=300, batch_size=1, seed=1)) == key


@pytest.mark.parametrize("damage", ["cut", "flipped", "empty", "other", "short", "outside"])
def test_a_damaged_file_is_made_again(picture, cache, damage, tmp_path):
    made = records(picture)
    first = measure(FakeSource(made, identity="x"), PROCESSOR, SETTINGS, cache=cache)
    (path,) = (tmp_path / "cache").iterdir()
    data = path.read_bytes()
    if damage == "cut":
        path.write_bytes(data[: len(data) // 2])
    elif damage == "flipped":
        middle = len(data) // 3
        path.write_bytes(data[:middle] + bytes([data[middle] ^ 0xFF]) + data[middle + 1 :])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "other":
        np.savez(path, num_tokens=np.array([{}], dtype=object))
    else:
        arrays = dict(np.load(path))
        if damage == "short":
            arrays["num_tokens"] = arrays["num_tokens"][:-1]
        else:
            arrays["faults"] = np.frombuffer(b'{"faults": {"40": ["a", "b", "c"]}, "notes": []}', np.uint8)
        np.savez(path, **arrays)
    again = FakeSource(made, identity="x")
    assert same(measure(again, PROCESSOR, SETTINGS, cache=cache), first)
    assert again.read != []
    assert cache.load(path.stem, len(made)) is not None


def test_a_picture_that_came_back_is_noticed(picture, cache, tmp_path):
    made = [example(images=[picture]), example(images=[tmp_path / "late.png"])]
    assert list(measure(FakeSource(made, identity="x"), PROCESSOR, SETTINGS, cache=cache).faults) == [1]
    still = FakeSource(made, identity="x")
    assert list(measure(still, PROCESSOR, SETTINGS, cache=cache).faults) == [1]
    assert still.read == [1]
    PIL.Image.new("RGB", (56, 56)).save(tmp_path / "late.png")
    assert not measure(FakeSource(made, identity="x"), PROCESSOR, SETTINGS, cache=cache).faults


def test_a_folder_that_cannot_be_written_harms_nothing(picture, tmp_path):
    (tmp_path / "file").write_text("")
    cache = MeasureCache(tmp_path / "file" / "cache")
    assert measure(FakeSource(records(picture), identity="x"), PROCESSOR, SETTINGS, cache=cache).num_usable == 37


def test_the_users_folder(monkeypatch, tmp_path, picture):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    measure(FakeSource(records(picture), identity="x"), PROCESSOR, SETTINGS)
    (path,) = (tmp_path / "xdg" / "ivl" / "measures").iterdir()
    assert path.suffix == ".npz"


def test_old_files_make_room(cache, tmp_path, picture):
    (tmp_path / "cache").mkdir()
    for number in range(120):
        (tmp_path / "cache" / f"{number}.npz").write_bytes(b"")
    measure(FakeSource([example()], identity="x"), PROCESSOR, SETTINGS, cache=cache)
    assert len(list((tmp_path / "cache").iterdir())) == 100
