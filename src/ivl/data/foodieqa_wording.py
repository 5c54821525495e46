"""The words in which a model is asked FoodieQA's questions in training.

In: a question. Out: the text of a turn, with `<image>` where a picture stands. Which of several wordings a question
gets follows from its id, so that the same folder always gives the same records. Choices are rendered as the
authors' evaluation renders them, and half of the wordings are close to theirs; the others keep a model from
hanging on to one form.
"""

import hashlib
from collections.abc import Mapping, Sequence

from ivl.data.foodieqa import FoodieQuestion, Language

_ONE_PICTURE: Mapping[Language, tuple[str, ...]] = {
    "zh": (
        "<image>\n{q} 选项有: {choices}, 请根据上图从所提供的选项中选择一个正确答案，为（",
        "<image>\n你是一个人工智能助手，请你看图回答以下选择题：{q} 选项有: {choices}, 请从中选择一个正确答案，为（",
        "<image>\n{q} 这是选项: {choices} 请根据上图从所提供的选项中选择一个正确答案。",
        "<image>\n看图回答选择题：{q} 选项有: {choices}",
        "<image>\n{q}\n{choices}请回答正确选项的字母。",
        "{q}\n{choices}请看下图，选出正确的一项。\n<image>",
    ),
    "en": (
        "<image>\n{q} Here are the options: {choices} If I had to select one of the options, my answer would be (",
        "<image>\nPlease answer the following multiple choice question based on the image: {q} Here are the options: "
        "{choices} Please select one of the options as your answer (",
        "<image>\n{q} These are the options: {choices} Please select one of the options as your answer.",
        "<image>\n{q} Here are the options: {choices}",
        "<image>\n{q}\n{choices}Answer with the letter of the right option.",
        "{q}\n{choices}Look at the picture below and choose the right one.\n<image>",
    ),
}
_NO_PICTURE: Mapping[Language, tuple[str, ...]] = {
    "zh": (
        "{q} 选项有: {choices}, 请从所提供的选项中选择一个正确答案，为（",
        "你是一个智能助手，请你回答以下选择题：{q} 选项有: {choices}, 请从中选择一个正确答案，为（",
        "{q} 这是选项: {choices} 请从所提供的选项中选择一个正确答案。请保证你的答案清晰简洁并输出字母选项。",
        "回答选择题：{q} 选项有: {choices}",
        "{q}\n{choices}请回答正确选项的字母。",
    ),
    "en": (
        "{q} Here are the options: {choices} If I had to select one of the options, my answer would be (",
        "Please answer the following multiple choice question: {q} Here are the options: {choices} Please select one "
        "of the options as your answer (",
        "{q} These are the options: {choices} Please select one of the options as your answer.",
        "{q} Here are the options: {choices}",
        "{q}\n{choices}Answer with the letter of the right option.",
    ),
}
_FOUR_PICTURES: Mapping[Language, tuple[str, ...]] = {
    "zh": (
        "{pictures}根据以上四张图回答问题，他们分别为图A, 图B, 图C, 图D, 请从给定选项ABCD中选择一个最合适的答案。"
        "问题：{q}, 答案为：图",
        "{pictures}根据以上四张图回答问题, 请从给定选项ABCD中选择一个最合适的答案。问题：{q}, 答案为：图",
        "根据以下四张图回答问题,请从给定选项ABCD中选择一个最合适的答案。{pictures}问题：{q}",
        "{pictures}{q}请选择一张图。",
    ),
    "en": (
        "Answer the following question according to the provided four images, which corresponds to Option (A), "
        "Option (B), Option (C), Option (D). Choose one best answer from the given options. {pictures}Question: {q}, "
        "your answer is: Option (",
        "Answer the following question according to the provided four images, and choose one best answer from the "
        "given options. {pictures}Question: {q}, your answer is: Option (",
        "{pictures}Choose one best answer from the given options. Question: {q}",
        "{pictures}{q} Choose one picture.",
    ),
}
_NAMING: Mapping[Language, tuple[str, ...]] = {
    "zh": (
        "<image>\n这是什么菜？",
        "<image>\n这是什么食物？",
        "<image>\n图中的{word}叫什么名字？",
        "<image>\n图片里是什么{word}？",
        "请说出图片中食物的名称。\n<image>",
    ),
    "en": (
        "<image>\nWhat dish is this?",
        "<image>\nWhat food is this?",
        "<image>\nWhat is this {word} called?",
        "<image>\nWhat is in the picture?",
        "Name the food in the picture.\n<image>",
    ),
}
_PICTURE: Mapping[Language, str] = {"zh": "<image>图{letter}\n", "en": "<image>Option ({letter})\n"}
_DISH: Mapping[Language, str] = {"zh": "菜", "en": "dish"}


def rendered_choices(choices: Sequence[str]) -> str:
    """A line for each choice, `（A) ...`, as the authors of FoodieQA write them."""
    return "".join(f"（{letter}) {choice.strip()}\n" for letter, choice in zip("ABCDEFGHIJ", choices, strict=False))


def word_of(question: FoodieQuestion) -> str:
    """What a food is called besides its name: its own word, or a dish."""
    return question.word or _DISH[question.language]


def lettered_prompt(question: FoodieQuestion) -> str:
    """The question with its choices, or with its four pictures."""
    language = question.language
    if question.task == "mivqa":
        pictures = "".join(_PICTURE[language].format(letter=letter) for letter in question.choices)
        return _chosen(_FOUR_PICTURES[language], question).format(q=question.question, pictures=pictures)
    wordings = _ONE_PICTURE if question.task == "sivqa" else _NO_PICTURE
    return _chosen(wordings[language], question).format(q=question.question, choices=rendered_choices(question.choices))


def naming_prompt(question: FoodieQuestion) -> str:
    """An open question for the name of what is in the question's picture."""
    return _chosen(_NAMING[question.language], question).format(word=word_of(question))


def _chosen(wordings: Sequence[str], question: FoodieQuestion) -> str:
    name = f"{question.task}:{question.id}:{question.language}"
    return wordings[hashlib.sha256(name.encode()).digest()[0] % len(wordings)]
