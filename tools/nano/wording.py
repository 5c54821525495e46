"""The words of questions, in English and Chinese, from wording.toml.

{n} stands for a noun, {s} for its plural, {a} for it with its article, {m} for a second noun, {p} for a place or a
number, {q} for a question and {c} for its choices. The tokenizer learns from these texts: changing one changes the
token ids.
"""

import tomllib
from pathlib import Path

_TABLES = tomllib.loads(Path(__file__).with_suffix(".toml").read_text(encoding="utf-8"))
Wordings = dict[str, list[str]]
"""By language."""

COLOURS = {
    "white": "白色", "black": "黑色", "gray": "灰色", "red": "红色", "orange": "橙色", "yellow": "黄色",
    "green": "绿色", "blue": "蓝色", "purple": "紫色", "pink": "粉色", "brown": "棕色",
}  # fmt: skip
PLACES = {
    "top left": "左上", "top": "上方", "top right": "右上", "left": "左边", "center": "中间", "right": "右边",
    "bottom left": "左下", "bottom": "下方", "bottom right": "右下",
}  # fmt: skip
SIDES = {"to the left of": "左边", "to the right of": "右边", "above": "上方", "below": "下方"}
CHOICE_MARKS = ("（{l}) {t}", "{l}. {t}", "({l}) {t}", "（{l}) {t}")

QUESTIONS: dict[str, Wordings] = _TABLES["questions"]
BRIEFLY: Wordings = _TABLES["briefly"]
"""Added to a question about a name: the answer is the bare name then."""
CHOOSE: Wordings = _TABLES["choose"]
SAME: Wordings = _TABLES["same"]
SAME_FOOD: Wordings = _TABLES["same_food"]
"""Of two foods it can be asked so as well."""
MATCH: Wordings = _TABLES["match"]
WHICH: Wordings = _TABLES["which"]
IN_PICTURE: Wordings = _TABLES["in_picture"]
ECHO: Wordings = _TABLES["echo"]
PICK: Wordings = _TABLES["pick"]
GREETING: dict[str, list[list[str]]] = _TABLES["greeting"]
