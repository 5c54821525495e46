"""`ivl demo` against the model in the package: real answers, real drawings, and the way on."""

from pathlib import Path

import pytest
from PIL import Image

from ivl.zoo import sample_pictures, sample_questions


@pytest.mark.slow
def test_every_question_is_asked_and_every_grid_drawn(ivl_command, tmp_path: Path):
    shown = ivl_command("demo", "--out", tmp_path / "drawings")
    assert shown.code == 0, shown.err
    for sample in sample_questions():
        # Of a box the test of the model asks that it is near the true one; here any will do.
        answer = "" if "<box>" in sample.answer else f"{sample.answer}\n"
        assert f"  Q     {sample.question}\n  A     {answer}" in shown.out
    for picture in sample_pictures():
        with Image.open(tmp_path / "drawings" / f"{picture.stem}-grid.png") as drawing:
            assert drawing.format == "PNG"
    assert "ivl chat" in shown.out


def test_a_folder_that_cannot_be_made_is_one_line(ivl_command, tmp_path: Path):
    (tmp_path / "file").write_text("in the way")
    shown = ivl_command("demo", "--out", tmp_path / "file" / "drawings")
    assert shown.code == 1
    assert shown.err.startswith("error: cannot make the folder")
    assert shown.err.count("\n") == 1
