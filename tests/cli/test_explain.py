"""`ivl explain`: the answer on stdout, the page in its file, and mistakes told before any work."""

import pytest
from PIL import Image

from ivl.cli.explain_output import name_page, shown_name, write_page
from ivl.cli.main import COMMANDS
from ivl.errors import InputError


@pytest.fixture
def picture(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (168, 112), "green").save("dinner.png")
    return "dinner.png"


@pytest.fixture
def model(tiny_folder):
    return tiny_folder("tiny-internlm2")


def test_a_page_is_written_and_the_answer_printed(ivl_command, picture, model, tmp_path):
    shown = ivl_command("explain", picture, "What <b>is</b> it?", "-m", model, "--max-new-tokens", 6)
    assert shown.code == 0, shown.err
    path = tmp_path / "dinner_explained.html"
    page = path.read_text("utf-8")
    assert f"page: dinner_explained.html ({path.stat().st_size / 1024:,.0f} KiB)" in shown.err
    assert shown.out.endswith("\n")
    assert "What &lt;b&gt;is&lt;/b&gt; it?" in page
    assert '<html lang="en">' in page
    assert "<dd>tiny-internlm2</dd>" in page
    assert str(tmp_path) not in page
    assert [each.name for each in tmp_path.iterdir() if each.suffix not in {".png", ".html"}] == []


def test_a_chinese_question_two_pictures_and_fewer_tiles(ivl_command, picture, model, tmp_path):
    given = ["--also", picture, "--max-tiles", 1, "-o", "seite.html", "-m", model, "--max-new-tokens", 4]
    shown = ivl_command("explain", picture, "图里有什么？", *given)
    assert shown.code == 0, shown.err
    page = (tmp_path / "seite.html").read_text("utf-8")
    assert '<html lang="zh-CN">' in page
    assert 'id="picture-2"' in page
    assert "1 x 1 = 1 块" in page


def test_a_page_that_is_there_stays_there(ivl_command, picture, model, tmp_path):
    (tmp_path / "page.html").write_text("mine")
    shown = ivl_command("explain", picture, "-o", "page.html", "-m", "no/such/model")
    assert shown.code == 1
    assert shown.err == "error: -o 'page.html' is there already: give --force to replace it, or another name\n"
    assert (tmp_path / "page.html").read_text() == "mine"
    shown = ivl_command("explain", picture, "-o", "page.html", "--force", "-m", model, "--max-new-tokens", 2)
    assert shown.code == 0, shown.err
    assert "What is in the picture?" in (tmp_path / "page.html").read_text("utf-8")


@pytest.mark.parametrize(
    ("args", "code", "named"),
    [
        (["none.png"], 1, "none.png"),
        (["dinner.png", "-o", "no/page.html"], 1, "no' is not a folder"),
        (["dinner.png", "-o", "."], 1, "is a folder"),
        (["dinner.png", "-m", "./no/model"], 1, "no/model"),
        (["dinner.png", "-a", "no_adapter"], 1, "no_adapter"),
        (["dinner.png", "one <image> <image>"], 1, "<image>"),
        (["dinner.png", "--language", "de"], 2, "de"),
        (["dinner.png", "--max-tiles", 0], 1, "max_tiles"),
        ([], 2, "IMAGE"),
    ],
)
def test_mistakes_are_one_line(ivl_command, picture, model, tmp_path, args, code, named):
    given = [] if "-m" in args else ["-m", model]
    shown = ivl_command("explain", *args, *given)
    assert shown.code == code, shown.err
    assert shown.err.count("\n") == 1
    assert named in shown.err
    assert list(tmp_path.glob("*.html")) == []


def test_the_page_is_whole_or_not_there(tmp_path, monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("ivl.cli.explain_output.os.replace", full)
    with pytest.raises(InputError, match="cannot be written: No space left"):
        write_page(tmp_path / "page.html", "text", replace=False)
    assert list(tmp_path.iterdir()) == []


def test_a_browser_that_does_not_start_is_told(ivl_command, picture, model, monkeypatch):
    opened = []
    monkeypatch.setattr("click.launch", lambda url: opened.append(url) or 1)
    shown = ivl_command("explain", picture, "-m", model, "--max-new-tokens", 2, "--open")
    assert shown.code == 0
    assert "no browser could be started: open dinner_explained.html by hand" in shown.err
    assert opened[0].endswith("/dinner_explained.html")


def test_a_name_that_is_no_text_does_no_harm(tmp_path):
    assert write_page(tmp_path / "page.html", "a\udcff", replace=False) == 2


@pytest.mark.parametrize(
    ("image", "name"),
    [
        ("a/b/dinner.jpg", "dinner_explained.html"),
        ("https://x.org/a/dinner.webp?size=/9", "dinner_explained.html"),
        ("data:image/png;base64,AAAA/BBBB", "picture_explained.html"),
        ("https://x.org/", "picture_explained.html"),
    ],
)
def test_a_page_is_called_after_its_picture(image, name):
    assert str(name_page(image)) == name


def test_a_folder_is_called_by_its_last_name_only(tmp_path):
    assert shown_name(str(tmp_path)) == tmp_path.name
    assert shown_name("OpenGVLab/InternVL2-2B") == "OpenGVLab/InternVL2-2B"
    assert shown_name(None) is None


def test_it_is_a_command(ivl_command):
    assert "explain" in COMMANDS
    assert "ivl explain dinner.jpg" in ivl_command("explain", "--help").out
