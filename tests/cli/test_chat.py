"""`ivl chat` with one question: what goes to stdout, what the model is asked, what is refused."""

import io
import sys

import pytest
from PIL import Image

from ivl.types import EngineConfig, GenerationConfig


@pytest.fixture
def pictures(tmp_path):
    """Two pictures of one colour each."""
    paths = [tmp_path / "red.png", tmp_path / "blue.png"]
    Image.new("RGB", (60, 30), "red").save(paths[0])
    Image.new("RGB", (30, 60), "blue").save(paths[1])
    return paths


def test_the_answer_alone_is_on_stdout(ivl_command, fake):
    shown = ivl_command("chat", "-p", "count")
    assert (shown.code, shown.out, shown.err) == (0, "one two three four five\n", "")
    assert fake.asked[0][0] == "count"
    assert fake.closed


def test_pictures_keep_their_order(ivl_command, fake, pictures):
    ivl_command("chat", *pictures, "-p", "what differs?")
    text, images = fake.asked[0][0]
    assert text == "what differs?"
    assert [image.getpixel((0, 0)) for image in images] == [(255, 0, 0), (0, 0, 255)]


def test_settings_reach_the_model(ivl_command, fake):
    ivl_command(
        "chat", "-p", "x", "-m", "some/folder", "--max-new-tokens", 9, "--temperature", 0.5, "--top-p", 0.9,
        "--top-k", 3, "--min-p", 0.1, "--repetition-penalty", 1.1, "--seed", 7, "--stop", "a", "--stop", "b",
        "--max-tiles", 4, "--device", "cpu", "--dtype", "bfloat16", "--session-len", 99, "--as-stored",
        "-a", "an/adapter",
    )  # fmt: skip
    assert fake.asked[0][1] == GenerationConfig(
        max_new_tokens=9,
        temperature=0.5,
        top_p=0.9,
        top_k=3,
        min_p=0.1,
        repetition_penalty=1.1,
        random_seed=7,
        stop_words=("a", "b"),
    )
    engine_config = EngineConfig(device="cpu", dtype="bfloat16", session_len=99)
    assert fake.settings == {
        "model": "some/folder",
        "adapter": "an/adapter",
        "engine_config": engine_config,
        "as_viewed": False,
        "max_tiles": 4,
    }


def test_settings_that_are_not_given_stay_as_they_are(ivl_command, fake):
    ivl_command("chat", "-p", "x")
    assert fake.asked[0][1] == GenerationConfig()
    assert fake.settings == {
        "model": None,
        "adapter": None,
        "engine_config": EngineConfig(),
        "as_viewed": True,
        "max_tiles": None,
    }


def test_the_question_may_come_from_a_pipe(ivl_command, fake, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("  what is it?\n"))
    assert ivl_command("chat").out == "one two three four five\n"
    assert fake.asked[0][0] == "what is it?"


def test_an_answer_that_was_cut_is_told_on_stderr(ivl_command, fake):
    shown = ivl_command("chat", "-p", "count", "--max-new-tokens", 2)
    assert (shown.code, shown.out) == (0, "one two \n")
    assert "cut after 2 tokens" in shown.err


@pytest.mark.parametrize("stdin", ["", " \n"])
def test_no_question_is_a_wrong_command_line(ivl_command, fake, monkeypatch, stdin):
    monkeypatch.setattr(sys, "stdin", io.StringIO(stdin))
    shown = ivl_command("chat")
    assert (shown.code, shown.out) == (2, "")
    assert "there is no question" in shown.err
    assert fake.settings is None, "nothing was loaded"


def test_an_endless_question_is_refused(ivl_command, fake, monkeypatch):
    monkeypatch.setattr(sys, "stdin", io.StringIO("x" * 1_000_001))
    shown = ivl_command("chat")
    assert shown.code == 1
    assert "longer than 1,000,000 characters" in shown.err


def test_a_bad_setting_is_told_before_the_model_is_loaded(ivl_command, fake):
    shown = ivl_command("chat", "-p", "x", "--top-p", "2")
    assert shown.code == 1
    assert shown.err == "error: top_p=2.0 is not allowed: a number above 0, at most 1\n"
    assert fake.settings is None


def test_a_missing_picture_is_told_before_the_model_is_loaded(ivl_command, fake, tmp_path):
    shown = ivl_command("chat", tmp_path / "none.jpg", "-p", "x")
    assert shown.code == 1
    assert shown.err.startswith("error: ")
    assert "none.jpg" in shown.err
    assert fake.settings is None
