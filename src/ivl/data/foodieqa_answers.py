"""FoodieQA's short choices as sentences that name the dish and answer the question.

In: a question, its right choice, the dish's name. Out: one or two sentences. Chinese keeps its word order in a
question, so the choice goes where the question word stands; English has a sentence for some kinds of question. Where
a question has another form, the dish is named and the answer follows.
"""

import re

_IN_THE_PICTURE = "(?:这[张幅个])?(?:图片|照片|图)(?:中|里|上)?(?:所示|所展示|展示|显示)?的?(?:这[道个种款])?"
_FOOD = "(?:食物|食品|菜品|菜肴|美食|小吃|点心|主食|菜(?!系))"
# "the food in the picture", as the questions say it.
_THIS_DISH = re.compile(f"(?:{_IN_THE_PICTURE}|这[道个种款]){_FOOD}")
_NOUN = "(?:选项|菜系|地区|地方|省份|省|城市|食材|原料|配料|材料|形状|颜色|烹饪方法|烹饪方式|烹饪技法|做法|方式|方法)"
# A question word with the noun that it asks for, or "which of the following".
_ASKED = re.compile(
    f"(?:(?:以下|下列|下面)(?:选项)?[中里]?的?)?哪(?:里|儿|一?[个种项类些道]?{_NOUN}?)|(?<!为)什么{_NOUN}?"
)
_LAST_MARKS = "？?。.！! "
_TURNED = {"not", "except", "least", "unlikely", "never"}


def full_answer(question: str, answer: str, dish: str, kind: str, language: str) -> str:
    """The sentence that answers `question` with `answer` and names the dish; kind: the release's question_type."""
    answer, dish = answer.strip().rstrip(_LAST_MARKS), dish.strip()
    if language == "en":
        return f"The dish in the picture is {dish}. {_english(question, answer, kind)}."
    return f"图中的菜是{dish}{_chinese(question, answer)}。"


def _chinese(question: str, answer: str) -> str:
    """The question as a statement about "it" where it has exactly one question word."""
    plain = question.strip().rstrip(_LAST_MARKS).removesuffix("呢")
    asked = list(_ASKED.finditer(plain))
    if len(asked) != 1 or plain.endswith("吗") or "为什么" in plain or re.search("[，,。；;：:？?]", plain):
        return f"。这个问题的答案是：{answer}"
    statement = plain[: asked[0].start()] + answer + plain[asked[0].end() :]
    return "，" + _THIS_DISH.sub("它", statement, count=1)


def _english(question: str, answer: str, kind: str) -> str:
    words = set(re.findall(r"[a-z]+", f"{question} {kind}".lower()))
    small = answer[:1].lower() + answer[1:]
    if words & _TURNED:
        return f"The answer to the question is: {answer}"
    if words & {"cuisine", "cuisines"}:
        return f"It belongs to {answer}" + ("" if "cuisine" in answer.lower() else " cuisine")
    if words & {"region", "regions", "province", "area"}:
        return f"It is typical of {answer}"
    if words & {"flavor", "flavour", "flavors", "taste"}:
        return f"It tastes {small}"
    if words & {"ingredient", "ingredients"}:
        return f"The ingredient asked for is {small}"
    return f"The answer to the question is: {answer}"
