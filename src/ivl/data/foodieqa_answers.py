"""FoodieQA's short choices as sentences that name the dish and answer the question.

In: a question, its right choice, the dish's name and what it is (a dish, a fruit). Out: one or two sentences. Chinese
keeps its word order in a question, so the choice goes where the question word stands; English has a sentence for some
kinds of question. Where a question has another form, the dish is named and the answer follows.
"""

import re

_IN_THE_PICTURE = "(?:这[张幅个])?(?:图片|照片|图)(?:中|里|上)?(?:所示|所展示|展示|显示)?的?(?:这[道个种款])?"
_FOOD = "(?:食物或饮料|饮料|食物|食品|菜品|菜肴|美食|小吃|点心|主食|菜(?!系))"
# "the food in the picture", as the questions say it.
_THIS_DISH = re.compile(f"(?:{_IN_THE_PICTURE}|这[道个种款]){_FOOD}")
_NOUN = (
    "(?:选项|菜系|地区|地方|省份|省|城市|食材|原料|配料|材料|形状|颜色|烹饪方法|烹饪方式|烹饪技法|做法|方式|方法|"
    "味道|时候|时间|场合)"
)
# A question word with the noun that it asks for, or "which of the following", or "how is it eaten".
_ASKED = re.compile(
    f"(?:(?:以下|下列|下面)(?:选项)?[中里]?的?)?哪(?:里|儿|一?[个种项类些道]?{_NOUN}?)|(?<!为)什么{_NOUN}?"
    "|(?:怎么|如何|怎样)(?:享用|食用|吃|喝)"
)
NAME = "name"
"""The question_type of questions that ask for the dish's name."""
_BY_KIND = {
    "kind": "is",
    "origin": "comes from",
    "main_ingredient": "is mainly made of",
    "serving": "is usually enjoyed",
    "occasion": "is most often enjoyed",
}
_LAST_MARKS = "？?。.！! "
_TURNED = {"not", "except", "least", "unlikely", "never"}


def full_answer(question: str, answer: str, dish: str, kind: str, language: str, word: str = "") -> str:
    """The sentence that answers `question` with `answer` and names the dish.

    kind: the release's question_type; "name" where the answer is the name itself. word: what the dish is called
    besides its name; empty: a dish.
    """
    answer, named = _bare(answer), named_answer(dish, language, word)
    if kind == NAME:
        return named
    if language == "en":
        return f"{named} {_english(question, answer, kind)}."
    return f"{named.removesuffix('。')}{_chinese(question, answer)}。"


def named_answer(dish: str, language: str, word: str = "") -> str:
    """The sentence that says what is in the picture."""
    if language == "en":
        return f"The {word or 'dish'} in the picture is {dish.strip()}."
    return f"图中的{word or '菜'}是{dish.strip()}。"


def text_answer(question: str, answer: str, kind: str, language: str) -> str:
    """The sentence that answers a question that itself names the dish."""
    if language == "en":
        return f"{_english(question, _bare(answer), kind)}."
    return _chinese(question, _bare(answer)).lstrip("，。") + "。"


def picture_answer(letter: str, name: str, language: str) -> str:
    """The sentence that points at one of several pictures, and says what is on it where the name is known."""
    if language == "en":
        return f"Option ({letter}) shows {name.strip()}." if name else f"The answer is Option ({letter})."
    return f"图{letter}是{name.strip()}。" if name else f"答案是图{letter}。"


def _chinese(question: str, answer: str) -> str:
    """The question as a statement about "it" where it has exactly one question word."""
    plain = question.strip().rstrip(_LAST_MARKS).removesuffix("呢")
    asked = list(_ASKED.finditer(plain))
    if len(asked) != 1 or plain.endswith("吗") or "为什么" in plain or re.search("[，,。；;：:？?]", plain):
        return f"。这个问题的答案是：{answer}"
    statement = plain[: asked[0].start()] + answer + plain[asked[0].end() :]
    return "，" + _THIS_DISH.sub("它", statement, count=1)


def _bare(answer: str) -> str:
    return answer.strip().rstrip(_LAST_MARKS)


def _english(question: str, answer: str, kind: str) -> str:
    """A statement about "it", by what the question is about."""
    words = set(re.findall(r"[a-z]+", f"{question} {kind}".lower()))
    small = answer[:1].lower() + answer[1:]
    if words & _TURNED:
        return f"The answer to the question is: {answer}"
    if kind in _BY_KIND:
        return f"It {_BY_KIND[kind]} {answer}"
    if words & {"cuisine", "cuisines"}:
        return f"It belongs to {answer}" + ("" if "cuisine" in answer.lower() else " cuisine")
    if words & {"region", "regions", "province", "area"}:
        return f"It is typical of {answer}"
    if words & {"flavor", "flavour", "flavors", "taste"}:
        return f"It tastes {small}"
    if words & {"ingredient", "ingredients"}:
        return f"The ingredient asked for is {small}"
    return f"The answer to the question is: {answer}"
