"""The authors' prompts, as their scripts write them."""

import pytest

from ivl.data.foodieqa import Language
from ivl.evals.foodieqa_prompts import NUM_PROMPTS, Task, ask, picture_names
from ivl.evals.item import Item
from ivl.processing.messages import to_messages
from ivl.processing.placement import arrange
from ivl.types import ImagePart, TextPart

CHOICES = ("川菜", "粤菜", "湘菜", "鲁菜")
LISTED = "（A) 川菜\n（B) 粤菜\n（C) 湘菜\n（D) 鲁菜\n"
NUM_IMAGES: dict[Task, int] = {"sivqa": 1, "mivqa": 4, "textqa": 0}


def item(task: Task, question: str = "它属于哪个菜系?") -> Item:
    images = tuple(f"{number}.jpg" for number in range(NUM_IMAGES[task]))
    choices = picture_names("zh") if task == "mivqa" else CHOICES
    return Item(item_id="0", where="x", question=question, answers=("A",), images=images, choices=choices)


def texts(task: Task, language: Language, prompt: int, **changes) -> list[str]:
    messages = ask(task, language, item(task, **changes), prompt).messages
    return [part.text for message in messages for part in message.parts if isinstance(part, TextPart)]


@pytest.mark.parametrize(
    ("task", "language", "prompt", "expected"),
    [
        (
            "sivqa",
            "zh",
            0,
            ["<image>\n它属于哪个菜系? 选项有: " + LISTED + ", 请根据上图从所提供的选项中选择一个正确答案，为（"],
        ),
        (
            "sivqa",
            "zh",
            2,
            [
                "<image>\n你是一个智能助手，现在请看图回答以下选择题：它属于哪个菜系? 选项有: " + LISTED,
                "我从所提供的选项中选择一个正确答案，为（",
            ],
        ),
        (
            "sivqa",
            "en",
            0,
            [
                "<image>\n它属于哪个菜系? Here are the options: "
                + LISTED
                + " If had to select one of the options, my answer would be ("
            ],
        ),
        (
            "textqa",
            "en",
            3,
            [
                "它属于哪个菜系? These are the options: "
                + LISTED
                + " Please select one of the options as your answer.",
                "I would select (",
            ],
        ),
        (
            "textqa",
            "zh",
            3,
            [
                "它属于哪个菜系? 这是选项: "
                + LISTED
                + " 请从所提供的选项中选择一个正确答案。请保证你的答案清晰简洁并输出字母选项。\n智能助手：我选择（"
            ],
        ),
        (
            "mivqa",
            "zh",
            1,
            [
                "<image>图A\n<image>图B\n<image>图C\n<image>图D\n"
                "根据以上四张图回答问题, 请从给定选项ABCD中选择一个最合适的答案。问题：它属于哪个菜系?, 答案为：图"
            ],
        ),
        (
            "mivqa",
            "zh",
            3,
            [
                "问题它属于哪个菜系?，选项有: <image>图A\n<image>图B\n<image>图C\n<image>图D\n",
                "如果从给定选项ABCD中选择一个最合适的答案， 答案为：图",
            ],
        ),
    ],
)
def test_a_prompt_is_the_authors_own(task, language, prompt, expected):
    assert texts(task, language, prompt) == expected


@pytest.mark.parametrize("task", ["sivqa", "mivqa", "textqa"])
@pytest.mark.parametrize("language", ["zh", "en"])
def test_every_prompt_holds_the_question_and_its_pictures_in_order(task, language):
    seen = set()
    for prompt in range(NUM_PROMPTS):
        asked = ask(task, language, item(task), prompt)
        messages = to_messages(asked.messages)
        pieces = arrange(messages[0], 0)
        sources = [piece.source for piece in pieces if isinstance(piece, ImagePart)]
        text = "".join(piece for piece in pieces if isinstance(piece, str))
        assert sources == [f"{number}.jpg" for number in range(NUM_IMAGES[task])]
        assert "它属于哪个菜系?" in text
        assert task == "mivqa" or LISTED in text
        assert [message.role for message in messages] in (["user"], ["user", "assistant"])
        assert "{" not in text
        seen.add((text, len(messages)))
    assert len(seen) == NUM_PROMPTS


def test_the_question_points_to_where_the_pictures_are():
    assert "以上哪道菜" in texts("mivqa", "zh", 0, question="以下哪道菜更辣？")[0]
    assert "以下哪道菜" in texts("mivqa", "zh", 3, question="以上哪道菜更辣？")[0]


def test_braces_in_a_question_are_text():
    assert "{choices} {0}" in texts("sivqa", "en", 1, question="{choices} {0}")[0]


def test_a_wrong_number_of_pictures_is_noticed():
    with pytest.raises(AssertionError, match="0 pictures for the 1 places of sivqa"):
        ask("sivqa", "zh", item("textqa"), 0)
