"""What workers write: lines that `ivl train` reads, pictures with their labels, papers that hold their answers."""

import json
import random
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tools.nano import jobs
from tools.nano.ask import Turn
from tools.nano.document_page import Page, TooTightError
from tools.nano.document_papers import Maker, Paper, has_chinese
from tools.nano.document_questions import ABSENT, YES, ask
from tools.nano.document_words import read_words
from tools.nano.documents import LARGE, label, make_document
from tools.nano.generate import gather
from tools.nano.jobs import Job, begin, plan_job, record, write_documents, write_pictures, write_words
from tools.nano.lettering import Lettering
from tools.nano.test_sets import row

from nano_world import a_font_folder, world


@pytest.fixture(scope="module")
def fonts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return a_font_folder(tmp_path_factory.mktemp("fonts"))


def test_a_line_has_its_picture_before_the_first_question() -> None:
    turns = [Turn(kind="total", question="How many?", answer="2"), Turn(kind="name", question="What?", answer="cat")]
    line = record("x-1", ["pictures/1.jpg"], turns)
    assert line["image"] == "pictures/1.jpg"
    assert line["conversations"][0] == {"from": "human", "value": "<image>\nHow many?"}
    assert line["conversations"][1] == {"from": "gpt", "value": "2"}
    assert line["conversations"][2]["value"] == "What?"
    assert "image" not in record("x-2", [], turns)
    assert record("x-3", ["a.jpg", "b.jpg"], turns)["image"] == ["a.jpg", "b.jpg"]
    assert record("x-3", ["a.jpg", "b.jpg"], turns)["conversations"][0]["value"] == "How many?"


def written(out: Path, fonts: Path) -> tuple[dict[str, list[dict[str, object]]], dict[str, bytes]]:
    """All that the workers write of small jobs, on empty canvases."""
    begin(world(), fonts, out)
    lines: dict[str, list[dict[str, object]]] = {}
    for job in (
        Job(name="scenes", chunk=0, number=12, size=(224, 224), seed=1),
        Job(name="large", chunk=0, number=6, size=(448, 448), seed=1),
        Job(name="sheets", chunk=0, number=12, size=(224, 224), seed=1),
    ):
        scenes = plan_job(job)
        raw = out / ".raw"
        np.full((job.number, job.size[1], job.size[0], 3), 200, np.uint8).tofile(raw)
        done = write_pictures(job, scenes, raw)
        assert not raw.exists()
        singles = [scene for scene in scenes if len(scene.items) == 1]
        assert [thing for _, thing in done.singles] == [
            scene.items[0].thing for scene in singles if job.name == "scenes"
        ]
        lines |= done.lines
    lines |= write_documents(0, 8, 1).lines | write_words(0, 5, 1).lines
    files = {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*.jpg"))}
    return lines, files


def test_the_same_seed_writes_the_same_lines_and_pictures(tmp_path: Path, fonts: Path) -> None:
    one, two = (written(folder, fonts) for folder in (tmp_path / "one", tmp_path / "two") if not folder.mkdir())
    assert one == two
    lines, files = one
    assert {name: len(found) for name, found in lines.items()}.items() >= {
        "scenes": 12,
        "large": 6,
        "sheets": 12,
        "words": 5,
    }.items()
    ids = [line["id"] for found in lines.values() for line in found]
    assert len(set(ids)) == len(ids)
    for line in (line for found in lines.values() for line in found):
        said = line["conversations"]
        assert [turn["from"] for turn in said] == ["human", "gpt"] * (len(said) // 2)  # type: ignore[index, union-attr]
        assert all(turn["value"] for turn in said)  # type: ignore[index, union-attr]
        if "image" in line:
            assert line["image"] in files
            assert said[0]["value"].startswith("<image>\n")  # type: ignore[index]


def test_gathered_lines_keep_their_order(tmp_path: Path) -> None:
    parts = [jobs.Written(lines={"scenes": [{"id": str(idx)}], "words": [{"id": f"w{idx}"}]}) for idx in range(3)]
    gather(tmp_path, parts)
    ids = [json.loads(line)["id"] for line in (tmp_path / "scenes.jsonl").read_text(encoding="utf-8").splitlines()]
    assert ids == ["0", "1", "2"]


def test_labels_fit_and_name_no_dish(fonts: Path) -> None:
    lettering, words = Lettering(fonts), read_words()
    names = {name.casefold() for found in words.dishes.values() for name in found}
    rng = random.Random(1)
    for _ in range(300):
        card, text, language = label(rng, lettering, 70, 30)
        assert card.width <= 70
        assert card.height <= 30
        assert text.casefold() not in names
        assert language == "zh" if has_chinese(text) else language in ("en", "zh")


@pytest.mark.parametrize("maker", list(LARGE), ids=lambda maker: maker.__name__)
def test_papers_hold_their_answers(maker: Maker, fonts: Path) -> None:
    """An answer is printed on the paper, a count, a yes or no, a box on the paper, or says that it is not there."""
    lettering, words, size = Lettering(fonts), read_words(), (672, 448)
    made = 0
    for seed in range(40):
        rng = random.Random(seed)
        language = rng.choice(("en", "zh"))
        try:
            paper = maker(Page(rng, lettering, size), words, language)
        except TooTightError:
            continue
        made += 1
        for turn in ask(paper, size, words, rng, language, 6):
            assert is_right(paper, turn.question, turn.answer, language), (turn, paper)
    assert made > 10


def is_right(paper: Paper, question: str, answer: str, language: str) -> bool:
    lines = [line.text for line in paper.lines]
    names = [text.name.text for text in paper.rows]
    printed = {*lines, *names, *(text.value.text for text in paper.rows), *paper.facts.values()}
    printed |= {part for text in paper.rows for part in text.value.text.split("-")}
    if paper.title:
        printed.add(paper.title.text)
    if answer.startswith("<ref>"):
        return answer[5:].split("</ref>")[0] in printed
    if answer in YES[language]:
        quoted = [text for text in (*lines, *names) if text in question]
        return bool(quoted) == (answer == YES[language][0])
    if answer in {texts[language] for texts in ABSENT.values()}:
        return not any(name in question for name in names)
    if answer.startswith(("Line ", "第")) and question.count(lines[int("".join(filter(str.isdigit, answer))) - 1]):
        return True
    counts = {str(len(lines)), str(len(names)), *(str(len(text)) for text in lines)}
    whole = {"\n".join(lines), ", ".join(names), "、".join(names)}
    first_or_last = {sign for text in lines for sign in (text[0], text[-1])}
    return answer in printed | counts | whole | first_or_last


def test_a_document_is_the_same_by_its_seed(fonts: Path) -> None:
    one, two = (make_document(random.Random(7), Lettering(fonts), (448, 448)) for _ in range(2))
    assert one.turns == two.turns
    assert one.picture.tobytes() == two.picture.tobytes()
    assert one.picture.size == (448, 448)
    assert isinstance(one.picture, Image.Image)


def test_rows_of_a_test_set() -> None:
    noun = world().catalogue.nouns[0]
    tags = {"ability": "kind", "language": "en"}
    turn = Turn(kind="name", question="What is this?", answer="This is a cat.", nouns=(noun,))
    assert row("1", "a.png", turn, "exact", tags)["answer"] == ["cat", "This is a cat.", "a cat"]
    turn = Turn(kind="ground", question="Locate the cat.", answer="<ref>cat</ref><box>[[1, 2, 30, 40]]</box>")
    assert row("2", "a.png", turn, "iou", tags)["answer"] == [[1, 2, 30, 40]]
