"""A card's pictures: small, drawn anew, of sets that allow it, and not of successes only."""

import io
import json
import re
from pathlib import Path

import pytest
from PIL import Image

from card_folders import model_folder, report_folder, run_folder
from ivl.errors import InputError
from ivl.export.card import write_card
from ivl.export.card_samples import MOST_BYTES, samples_of_report, small_jpeg

NAME = "me/InternVL2-2B-food"


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A model, its run and its report."""
    model = model_folder(tmp_path / "model")
    return model, run_folder(tmp_path / "run", path="/srv/InternVL2-2B"), report_folder(tmp_path / "eval", model)


def test_pictures_are_small_and_may_be_passed_on(whole: tuple[Path, Path, Path]) -> None:
    model, run, report = whole
    text = write_card(model, name=NAME, run=run, report=report).read_text("utf-8")
    shown = re.findall(r"\]\((card/sample-\d\.jpg)\)", text)
    assert len(shown) == 12  # six, in two languages
    assert all((model / name).stat().st_size <= MOST_BYTES for name in shown)
    assert "No pictures of The set foodieqa-sivqa-zh: their terms" in text
    samples, _ = samples_of_report(report)
    assert {each.set_title for each in samples} == {"The set boxes"}
    assert {"gained", "lost", "wrong", "right"} <= {each.verdict for each in samples}  # no successes only
    assert samples[0].question == "Where is the disc?"
    assert [name for name, _ in samples[0].answers] == ["nano", "nano+food"]


def test_a_picture_is_drawn_anew(tmp_path: Path) -> None:
    drawn, exif = io.BytesIO(), Image.Exif()
    exif[0x9286], exif[0x0112] = "taken by annegret", 6
    Image.effect_noise((2000, 1000), 90).convert("RGB").save(drawn, "JPEG", quality=98, exif=exif)
    small = small_jpeg(drawn.getvalue())
    assert small is not None
    assert len(small) <= MOST_BYTES
    assert b"annegret" not in small
    with Image.open(io.BytesIO(small)) as image:
        assert image.height > image.width  # upright
        assert not image.getexif()
    assert small_jpeg(b"no picture") is None
    assert small_jpeg(drawn.getvalue()[:500]) is None


def test_chosen_pictures_take_the_place_of_the_reports(whole: tuple[Path, Path, Path], tmp_path: Path) -> None:
    model, run, report = whole
    chosen = tmp_path / "chosen"
    chosen.mkdir()
    Image.new("RGB", (90, 60), "red").save(chosen / "a.png")
    rows = [{"picture": "a.png", "question": "What colour?", "answer": "red <b>"}]
    (chosen / "questions.json").write_text(json.dumps(rows))
    text = write_card(model, name=NAME, run=run, report=report, pictures=chosen).read_text("utf-8")
    assert "Chosen by hand" in text
    assert "- Answer: red \\<b\\>" in text
    assert len(list((model / "card").iterdir())) == 1
    for wrong, message in (
        ("[{}]", "entry 0"),
        ("{}", "JSON list"),
        ('[{"picture":"../x","question":"q","answer":"a"}]', "refused"),
    ):
        (chosen / "questions.json").write_text(wrong)
        with pytest.raises(InputError, match=message):
            write_card(model, name=NAME, pictures=chosen)


def test_a_card_folder_that_leads_elsewhere_is_refused(whole: tuple[Path, Path, Path], tmp_path: Path) -> None:
    model, _, report = whole
    (tmp_path / "elsewhere").mkdir()
    (model / "card").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(InputError, match="is not a folder"):
        write_card(model, name=NAME, report=report)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_terms_and_choices_stand_beside_the_pictures(whole: tuple[Path, Path, Path]) -> None:
    model, _, report = whole
    page, terms = report / "report.html", "FoodieQA: for evaluation only, CC BY-NC-ND 4.0"
    assert terms in page.read_text("utf-8")
    page.write_text(page.read_text("utf-8").replace(terms, "mine is licensed CC BY 4.0 (see *NOTICE*)"), "utf-8")
    samples, withheld = samples_of_report(report)
    assert withheld == []
    first = next(each for each in samples if each.set_title == "The set foodieqa-sivqa-zh")
    assert re.fullmatch(r"这道菜属于哪个菜系？ \(\d+\) \(A 川菜; B 粤菜; C 鲁菜; D 苏菜\)", first.question)
    assert re.fullmatch(r"[A-D] ..", first.expected)
    text = write_card(model, name=NAME, report=report).read_text("utf-8")
    assert "Terms of the pictures: mine is licensed CC BY 4.0 (see \\*NOTICE\\*)." in text


def test_a_page_that_a_stranger_wrote_does_no_harm(whole: tuple[Path, Path, Path]) -> None:
    model, _, report = whole
    card = '<article><img src="data:image/png;base64,{}"><p class="question">{}</p><dl><dt>a</dt><dd>b</dl></article>'
    bad = ["AAAA", "!!!", "", "iVBORw0KGgo="]
    cards = [card.format(each, "<script>alert(1)</script>![a](http://x)|") for each in bad]
    away = '<article><img src="file:///etc/passwd"><p class="question">q</p></article>'
    (report / "report.html").write_text("<section>" + "".join(cards) + away + "</dl></p>" * 50, "utf-8")
    assert samples_of_report(report) == ([], [])
    assert "### Examples" not in write_card(model, name=NAME, report=report).read_text("utf-8")
    (report / "report.html").unlink()
    assert samples_of_report(report) == ([], [])
