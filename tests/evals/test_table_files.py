"""Files of questions: VLMEvalKit's tables and JSON Lines, their pictures, and what is wrong with rows."""

import base64
import csv
import io
import json

import PIL.Image
import pytest

from ivl.errors import DataError
from ivl.evals.choices import to_letter
from ivl.evals.scoring import score
from ivl.evals.table_files import open_table, read_rows
from ivl.types import ImagePart, TextPart


def picture(colour: str, kind: str = "JPEG", size: int = 40) -> bytes:
    data = io.BytesIO()
    PIL.Image.effect_noise((size, size), 90).convert("RGB").save(data, kind)
    return data.getvalue() + colour.encode() * (kind == "JPEG")


RED, BLUE = picture("red"), picture("blue", "PNG")


def base(data: bytes) -> str:
    return base64.b64encode(data).decode()


def write_tsv(path, rows: list[dict], columns: list[str] | None = None):
    columns = columns or list(dict.fromkeys(key for row in rows for key in row))
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.DictWriter(file, columns, delimiter="\t")
        table.writeheader()
        table.writerows(rows)
    return path


def write_lines(path, rows: list):
    path.write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows), encoding="utf-8")
    return path


def question(index=0, **changes) -> dict:
    made = {
        "index": index,
        "image": base(RED),
        "question": "What is it?",
        "hint": "",
        "A": "a cat",
        "B": "a dog",
        "C": "a bird",
        "D": "",
        "answer": "B",
        "category": "animals",
        "l2-category": "perception",
        "split": "dev",
    }
    return {key: value for key, value in {**made, **changes}.items() if value is not ...}


def words(eval_set, number: int = 0) -> tuple[str, list]:
    (message,) = eval_set.ask(eval_set.items[number], 0).messages
    text = "".join(part.text for part in message.parts if isinstance(part, TextPart))
    return text, [part.source for part in message.parts if isinstance(part, ImagePart)]


def test_a_table_of_multiple_choice(tmp_path):
    rows = [question(0, hint="Look\nclosely"), question(1, image="0", D="a fish", answer="D")]
    (found,) = open_table(write_tsv(tmp_path / "MM Bench_dev.tsv", rows))
    assert (found.name, found.metric, found.faults, found.num_prompts) == ("mm-bench_dev", "choice", (), 1)
    first, second = found.items
    assert (first.item_id, first.where, first.letters, first.answers) == ("0", "MM Bench_dev.tsv:2", "ABC", ("B",))
    assert (second.where, second.choices[3], second.answers) == ("MM Bench_dev.tsv:4", "a fish", ("D",))
    assert first.images == (RED,)
    assert second.images[0] is first.images[0]  # kept once
    assert first.tags == (("category", "animals"), ("l2-category", "perception"), ("split", "dev"))
    assert words(found) == (
        "Hint: Look\nclosely\nQuestion: What is it?\nOptions:\nA. a cat\nB. a dog\nC. a bird\n"
        "Please select the correct answer from the options above. \n",
        [RED],
    )


def test_cells_of_any_length_are_read(tmp_path):
    large = picture("red", "PNG", 500)
    assert len(base(large)) > 2 * csv.field_size_limit()
    (found,) = open_table(write_tsv(tmp_path / "big.tsv", [question(0, image=base(large)), question(1)]))
    assert [item.images for item in found.items] == [(large,), (RED,)]


def test_several_pictures_in_a_list(tmp_path):
    paths = ["one.png", "two.png"]
    for name in paths:
        (tmp_path / name).write_bytes(BLUE)
    rows = [
        question(0, image=str([base(RED), base(BLUE)])),
        question(1, image="", image_path=str(paths)),
        question(2, image=str([base(RED), base(BLUE)]), question="Is <image 2> or <image 1> red?"),
        question(3, image=""),
    ]
    (found,) = open_table(write_tsv(tmp_path / "many.tsv", rows))
    assert found.items[0].images == (RED, BLUE)
    assert [str(path).rpartition("/")[2] for path in found.items[1].images] == paths
    text, sources = words(found, 2)
    assert sources == [BLUE, RED]
    assert "Question: Is <image> or <image> red?\n" in text
    assert found.items[3].images == ()


def test_quotes_and_line_breaks(tmp_path):
    path = tmp_path / "odd.tsv"
    path.write_text(
        'index\tquestion\tanswer\r\n0\t"He said ""yes""\tto\nall"\tx\r\n\r\n1\ta 5" pipe\ty\n2\tone\n3\t"open\tz\n'
        "4\tlast\tw\n",
        encoding="utf-8-sig",
    )
    (found,) = open_table(path)
    assert [(item.item_id, item.question) for item in found.items] == [
        ("0", 'He said "yes"\tto\nall'),
        ("1", 'a 5" pipe'),
        ("4", "last"),
    ]
    assert [line.partition(": ")[0] for line in found.faults] == ["odd.tsv:6", "odd.tsv:7"]
    assert "2 cells and the table 3 columns" in found.faults[0]
    assert "a double quote opens a cell" in found.faults[1]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"question": ""}, "question is missing"),
        ({"answer": ""}, "answer is missing"),
        ({"answer": "D"}, "answer is 'D': a letter from A to C"),
        ({"B": ""}, "B is missing, and C is there"),
        ({"image": "7"}, "image: picture '7' does not exist"),
        ({"image": base(RED)[:-3] + "!!!"}, "neither a picture in base64 nor a path"),
        ({"image": "../secret.png"}, "lies outside of"),
        ({"image": "/etc/passwd"}, "lies outside of"),
        ({"image": "none.png"}, "image: picture 'none.png' does not exist in"),
        ({"image": "2"}, "image is '2', the index of a row that holds no picture itself"),
        ({"question": "<image> and <image>"}, "question has 2 <image> for 1 pictures"),
    ],
)
def test_a_fault_names_the_row_and_the_cell(tmp_path, changes, reason):
    rows = [question(0), question(1, **changes), question(2, image="0")]
    (found,) = open_table(write_tsv(tmp_path / "t.tsv", rows))
    assert len(found.items) == 2
    (line,) = found.faults
    assert line.startswith("t.tsv:3: ")
    assert reason in line


def test_what_is_no_table(tmp_path):
    with pytest.raises(DataError, match=r"t.tsv:1: the columns are 'index, text': question and answer are needed"):
        open_table(write_tsv(tmp_path / "t.tsv", [{"index": 0, "text": "x"}]))
    with pytest.raises(DataError, match="two columns are called 'answer'"):
        open_table(write_tsv(tmp_path / "t.tsv", [{"question": "x", "answer": "y", "Answer": "z"}]))
    with pytest.raises(DataError, match=r"no row of t\.tsv can be asked: it has no rows"):
        open_table(write_tsv(tmp_path / "t.tsv", [], ["question", "answer"]))
    with pytest.raises(DataError, match=r"no row of t.tsv can be asked; the first: t.tsv:2: answer is missing"):
        open_table(write_tsv(tmp_path / "t.tsv", [question(answer="")]))
    (tmp_path / "t.tsv").write_bytes(b"\x80\x04 pickle")
    with pytest.raises(DataError, match="a pickle"):
        open_table(tmp_path / "t.tsv")


def test_json_lines_of_several_metrics(tmp_path):
    (tmp_path / "a.png").write_bytes(BLUE)
    rows = [
        {"id": "q1", "image": "a.png", "question": "How many?", "answer": 3, "tags": {"ability": "counting"}},
        {"id": "q2", "images": ["a.png", "a.png"], "question": "Same?", "choices": ["yes", "no"], "answer": "no"},
        {"id": "q3", "image": "a.png", "question": "图中写着什么？", "answers": ["菜单", "單"], "metric": "anls"},
        {"id": "q4", "image": "a.png", "question": "Where?", "answer": [1, 2, 3, 4], "metric": "iou"},
        {"id": "q5", "question": "Where?", "answers": [[1, 2, 3, 4], [5, 6, 7, 8]], "metric": "iou"},
        {"id": "q6", "question": "Where?", "answer": "[[1, 2, 3, 4]]", "metric": "iou"},
        {"id": "q7", "question": "Where?", "answers": ["[[1, 2, 3, 4]]", "[[1, 2, 3, 5]]"], "metric": "iou"},
        {"id": "q1", "image": "data:image/png;base64," + base(BLUE), "question": "And now?", "answer": "x"},
    ]
    sets = {each.metric: each for each in open_table(write_lines(tmp_path / "mix.jsonl", rows))}
    assert {metric: each.name for metric, each in sets.items()} == {
        metric: f"mix-{metric}" for metric in ("exact", "choice", "anls", "iou")
    }
    assert [item.item_id for item in sets["exact"].items] == ["q1", "q1#7"]
    assert sets["exact"].items[0].answers == ("3",)
    assert sets["exact"].items[0].tags == (("ability", "counting"),)
    assert (sets["choice"].items[0].answers, len(sets["choice"].items[0].images)) == (("B",), 2)
    assert sets["anls"].items[0].answers == ("菜单", "單")
    one = "[[1, 2, 3, 4]]"
    assert [item.answers for item in sets["iou"].items] == [
        (one,),
        ("[[1, 2, 3, 4], [5, 6, 7, 8]]",),
        (one,),
        (one, "[[1, 2, 3, 5]]"),
    ]
    assert words(sets["exact"])[0] == "How many?\nAnswer the question using a single word or phrase."
    assert words(sets["anls"])[0] == "图中写着什么？\n请用一个词或短语回答问题。"
    assert words(sets["iou"])[0] == "Where?"


@pytest.mark.parametrize(
    "others",
    [
        ["rice cracker", "rice ball"],
        "rice cracker|rice ball",
        " rice cracker | |rice ball ",
        '["rice cracker", "rice ball"]',
    ],
)
def test_names_of_other_things(tmp_path, others):
    row = {"question": "What is it?", "answer": "rice", "metric": "contains", "others": others}
    files = [write_lines(tmp_path / "n.jsonl", [row])]
    files += [] if isinstance(others, list) else [write_tsv(tmp_path / "n.tsv", [row])]
    for path in files:
        (found,) = open_table(path)
        (item,) = found.items
        assert (found.faults, item.answers, item.others) == ((), ("rice",), ("rice cracker", "rice ball"))
        worths = [
            score(found, item, text)[1] for text in ("It is rice.", "a rice cracker", "Rice balls", "rice pudding")
        ]
        assert worths == [1, 0, 0, 1]


def test_names_of_other_things_are_for_one_metric(tmp_path):
    row = {"question": "What is it?", "answer": "rice", "others": "rice cracker"}
    path = write_lines(tmp_path / "n.jsonl", [row, {**row, "others": None}, {**row, "others": 3}])
    assert [item.others for item in open_table(path)[0].items] == [(), (), ()]
    (found,) = open_table(path, metric="contains")
    assert [item.others for item in found.items] == [("rice cracker",), ()]
    assert found.faults == ("n.jsonl:3: others is 3: a list is needed",)


def test_a_metric_for_all_rows(tmp_path):
    rows = [{"question": "a?", "answer": "['x', 'y']"}, {"question": "b?", "answer": "z", "metric": "exact"}]
    (found,) = open_table(write_lines(tmp_path / "v.jsonl", rows), metric="vqa")
    assert (found.metric, [item.answers for item in found.items]) == ("vqa", [("x", "y"), ("z",)])
    with pytest.raises(DataError, match="there is no metric 'vqaa': did you mean 'vqa'"):
        open_table(tmp_path / "v.jsonl", metric="vqaa")


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ({"question": "a", "answer": "x", "metric": "bleu"}, "there is no metric 'bleu'"),
        ({"question": "a", "answer": "x", "metric": "choice"}, "the row has no choices"),
        (
            {"question": "a", "answer": "x", "metric": "iou"},
            "the answer 'x' is no list of boxes: [[x1, y1, x2, y2], ...]",
        ),
        ({"question": "a", "answer": [[1, 2, 3, 1001]], "metric": "iou"}, "is no list of boxes"),
        ({"question": "a", "answer": " "}, "an answer is missing or empty"),
        ({"question": "a"}, "answer is missing: a text is needed"),
        ({"question": "a", "answers": [{"answer": "x"}]}, "answers is {'answer': 'x'}: a text is needed"),
        ({"question": "a", "choices": ["b", "a"], "answer": "a"}, "as a letter and as a text of different choices"),
        ({"question": "a", "answer": "x", "tags": 3}, "tags is 3"),
        (
            {"question": "a", "answer": "x", "metric": "contains", "others": [["y"]]},
            "others is ['y']: a text is needed",
        ),
        ({"question": "a", "answer": "x", "metric": "contains", "others": "[y"}, "others is '[y': a list is needed"),
        (7, "the record is 7"),
    ],
)
def test_a_fault_names_the_line_and_the_field(tmp_path, row, reason):
    rows = read_rows(write_lines(tmp_path / "l.jsonl", [{"question": "ok", "answer": "x"}, row]))
    assert [len(items) for items in rows.items.values()] == [1]
    (line,) = rows.faults
    assert line.startswith("l.jsonl:2: ")
    assert reason in line


def test_a_layout_says_how_an_answer_is_read():
    assert to_letter("A", ("B", "A", "C"), first="letter") == "A"
    assert to_letter("1", ("1", "2", "3"), first="number") == "B"
    with pytest.raises(DataError, match="as a number and as a text of different choices"):
        to_letter("1", ("1", "2", "3"))
    assert to_letter("0", ("0", "2", "3")) == "A"


def test_pictures_that_cannot_be_held_are_faults(tmp_path, monkeypatch):
    monkeypatch.setattr("ivl.evals.table_pictures.MAX_HELD_BYTES", len(RED) + 1)
    (found,) = open_table(write_tsv(tmp_path / "t.tsv", [question(0), question(1), question(2, image="0")]))
    assert [item.item_id for item in found.items] == ["0", "2"]
    assert found.faults[0].startswith("t.tsv:3: image: the pictures in this file take more than")
