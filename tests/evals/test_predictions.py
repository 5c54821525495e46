import json
import subprocess
import sys
from pathlib import Path

import PIL.Image
import pytest

from evals.fake_pipeline import adapter_folder, subject_folder
from ivl.errors import SettingsError
from ivl.evals.fingerprint import asked_digest, subject_fingerprint
from ivl.evals.item import Asked, Subject
from ivl.evals.predictions import LOCK_FILE, Answer, AnswerFile, sole_use
from ivl.evals.settings import EvalSettings
from ivl.types import ImagePart, Message, TextPart

MADE_BY = {"model": "abc", "dtype": "auto"}


def said(number: int, text: str = "红烧肉 – \u2028ok", **fields: str) -> Answer:
    values = {"asked": "d", "finish_reason": "stop"} | fields
    return Answer(item_id=f"q{number}", prompt=0, text=text, num_tokens=3, **values)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "base" / "set.jsonl"


def opened(path: Path, made_by: dict[str, str] = MADE_BY) -> tuple[AnswerFile, list[str]]:
    told: list[str] = []
    return AnswerFile(path, made_by, told.append), told


def write(path: Path, *answers: Answer) -> None:
    file, _ = opened(path)
    for answer in answers:
        file.append(answer)
    file.close()


def test_answers_come_back(path):
    answers = [said(number) for number in range(5)]
    write(path, *answers[:3])
    write(path, *answers[3:])
    file, told = opened(path)
    assert list(file.answers.values()) == answers
    assert told == []


def test_every_answer_is_on_disk_at_once(path):
    file, _ = opened(path)
    for number in range(3):
        file.append(said(number))
        assert len(path.read_bytes().splitlines()) == number + 2


def test_nothing_is_written_where_nothing_is_said(path):
    opened(path)[0].close()
    assert not path.exists()


@pytest.mark.parametrize("kept", [1, 20, -1])
def test_a_torn_line_is_dropped_and_its_place_used_again(path, kept):
    write(path, said(0), said(1))
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    path.write_bytes(whole[: -len(last)] + last[:kept])
    file, told = opened(path)
    assert [each.item_id for each in file.answers.values()] == ["q0"]
    assert told == []
    file.append(said(1))
    assert path.read_bytes() == whole


def test_a_torn_header_is_an_empty_file(path):
    write(path, said(0))
    path.write_bytes(path.read_bytes()[:10])
    file, told = opened(path)
    assert (file.answers, told) == ({}, [])
    file.append(said(1))
    assert list(opened(path)[0].answers.values()) == [said(1)]


@pytest.mark.parametrize(
    "line",
    [
        b"{",
        b"[]",
        b"\xff\xfe",
        b'{"item_id": "q1"}',
        b'{"item_id":"q","prompt":"0","asked":"d","text":"","num_tokens":1,"finish_reason":"stop"}',
        b"[" * 100_000,
    ],
)
def test_damaged_lines_are_told_and_the_others_kept(path, line):
    write(path, said(0))
    path.write_bytes(path.read_bytes() + line + b"\n")
    write(path, said(1))
    file, told = opened(path)
    assert list(file.answers.values()) == [said(0), said(1)]
    assert told == [f"{path}:3 is damaged: what they answered is asked again"]


def test_answers_of_another_model_are_set_aside(path):
    write(path, said(0))
    before = path.read_bytes()
    file, told = opened(path, MADE_BY | {"model": "other", "dtype": "float32"})
    assert file.answers == {}
    assert "another model; dtype='auto', now 'float32'" in told[0]
    assert "set.jsonl.old" in told[0]
    file.append(said(1))
    file.close()
    assert path.with_name("set.jsonl.old").read_bytes() == before
    assert b'"q0"' not in path.read_bytes()


@pytest.mark.parametrize("content", [b"hello\n", b"[1]\n", b'{"format": 0}\n', b"\n\n"])
def test_a_strangers_file_is_set_aside(path, content):
    path.parent.mkdir()
    path.write_bytes(content)
    file, told = opened(path)
    assert file.answers == {}
    assert "is no file of answers" in told[0]
    assert path.with_name("set.jsonl.old").read_bytes() == content


def test_a_later_answer_counts_and_the_same_one_is_not_written_twice(path):
    failed = said(0, "no such picture", finish_reason="")
    write(path, failed, failed, said(0))
    assert len(path.read_bytes().splitlines()) == 3
    assert list(opened(path)[0].answers.values()) == [said(0)]


def test_lines_are_json_whatever_was_said(path):
    write(path, said(0, 'half \ud800 "NaN" \x00 end'))
    for line in path.read_text("utf-8").split("\n")[:-1]:
        json.loads(line, parse_constant=lambda name: pytest.fail(name))


def test_a_folder_that_cannot_be_used_is_named(tmp_path):
    (tmp_path / "base").write_text("a file")
    file, _ = opened(tmp_path / "base" / "set.jsonl")
    with pytest.raises(SettingsError, match=r"base.set\.jsonl cannot be used: "):
        file.append(said(0))


HOLD = "import fcntl, sys; f = open(sys.argv[1], 'w'); fcntl.lockf(f, fcntl.LOCK_EX); print(); sys.stdin.read()"


def test_one_run_at_a_time(tmp_path):
    out = tmp_path / "out"
    with sole_use(out):
        pass
    command = [sys.executable, "-c", HOLD, str(out / LOCK_FILE)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as other:
        other.stdout.readline()
        with pytest.raises(SettingsError, match="is in use by another run"), sole_use(out):
            pass
        other.stdin.close()
    with sole_use(out):
        pass


def question(*parts: object, room: int = 8) -> Asked:
    return Asked(messages=(Message(role="user", parts=tuple(parts)),), max_new_tokens=room)


def test_a_question_is_told_by_all_that_is_asked(tmp_path):
    picture = tmp_path / "a.png"
    picture.write_bytes(b"1")
    text, image = TextPart(text="what?"), ImagePart(source=picture)
    first = asked_digest(question(text, image), "")
    assert asked_digest(question(text, ImagePart(source=str(picture))), "") == first
    others = [
        asked_digest(question(TextPart(text="what"), image), ""),
        asked_digest(question(image, text), ""),
        asked_digest(question(text, image, room=9), ""),
        asked_digest(question(text, image), "ABCD"),
        asked_digest(question(text, ImagePart(source=picture, max_tiles=2)), ""),
        asked_digest(question(text, ImagePart(source=b"1")), ""),
        asked_digest(question(text, ImagePart(source=PIL.Image.new("RGB", (2, 2)))), ""),
        asked_digest(question(text, ImagePart(source=PIL.Image.new("RGB", (1, 4)))), ""),
        asked_digest(question(text, ImagePart(source="data:" + "x" * 5000)), ""),
    ]
    picture.write_bytes(b"22")
    others.append(asked_digest(question(text, image), ""))
    picture.unlink()
    others.append(asked_digest(question(text, image), ""))
    assert len({first, *others}) == len(others) + 1


def test_a_subject_is_told_by_its_weights_not_by_its_place(tmp_path):
    settings = EvalSettings()
    model, adapter = subject_folder(tmp_path), adapter_folder(tmp_path, "food")
    subject = Subject(name="food", folder=model, adapter=adapter)
    first = subject_fingerprint(subject, settings)
    (tmp_path / "model" / "README.md").write_text("words change no answer")
    (tmp_path / "model").rename(tmp_path / "moved")
    moved = Subject(name="tasty", folder=str(tmp_path / "moved"), adapter=adapter)
    assert subject_fingerprint(moved, settings) == first
    (tmp_path / "moved" / "config.json").write_text('{"a": 1}')
    second = subject_fingerprint(moved, settings)
    (Path(adapter) / "adapter_model.safetensors").write_bytes(b"other weights")
    third = subject_fingerprint(moved, settings)
    assert [key for key in first if first[key] != second[key]] == ["model"]
    assert [key for key in second if second[key] != third[key]] == ["adapter"]
    fourth = subject_fingerprint(moved, EvalSettings(max_tiles=6, dtype="bfloat16", limit=5, scoring="likelihood"))
    assert [key for key in third if third[key] != fourth[key]] == ["max_tiles", "dtype"]


def test_a_missing_folder_is_told(tmp_path):
    with pytest.raises(SettingsError, match="nowhere cannot be read: No such file"):
        subject_fingerprint(Subject(name="a", folder=str(tmp_path / "nowhere")), EvalSettings())
