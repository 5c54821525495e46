"""CSV and TSV tables."""

import csv
import pickle

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ivl.data.table import TableFile
from ivl.errors import DataError


@pytest.fixture
def opened(tmp_path):
    """Opens a table of this content."""

    def table(data):
        (tmp_path / "food.csv").write_bytes(data if isinstance(data, bytes) else data.encode())
        return TableFile(tmp_path / "food.csv")

    return table


CELL = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=8)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=st.lists(st.tuples(CELL, CELL.map("x".__add__)), min_size=1, max_size=5), delimiter=st.sampled_from(",\t;"))
def test_what_the_csv_module_writes_is_read_back(tmp_path, rows, delimiter):
    with (tmp_path / "t").open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, delimiter=delimiter).writerows([("Image", " answer"), *rows])
    data, table = (tmp_path / "t").read_bytes(), TableFile(tmp_path / "t")
    assert [(row["image"], row["answer"]) for row in map(table.read, range(len(table)))] == rows
    lines = [int(table.where(index).rpartition(":")[2]) for index in range(len(table))]
    assert lines == [data[: int(offset)].count(b"\n") + 1 for offset in table.index.offsets]


def test_a_bad_row_is_named_and_spoils_no_other(opened):
    table = opened(
        b"image,question,answer\n"
        b"1.jpg,What?,Tofu\n"
        b"2.jpg,What?\n"
        b'3.jpg,"never closed,Tofu\n'
        b"4.jpg,Which, exactly?,Tofu\n"
        b"\n"
        b"5.jpg,\xb2\xcb,Tofu\n"
        b'6.jpg,"over\ntwo lines",Tofu\n'
        b"7.jpg,What?,Rice"
    )
    assert [table.read(index)["image"] for index in (0, 5, 6)] == ["1.jpg", "6.jpg", "7.jpg"]
    assert [table.where(index) for index in (4, 5, 6)] == ["food.csv:7", "food.csv:8", "food.csv:10"]
    for index, reason in (
        (1, "food.csv:3: the row has 2 cells and the table 3 columns"),
        (2, "food.csv:4: the row cannot be read"),
        (3, "food.csv:5: the row has 4 cells .* put a text that holds ',' in double quotes"),
        (4, "food.csv:7: the row cannot be read: byte 7 .* is no UTF-8"),
    ):
        with pytest.raises(DataError, match=reason):
            table.read(index)


def test_it_goes_to_another_process(opened):
    table = pickle.loads(pickle.dumps(opened("image\tanswer\n1.jpg\tTofu\n")))
    assert table.read(0) == {"image": "1.jpg", "answer": "Tofu"}


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            "name,price\ntofu,3\n",
            "food.csv:1: neither JSON nor a table with known columns; its first line: 'name,price'",
        ),
        ("only words", "neither JSON nor a table"),
        ("image,question\n1.jpg,What?\n", "one of answer, text, caption"),
        ("image,answer,Answer\n1,2,3\n", "two columns are called 'answer'"),
        (b"image,\xff\n", "food.csv:1: the row of column names cannot be read"),
        ("image,answer\n" + '"a,1\n' * 1 + '"x" y,1\n' * 1200, "more than 1,000 rows have stray double quotes"),
    ],
)
def test_what_is_no_table_is_refused(opened, data, reason):
    with pytest.raises(DataError, match=reason):
        opened(data)
