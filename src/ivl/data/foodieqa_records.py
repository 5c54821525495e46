"""FoodieQA's questions as records of LLaVA JSON.

In: questions, and how they are to be asked and answered. Out: dicts with `id`, `image` and `conversations`. Knows no
files.
"""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from ivl.data.foodieqa import FoodieQuestion
from ivl.data.foodieqa_answers import full_answer, named_answer, picture_answer, text_answer
from ivl.data.foodieqa_wording import lettered_prompt, naming_prompt, word_of

Style = Literal["tutorial", "full"]
Form = Literal["open", "letters", "both"]
Record = dict[str, Any]


def to_records(questions: Iterable[FoodieQuestion], style: Style, form: Form, naming: bool) -> Iterator[Record]:
    """Records in the questions' order, each with an id of its own, none said twice.

    style: "tutorial" answers in the few words of the InternVL2 tutorial's own conversion, "full" in a sentence that
    names the dish and answers the question. form: "open" asks without choices, "letters" with them, "both" both ways;
    four pictures are always chosen from by letter. naming: also ask, once for each picture and language, for the name.
    """
    named, written = set[tuple[str, ...]](), set[tuple[str, ...]]()
    for question in questions:
        asked_openly = form != "letters" and question.task != "mivqa"
        made = []
        if asked_openly:
            made.append(_record(question, "", _open_prompt(question), _answer(question, style)))
        if form != "open" or question.task == "mivqa":
            suffix = "-letters" if asked_openly else ""
            made.append(_record(question, suffix, lettered_prompt(question), _lettered_answer(question, style)))
        key = (question.language, question.dish, *question.images)
        if naming and question.task == "sivqa" and key not in named:
            named.add(key)
            made.append(_record(question, "-name", naming_prompt(question), _name_answer(question, style)))
        for record in made:
            said = (*question.images, *(turn["value"] for turn in record["conversations"]))
            if said not in written:
                written.add(said)
                yield record


def _record(question: FoodieQuestion, suffix: str, asked: str, answer: str) -> Record:
    images = list(question.images)
    record: Record = {"id": f"{question.id}{suffix}"}
    if images:
        record["image"] = images[0] if len(images) == 1 else images
    record["conversations"] = [{"from": "human", "value": asked}, {"from": "gpt", "value": answer}]
    return record


def _open_prompt(question: FoodieQuestion) -> str:
    return f"{question.question}\n<image>" if question.images else question.question


def _answer(question: FoodieQuestion, style: Style) -> str:
    """The answer without a letter before it."""
    asked, answer, language = question.question, question.answer, question.language
    if question.task == "mivqa":
        name = question.image_names[question.answer_idx] if question.image_names else ""
        return picture_answer(question.letter, name, language)
    if question.task == "textqa":
        return text_answer(asked, answer, question.kind, language) if style == "full" else answer
    if style == "full":
        return full_answer(asked, answer, question.name, question.kind, language, question.word)
    if language == "zh":
        return f"{answer}，图中的{word_of(question)}是{question.name}"
    return f"{answer}, the {word_of(question)} in the picture is {question.name}"


def _lettered_answer(question: FoodieQuestion, style: Style) -> str:
    if question.task == "mivqa" and style == "tutorial":
        return question.letter
    return f"{question.letter}{'。' if question.language == 'zh' else '. '}{_answer(question, style)}"


def _name_answer(question: FoodieQuestion, style: Style) -> str:
    return named_answer(question.name, question.language, question.word) if style == "full" else question.name
