"""The conversation's commands, with lines typed by a fixture."""

import json

import pytest
from PIL import Image

from ivl.errors import ContextLengthError


@pytest.fixture
def config(fake):
    """Gives the fake pipeline a real configuration, from which a picture's tokens are counted."""
    from ivl.model.family import FAMILY

    fake.config = FAMILY["InternVL2-2B"]


@pytest.fixture
def picture(tmp_path):
    path = tmp_path / "my picture.png"
    Image.new("RGB", (900, 448), "red").save(path)
    return path


def test_questions_are_answered_one_after_another(ivl_command, fake, typing):
    typing("first", "", "  ", "second")
    shown = ivl_command("chat")
    assert shown.code == 0
    assert shown.out.count("one two three four five\n") == 2
    assert [prompt for prompt, _ in fake.asked] == ["first", "second"]
    assert "5 tokens · first after " in shown.err
    assert fake.closed


@pytest.mark.usefixtures("config")
def test_a_picture_goes_with_the_next_question_only(ivl_command, fake, typing, picture):
    typing(f"/image {picture}", "what is it?", "and now?")
    shown = ivl_command("chat")
    assert "900x448 pixels, 2 x 1 tiles and a thumbnail, 768 image tokens" in shown.err
    (text, images), second = [prompt for prompt, _ in fake.asked]
    assert (text, second) == ("what is it?", "and now?")
    assert [image.size for image in images] == [(900, 448)]


@pytest.mark.usefixtures("config")
def test_several_pictures_and_quoted_paths(ivl_command, fake, typing, picture):
    typing(f"/image '{picture}' '{picture}'", f"/image '{picture}'", "compare")
    ivl_command("chat", picture)
    assert len(fake.asked[0][0][1]) == 4


@pytest.mark.usefixtures("config")
def test_clear_forgets_everything_but_the_system_message(ivl_command, fake, typing, picture, tmp_path):
    typing("first", f"/image {picture}", "/clear", "second", f"/save {tmp_path / 'x.json'}")
    ivl_command("chat", "--system", "be brief")
    assert fake.asked[1][0] == "second"
    saved = json.loads((tmp_path / "x.json").read_text("utf-8"))
    assert [turn["role"] for turn in saved] == ["system", "user", "assistant"]


@pytest.mark.usefixtures("config")
def test_save_keeps_texts_and_the_pictures_paths(ivl_command, fake, typing, picture, tmp_path):
    typing("hello", f"/image {picture}", "what is it?", f"/save {tmp_path}/x.json", f"/save {tmp_path}/x.md")
    ivl_command("chat")
    turns = json.loads((tmp_path / "x.json").read_text("utf-8"))
    assert [turn["role"] for turn in turns] == ["user", "assistant", "user", "assistant"]
    assert turns[2]["content"] == [
        {"type": "image_url", "image_url": {"url": str(picture)}},
        {"type": "text", "text": "what is it?"},
    ]
    markdown = (tmp_path / "x.md").read_text("utf-8")
    assert f"**You**\n\n![picture](<{picture}>)\n\nwhat is it?\n\n**Model**\n\none two" in markdown


def test_save_replaces_only_what_it_wrote(ivl_command, fake, typing, tmp_path):
    (tmp_path / "theirs.md").write_text("a diary")
    typing("one", f"/save {tmp_path}/mine.md", "two", f"/save {tmp_path}/mine.md", f"/save {tmp_path}/theirs.md")
    shown = ivl_command("chat")
    assert "two" in (tmp_path / "mine.md").read_text("utf-8")
    assert (tmp_path / "theirs.md").read_text() == "a diary"
    assert "is there already" in shown.err


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("/imgae x.png", "did you mean '/image'?"),
        ("/image", "which picture?"),
        ("/image nothing.png", "nothing.png"),
        ("/image 'half a quote", "half a quote"),
        ("/save chat.txt", "must end in .json or .md"),
        ("/save", "must end in .json or .md"),
        ("/save /no/such/folder/x.md", "No such file or directory"),
    ],
)
def test_a_mistake_is_one_line_and_the_chat_goes_on(ivl_command, fake, typing, line, told):
    typing(line, "still there?")
    shown = ivl_command("chat")
    assert shown.code == 0
    (error,) = [each for each in shown.err.splitlines() if each.startswith("error: ")]
    assert told in error
    assert "one two three" in shown.out


def test_help_names_every_command(ivl_command, fake, typing):
    typing("/help", "/exit", "never asked")
    shown = ivl_command("chat")
    assert all(name in shown.err for name in ("/image PATH", "/clear", "/save FILE", "/help", "/exit"))
    assert "/exit        leave" in shown.err, "the texts stand in a column"
    assert fake.asked == []


@pytest.mark.usefixtures("config")
def test_a_question_that_failed_keeps_its_picture(ivl_command, fake, typing, picture):
    fake.fault = ContextLengthError("the prompt is too long")
    typing(f"/image {picture}", "first", KeyboardInterrupt, "second")
    shown = ivl_command("chat")
    assert shown.err.count("error: the prompt is too long") == 2
    assert [len(prompt[1]) for prompt, _ in fake.asked] == [1, 1]


def test_a_model_cannot_steer_the_terminal(monkeypatch, capsys):
    from ivl.cli.terminal import write_answer

    monkeypatch.setattr("sys.stdout.isatty", lambda: True)
    write_answer("safe\x1b]0;title\x07 \x9b2J\ttext\n")
    assert capsys.readouterr().out == "safe]0;title 2J\ttext\n"
