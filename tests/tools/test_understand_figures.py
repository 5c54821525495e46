"""The documents that teach the model: figures and tables are those that the package makes, in both languages alike."""

import ast
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import pytest
from PIL import Image

from ivl.model import load_config
from ivl.model.family import FAMILY
from ivl.zoo import nano_folder
from test_docs import blocks, check_shell_line
from tools import understand_figures as made

DOCS = made.ROOT / "docs"
PAIRS = [(DOCS / f"{name}.md", DOCS / f"{name}.zh-CN.md") for name in ("understand", "outlook")]
PAGES = [page for pair in PAIRS for page in pair]
AGAIN = "run `python -m tools.understand_figures` and look at what it made"


def pictures(page: Path) -> list[str]:
    """The figures of a document, by their file names."""
    return re.findall(r"!\[[^\]]+\]\(images/understand/([\w.-]+)\)", page.read_text("utf-8"))


def test_all_figures_are_shown_and_small():
    shown = {name for page in PAGES for name in pictures(page)}
    assert shown == {path.name for path in made.FIGURES.iterdir()}
    assert sum(path.stat().st_size for path in made.FIGURES.iterdir()) <= 80 * 1024


def test_drawings_are_those_that_the_package_makes():
    figures = made.plain_figures()
    for name, data in figures.items():
        path = made.FIGURES / name
        if b"data:image" not in data and name.endswith(".svg"):  # how pixels are packed differs between libraries
            assert path.read_bytes() == data, f"{name} is an old one: {AGAIN}"
    assert set(figures) <= {path.name for path in made.FIGURES.iterdir()}


@pytest.mark.parametrize("path", sorted(made.FIGURES.glob("*.svg")), ids=lambda path: path.name)
def test_a_drawing_stands_by_itself(path):
    root = ET.fromstring(path.read_text("utf-8"))
    assert root.get("aria-label")
    width, height = float(root.get("width")), float(root.get("height"))
    for node in root.iter():
        assert not node.tag.endswith("script")
        assert not [name for name in node.attrib if name.startswith("on")]
        assert node.get("href", "#").startswith(("#", "data:image/webp"))
        if node.tag.endswith("}text"):
            assert 0 <= float(node.get("x")) <= width
            assert 0 <= float(node.get("y")) <= height


def test_photographs_can_be_read():
    for path in made.FIGURES.glob("*.webp"):
        with Image.open(path) as image:
            assert image.convert("RGB").getcolors(1 << 20)


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_table_has_the_models_numbers(language):
    text = made.DOCUMENTS[language].read_text("utf-8")
    assert made.put_block(text, "numbers", made.numbers_block(language)) == text, AGAIN
    own, published = load_config(nano_folder()), FAMILY["InternVL2-2B"]
    for config in (own, published):
        assert f"| {config.tokens_per_tile} |" in text
    assert "| 304,012,288 |" in text


def test_what_the_text_says_of_the_published_model_is_so():
    config = FAMILY["InternVL2-2B"]
    assert (config.vision.num_layers, config.vision.hidden_size, config.vision.patch_size) == (24, 1024, 14)
    assert (config.text.hidden_size, config.text.vocab_size, config.tokens_per_tile) == (2048, 92553, 256)
    walked = made.walk_picture(made.picture(), config, 12)
    assert (walked.cost.columns, walked.cost.rows, walked.cost.num_tokens) == (3, 2, 1792)
    assert len(walked.candidates) == 35


def test_python_in_the_text_prints_what_stands_behind_it(capsys):
    names: dict[str, object] = {"__name__": "understand"}
    for block in blocks(DOCS / "understand.md", "python"):
        exec(compile(block, "understand.md", "exec"), names)
        printed = capsys.readouterr().out.splitlines()
        assert printed == re.findall(r"^print\(.*\)  # (.*)$", block, re.MULTILINE)


@pytest.mark.parametrize("pair", PAIRS, ids=lambda pair: pair[0].stem)
def test_both_languages_have_the_same_structure_code_and_links(pair):
    def structure(page: Path) -> list[str]:
        lines = re.sub(r"^```(\w+)\n.*?^```$", r"```\1", page.read_text("utf-8"), flags=re.DOTALL | re.MULTILINE)
        return re.findall(r"(?:^(?:#+ |```\w+|- |\||!\[|<!-- [\w: ]+ -->)|(?<=\n\n)\*+)", lines, re.MULTILINE)

    def without_comments(page: Path, language: str) -> list[str]:
        return [re.sub(r" *#.*", "", text) for text in blocks(page, language)]

    english, chinese = pair
    assert structure(english) == structure(chinese)
    for language in ("sh", "text"):
        assert without_comments(english, language) == without_comments(chinese, language)
    trees = [[ast.dump(ast.parse(text)) for text in blocks(page, "python")] for page in pair]
    assert trees[0] == trees[1]
    own = [
        re.findall(r"\]\((?!images)([^)\s]+)\)", page.read_text("utf-8").replace(".zh-CN.md", ".md")) for page in pair
    ]
    assert sorted(own[0]) == sorted(own[1])
    assert [re.sub("-(en|zh)", "", name) for name in pictures(english)] == [
        re.sub("-(en|zh)", "", name) for name in pictures(chinese)
    ]
    for line in (line for block in blocks(english, "sh") for line in block.splitlines()):
        check_shell_line(line)


@pytest.mark.parametrize(
    ("page", "mark"), [("outlook.md", "Not built yet in ivl."), ("outlook.zh-CN.md", "ivl 尚未实现。")]
)
def test_what_is_not_built_is_marked(page, mark):
    sections = re.split(r"^## ", (DOCS / page).read_text("utf-8"), flags=re.MULTILINE)[1:-1]
    assert len(sections) == 2
    for text in sections:
        assert f"**{mark}**" in text
        assert "images/understand/" in text
    for name in pictures(DOCS / page):
        assert mark.rstrip(".。").lower() in (made.FIGURES / name).read_text("utf-8").lower()


def test_a_document_without_its_marks_is_an_error():
    assert made.put_block("a\n<!-- made: x -->\nold\n<!-- end -->\nb", "x", "new") == (
        "a\n<!-- made: x -->\nnew\n<!-- end -->\nb"
    )
    with pytest.raises(AssertionError, match="0 times"):
        made.put_block("nothing", "x", "new")


@pytest.mark.slow
@pytest.mark.parametrize("language", ["en", "zh"])
def test_what_the_packages_model_said_is_what_it_says(language):
    with made.pipeline() as pipe:
        explained = made.explain_prompt(pipe, made.QUESTIONS[language], [made.picture()])
    text = made.DOCUMENTS[language].read_text("utf-8")
    assert made.put_block(text, "gaze", made.gaze_block(explained, language)) == text, AGAIN
    figures = made.asked_figures({language: explained})
    assert figures[f"prompt-{language}.svg"] == (made.FIGURES / f"prompt-{language}.svg").read_bytes(), AGAIN
