"""Every text in both languages; every text that is asked for is there."""

import re
from pathlib import Path

import ivl.ui
from ivl.ui.words import Words

ROOM = Path(ivl.ui.__file__).parent
CHINESE = re.compile(r"[\u4e00-\u9fff]")


# Not a mapping: keys() is all there is.
KEYS = Words().keys()


def test_every_text_has_both_languages_and_the_same_places():
    words = Words()
    for key in KEYS:
        english, chinese = words.text(key, "en"), words.text(key, "zh")
        assert english
        assert chinese
        assert sorted(re.findall(r"\{\w+\}", english)) == sorted(re.findall(r"\{\w+\}", chinese)), key
        assert not CHINESE.search(english), key


def test_most_chinese_is_chinese():
    words = Words()
    plain = [key for key in KEYS if not CHINESE.search(words.text(key, "zh"))]
    assert set(plain) <= {"page.top_p"}, plain


def test_an_unknown_language_is_english():
    assert Words().text("view.you", "xx") == "You"
    assert Words().section("view", "xx")["code"] == "en"


def test_what_scripts_ask_for_is_in_their_section():
    words = Words()
    shared = {"camera", "cancel", "take"}
    for script, section in (
        ("header", "page"),
        ("view", "view"),
        ("composer", "composer"),
        ("foods", "foods"),
        ("picture_field", "picture"),
    ):
        asked = set(re.findall(r"words\.(\w+)", (ROOM / "static" / f"{script}.js").read_text("utf-8")))
        assert asked <= set(words.section(section)), script
        assert script not in ("composer", "picture_field") or shared <= set(words.section(section))


def test_scripts_and_styles_name_no_other_place():
    for file in (*ROOM.rglob("*.js"), *ROOM.rglob("*.css")):
        addresses = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", file.read_text("utf-8")))
        assert addresses <= {"http://www.w3.org"}, file


def test_scripts_make_no_markup_of_texts():
    for file in ROOM.rglob("*.js"):
        text = file.read_text("utf-8")
        assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|\beval\(|new Function", text), (
            file
        )
