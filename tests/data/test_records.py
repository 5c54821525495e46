"""Records of JSON files: found once, read in any order, one bad one spoils no other."""

import json
import os
import pickle
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ivl.data import indexing
from ivl.data.records import RecordFile
from ivl.errors import DataError

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
VALUE = st.recursive(
    st.none() | st.booleans() | st.integers() | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3),
    max_leaves=8,
)
RECORDS = st.lists(st.dictionaries(TEXT, VALUE, max_size=4), max_size=5).map(lambda records: [{"id": 0}, *records])


def write(path, data):
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    return path


@pytest.fixture
def opened(tmp_path):
    """Opens a file of this content."""
    return lambda data, name="food.jsonl": RecordFile(write(tmp_path / name, data))


LAYOUTS = {
    "lines": lambda records: "\n".join(json.dumps(record, ensure_ascii=False) for record in records),
    "lines with blanks": lambda records: (
        "\n\n  \n" + "\r\n \r\n".join(json.dumps(record) for record in records) + "\n\n"
    ),
    "list": lambda records: json.dumps(records, ensure_ascii=False),
    "indented list": lambda records: "\n" + json.dumps(records, indent=4, ensure_ascii=False) + "\n",
    "indented objects": lambda records: "\n".join(json.dumps(record, indent=1) for record in records),
}


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(records=RECORDS, mark=st.booleans())
def test_every_layout_gives_the_records_back(tmp_path, layout, records, mark):
    data = (b"\xef\xbb\xbf" if mark else b"") + LAYOUTS[layout](records).encode()
    file = RecordFile(write(tmp_path / "food", data))
    assert len(file) == len(records)
    for index in reversed(range(len(file))):
        assert file.read(index) == records[index]
        line = int(file.where(index).rpartition(":")[2].partition(",")[0])
        assert line == data[: int(file.index.offsets[index])].count(b"\n") + 1


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b'{"a": 1,}', "no valid JSON: Illegal trailing comma"),
        (b'{"a": "b', "no valid JSON"),
        (b'{"a": "\xb2\xcb"}', "byte 8 (b2) is no UTF-8"),
        (b"[1, 2]", "the record is [1, 2]: an object"),
        (b'"text"', "the record is 'text': an object"),
        (b'{"a": ' + b"[" * 65 + b"]" * 65 + b"}", "nested more than 64 deep"),
        (b'{"a": ' + b"[" * 100_000 + b"]" * 100_000 + b"}", "nested more than 64 deep"),
        (b'{"image": "a", "image": "b"}', "the key 'image' is given twice"),
        (b'{"a": NaN}', "NaN is no number"),
        (b'{"a": -Infinity}', "-Infinity is no number"),
        (b'{"a": ' + b"9" * 5000 + b"}", "no valid JSON"),
        (b'{"a": "\\ud83c"}', "half of a surrogate pair"),
    ],
)
def test_a_bad_line_is_named_and_spoils_no_other(opened, line, reason):
    file = opened(b'{"id": 1}\n' + line + b'\n{"id": 3}\n')
    assert [file.read(0), file.read(2)] == [{"id": 1}, {"id": 3}]
    with pytest.raises(DataError, match=r"^food.jsonl:2: ") as caught:
        file.read(1)
    wanted = reason.replace("Illegal trailing comma", "")  # older Pythons say it otherwise
    assert wanted in str(caught.value)
    assert len(str(caught.value)) < 400


def test_a_bad_first_line_is_one_bad_record(opened):
    file = opened('{"id": 1, "text": "cut\n{"id": 2}\n{"id": 3}')
    assert len(file) == 3
    assert file.read(2) == {"id": 3}
    with pytest.raises(DataError, match=r"food.jsonl:1"):
        file.read(0)


def test_a_bad_record_of_a_list_is_named_by_its_line(opened):
    file = opened('[\n {"id": 1},\n {"id": 2,\n  "image" "b"},\n 7,\n {"id": 4}\n]\n')
    assert len(file) == 4
    assert file.read(3) == {"id": 4}
    with pytest.raises(DataError, match=r"food.jsonl:3: no valid JSON: .* at its line 2, column"):
        file.read(1)
    with pytest.raises(DataError, match=r"food.jsonl:5: the record is 7"):
        file.read(2)


def test_records_of_one_line_are_numbered(opened):
    file = opened('[{"id": 1}, {"id": 2},\n {"id": 3}]')
    assert [file.where(index) for index in range(3)] == [
        "food.jsonl:1, record 1",
        "food.jsonl:1, record 2",
        "food.jsonl:2",
    ]


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ('[\n{"a": 1},\n{"a": "b},\n{"a": 2}\n]', 3),
        ('[\n{"a": 1},\n{"a": [1},\n{"a": 2}]', 3),
        ('[\n{"a": 1},\n{"a": 2}', 3),
        ('[\n{"a": 1}\n{"a": 2}]', 3),
        ('[{"a": 1}]\n[]', 1),
        ("[" * 20_000, 1),
    ],
)
def test_a_list_that_breaks_off_is_refused_with_its_line(opened, text, line):
    with pytest.raises(DataError, match=rf"^food.jsonl:{line}: the list breaks off"):
        opened(text)


def test_a_quote_that_never_closes_costs_one_pass(opened):
    started = time.perf_counter()
    with pytest.raises(DataError, match=r"breaks off"):
        opened('[{"a": "' + '\\"' * 1_000_000)
    file = opened('{"a": "' + '\\"[' * 1_000_000)
    with pytest.raises(DataError, match=r"no valid JSON"):
        file.read(0)
    assert time.perf_counter() - started < 5


def test_a_huge_record_is_refused_without_reading_it(opened, monkeypatch):
    monkeypatch.setattr(indexing, "MAX_RECORD_BYTES", 100)
    monkeypatch.setattr("ivl.data.records.MAX_RECORD_BYTES", 100)
    file = opened('{"id": 1}\n{"text": "' + "x" * 1000 + '"}\n{"id": 3}\n')
    assert len(file) == 3
    assert file.read(2) == {"id": 3}
    assert file.where(2) == "food.jsonl:3"
    with pytest.raises(DataError, match=r"food.jsonl:2: the record has 1,013 bytes: at most 100"):
        file.read(1)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"\x1f\x8b\x08\x00", "compressed by gzip"),
        (b"PK\x03\x04", "a zip archive"),
        (b"PAR1", "a Parquet file"),
        (b"\x80\x04\x95", "a pickle or another binary file"),
        ('{"a": 1}'.encode("utf-16"), "UTF-16: save it as UTF-8"),
        (b'{"a"\x00: 1}', "a binary file"),
        (b"", "empty"),
    ],
)
def test_what_is_no_text_is_refused(opened, data, reason):
    with pytest.raises(DataError, match=rf"^food.jsonl: the file is {reason}"):
        opened(data)


def test_what_is_no_file_is_refused(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for name, reason in (("pipe", "not a file but a device, pipe"), ("none", "does not exist"), (".", "is a folder")):
        with pytest.raises(DataError, match=reason):
            RecordFile(tmp_path / name)


def test_it_goes_to_another_process(opened):
    file = opened('{"id": 1}\n{"id": 2}')
    assert file.read(1) == {"id": 2}
    sent = pickle.loads(pickle.dumps(file))
    assert [sent.read(1), sent.where(1), len(sent)] == [{"id": 2}, "food.jsonl:2", 2]


def test_a_file_that_changes_is_noticed(opened):
    file = opened('{"id": 1}\n{"id": 2}')
    write(file.path, '{"id": 1, "new": true}')
    with pytest.raises(DataError, match=r"was changed while it was in use"):
        file.read(0)


def test_handles_are_given_back(opened):
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(20):
        assert opened('{"id": 1}').read(0)
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1
