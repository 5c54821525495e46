"""FoodieQA's prompts: four for each task and language, word for word as its authors asked them.

In: an item, its task and language, and a prompt's number. Out: messages; a prompt whose answer is begun ends with an
assistant's message that holds the beginning. Knows no files.

Source: https://github.com/lyan62/FoodieQA, `model-eval/scripts`: `sivqa_utils.py` and `textqa_utils.py`
(`format_text_prompt`), and for several pictures `eval_mivqa_en.py` (`get_prompt_phi`, the only one of the authors'
scripts that has all four in both languages as one text). All are theirs, odd places included ("If had to", a wide
comma in English); two of the Chinese text prompts begin the answer within the question, as theirs do.
"""

from dataclasses import dataclass

from ivl.data.foodieqa import Language, Task
from ivl.evals.choices import IMAGE_MARK
from ivl.evals.item import Asked, Item
from ivl.types import ImagePart, Message, TextPart

NUM_PROMPTS = 4


@dataclass(frozen=True)
class _Prompt:
    """What is asked, and how the answer begins; `above`: the question stands below the pictures."""

    asked: str
    begun: str = ""
    above: bool | None = None


_FOUR_ZH = "<image>图A\n<image>图B\n<image>图C\n<image>图D\n"
_FOUR_EN = "<image>Option (A)\n<image>Option (B)\n<image>Option (C)\n<image>Option (D)\n"
_FOUR = "<image>\n<image>\n<image>\n<image>\n"
_BEGUN_EN = "If had to select one of the options, my answer would be ("
_BEGUN_IF_I_EN = "If I had to select one of the options, my answer would be ("

_SINGLE_ZH = (
    _Prompt("<image>\n{q} 选项有: {choices}, 请根据上图从所提供的选项中选择一个正确答案，为（"),
    _Prompt(
        "<image>\n你是一个人工智能助手，请你看图回答以下选择题：{q} 选项有: {choices}, 请从中选择一个正确答案，为（"
    ),
    _Prompt(
        "<image>\n你是一个智能助手，现在请看图回答以下选择题：{q} 选项有: {choices}",
        "我从所提供的选项中选择一个正确答案，为（",
    ),
    _Prompt("<image>\n{q} 这是选项: {choices} 请根据上图从所提供的选项中选择一个正确答案。", "我选择（"),
)
_SINGLE_EN = (
    _Prompt("<image>\n{q} Here are the options: {choices} " + _BEGUN_EN),
    _Prompt(
        "<image>\nYou are an AI assistant. Please answer the following multiple choice question based on the image: "
        "{q} Here are the options: {choices} Please select one of the options as your answer ("
    ),
    _Prompt("<image>\n{q} Here are the options: {choices}", _BEGUN_EN),
    _Prompt(
        "<image>\n{q} These are the options: {choices} Please select one of the options as your answer.",
        "I would select (",
    ),
)
_SEVERAL_ZH = (
    _Prompt(
        _FOUR + "根据以上四张图回答问题，他们分别为图A, 图B, 图C, 图D, 请从给定选项ABCD中选择一个最合适的答案。"
        "问题：{q}, 答案为：图",
        above=True,
    ),
    _Prompt(
        _FOUR_ZH + "根据以上四张图回答问题, 请从给定选项ABCD中选择一个最合适的答案。问题：{q}, 答案为：图",
        above=True,
    ),
    _Prompt(
        "根据以下四张图回答问题,请从给定选项ABCD中选择一个最合适的答案。" + _FOUR_ZH + "问题：{q}, 答案为：图",
        above=True,
    ),
    _Prompt("问题{q}，选项有: " + _FOUR_ZH, "如果从给定选项ABCD中选择一个最合适的答案， 答案为：图", above=False),
)
_SEVERAL_EN = (
    _Prompt(
        _FOUR + "Answer the following question according to the provided four images which corresponds to Option (A), "
        "Option (B), Option (C), Option (D). Choose one best answer from the given options. Question: {q}, your "
        "answer is: Option ("
    ),
    _Prompt(
        "Answer the following question according to the provided four images, which corresponds to Option (A), "
        "Option (B), Option (C), Option (D). Choose one best answer from the given options. "
        + _FOUR_EN
        + "Question: {q}, your answer is: Option ("
    ),
    _Prompt(
        "Answer the following question according to the provided four images, and choose one best answer from the "
        "given options. " + _FOUR_EN + "Question: {q}, your answer is: Option ("
    ),
    _Prompt(
        "Question{q} The options are: Option (A)<image>\nOption (B)<image>\nOption (C)<image>\nOption (D)<image>\n",
        "If I have to choose one best answer from the given options， the answer is：Option (",
    ),
)
_TEXT_ZH = (
    _Prompt("{q} 选项有: {choices}, 请根据从所提供的选项中选择一个正确答案，为（"),
    _Prompt("你是一个智能助手，请你回答以下选择题：{q} 选项有: {choices}, 请从中选择一个正确答案，为（"),
    _Prompt(
        "你是一个智能助手，现在回答以下选择题：{q} 选项有: {choices}\n"
        "智能助手：我从所提供的选项中选择一个正确答案，为（"
    ),
    _Prompt(
        "{q} 这是选项: {choices} 请从所提供的选项中选择一个正确答案。请保证你的答案清晰简洁并输出字母选项。\n"
        "智能助手：我选择（"
    ),
)
_TEXT_EN = (
    _Prompt("{q} Here are the options: {choices} " + _BEGUN_IF_I_EN),
    _Prompt(
        "You are an AI assistant. Please answer the following multiple choice question: {q} Here are the options: "
        "{choices} Please select one of the options as your answer ("
    ),
    _Prompt("{q} Here are the options: {choices}", _BEGUN_IF_I_EN),
    _Prompt(
        "{q} These are the options: {choices} Please select one of the options as your answer.", "I would select ("
    ),
)
_PROMPTS: dict[tuple[Task, Language], tuple[_Prompt, ...]] = {
    ("sivqa", "zh"): _SINGLE_ZH,
    ("sivqa", "en"): _SINGLE_EN,
    ("mivqa", "zh"): _SEVERAL_ZH,
    ("mivqa", "en"): _SEVERAL_EN,
    ("textqa", "zh"): _TEXT_ZH,
    ("textqa", "en"): _TEXT_EN,
}


def picture_names(language: Language) -> tuple[str, ...]:
    """What the four pictures of a question are called in its prompts."""
    return tuple(f"图{letter}" if language == "zh" else f"Option ({letter})" for letter in "ABCD")


def ask(task: Task, language: Language, item: Item, prompt: int) -> Asked:
    """The item in the words of prompt 0 to 3.

    The item's question must not hold `<image>`, and its pictures are as many as the task has: 1, 4 or none.
    """
    chosen = _PROMPTS[task, language][prompt]
    marks = chosen.asked.count(IMAGE_MARK)
    assert marks == len(item.images), f"{item.where}: {len(item.images)} pictures for the {marks} places of {task}"
    question = item.question
    if chosen.above is not None:
        # The authors turn "the following" into "the above" where the question comes after the pictures.
        question = question.replace("以下", "以上") if chosen.above else question.replace("以上", "以下")
    text = chosen.asked.format(q=question, choices=_listed(item))
    images = tuple(ImagePart(source=image) for image in item.images)
    messages = [Message(role="user", parts=(*images, TextPart(text=text)))]
    if chosen.begun:
        messages.append(Message(role="assistant", parts=(TextPart(text=chosen.begun),)))
    return Asked(messages=tuple(messages))


def _listed(item: Item) -> str:
    """The choices, one a line, the last with its line break too."""
    return "".join(f"（{letter}) {choice}\n" for letter, choice in zip(item.letters, item.choices, strict=True))
