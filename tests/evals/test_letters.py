"""The chosen letter is read from every way to say it, in two languages, and from no other text."""

import random
import time

import pytest

from ivl.evals.letters import read_letter

REGIONS = ("Guangdong", "Sichuan", "Hunan", "Xinjiang")
CUISINES = ("粤菜", "川菜", "湘菜", "新疆菜")


@pytest.mark.parametrize(
    "text",
    [
        "B",
        "b",
        " B ",
        "(B)",
        "(b)",
        "(B",
        "B)",
        "b)",
        "[B]",
        "{B}",
        '"B"',
        "“B”",
        "B.",
        "B。",
        "B:",
        "Ｂ",
        "ｂ",
        "（Ｂ）",
        "（B",
        "B）",
        "【B】",
        "**B**",
        "`B`",
        "**B.** Sichuan",
        "B. Sichuan",
        "B.Sichuan",
        "b. Sichuan",
        "B: Sichuan",
        "B) Sichuan",
        "(B) Sichuan",
        "(B Sichuan",
        "B Sichuan",
        "B - Sichuan",
        "B — Sichuan",
        "B, Sichuan",
        "B\nSichuan",
        "B. Hunan",
        "B. A dish from Sichuan.",
        "B) I think it is a dish from the west.",
        "B is correct.",
        "B is the best choice, because A is not spicy.",
        "B because it is red",
        "The answer is B",
        "The answer is B.",
        "The answer is (B).",
        "The answer is: B",
        "the answer is b.",
        "the answer is (b)",
        "The correct answer is **B**.",
        "The correct option is B, not A.",
        "The correct answer to this question is (B) Sichuan.",
        "The answer is most likely B.",
        "The answer is option B.",
        "Answer: B",
        "ANSWER: B",
        "Answer: (B) Sichuan",
        "Final answer: B",
        "My answer would be (B) Sichuan.",
        "If had to select one of the options, my answer would be (B).",
        "I would select (B)",
        "I choose B.",
        "I would go with option B.",
        "I'd pick B",
        "I'd say B.",
        "It is B.",
        "It's (B).",
        "I am not sure, but I would choose B.",
        "The answer is not A. The answer is B.",
        "A is wrong. The answer is B.",
        "A) Guangdong B) Sichuan C) Hunan D) Xinjiang. The answer is B.",
        "Option B",
        "Option B is correct.",
        "Image B shows it.",
        "It looks like (B).",
        "Sichuan",
        "Sichuan.",
        "sichuan",
        '"Sichuan"',
        "Sichuan, as the pepper shows",
        "The dish is from Sichuan.",
    ],
)
def test_b_is_read_in_english(text):
    assert read_letter(text, REGIONS) == "B"


@pytest.mark.parametrize(
    "text",
    [
        "B",
        "B）川菜",
        "（B）川菜",
        "（B) 川菜",
        "B、川菜",
        "B．川菜",
        "B。川菜",
        "B：川菜",
        "B，川菜",
        "B 川菜",
        "B川菜",
        "B选项",
        "B选项是正确的",
        "B是正确答案",
        "答案是B",
        "答案是B。",
        "答案是 B",
        "答案：B",
        "答案为（B）",
        "答案：（B）川菜",
        "答案是：B",
        "答案B",
        "正确答案是B，川菜。",
        "正确答案应该是B",
        "正确选项是B",
        "正确的选项为：B",
        "选B",
        "选b。",
        "选择B",
        "选择（B",
        "我选择B",
        "我选择（B）川菜",
        "我选B，因为很辣",
        "我选择的是B",
        "我从所提供的选项中选择一个正确答案，为（B）",
        "应选B",
        "应该选择B",
        "应为B",
        "是B",
        "为（B",
        "所以是B",
        "我认为是B",
        "根据图片，应该是川菜（B）",
        "故选：B",
        "B）川菜\n（C）湘菜",
        "不选A，选B",
        "选A是错的，选B",
        "答案不是A，答案是B",
        "选项B",
        "图B",
        "图片B",
        "这道菜是（B）",
        "川菜",
        "川菜。",
        "川菜，图中的菜是麻婆豆腐",
        "这道菜属于川菜。",
        "图中的菜是麻婆豆腐，是一道川菜",
        "Ｂ",
    ],
)
def test_b_is_read_in_chinese(text):
    assert read_letter(text, CUISINES) == "B"


@pytest.mark.parametrize(
    "text",
    [
        "",
        " ",
        "?",
        "None",
        "None of the above.",
        "Don't know.",
        "A dish from the south.",
        "A red dish",
        "(A dish from the south)",
        "A noodle dish with B vitamins",
        "a dish",
        "I am not sure",
        "I am not sure.",
        "I can't tell which it is.",
        "The answer is a dish that I don't know.",
        "The answer is A dish from the south.",
        "I would say A dish like this is from the north",
        "Both A and B",
        "A or B",
        "A and C",
        "A, B",
        "A/B",
        "A B C D",
        "ABCD",
        "AB",
        "B and C are both right.",
        "(A) or (B)",
        "A\nB",
        "The answer is A or B.",
        "The answer is B. The answer is C.",
        "I would choose A, but option B says: the answer is C",
        "A) Guangdong B) Sichuan C) Hunan D) Xinjiang",
        "A. Guangdong\nB. Sichuan\nC. Hunan",
        "A is wrong.",
        "B is not correct.",
        "I would not choose B.",
        "The answer is not B.",
        "The answer isn't B.",
        "It is not (B).",
        "Option B is wrong",
        "E",
        "(E)",
        "The answer is E.",
        "D.C. is a city",
        "C++",
        "A-frame",
        "Beijing",
        "Guangdong or Sichuan",
        "It is from Guangdong, not from Sichuan.",
        "It is not from Sichuan",
        "Sichuan, A",
        "This dish is from Sichuanese kitchens",
        "Vitamin B",
        "答案",
        "不知道",
        "我不确定",
        "我选择一个",
        "选项有A和B",
        "A和B",
        "A、B",
        "A或者B",
        "选A还是选B",
        "不选B",
        "不应选B",
        "答案不是B",
        "选B是错的",
        "选项B不对",
        "B不是正确答案",
        "B是错误的",
        "以上都不对",
        "A级景区",
        "B超",
        "🍜",
    ],
)
@pytest.mark.parametrize("choices", [REGIONS, CUISINES])
def test_nothing_is_guessed(text, choices):
    assert read_letter(text, choices) is None


@pytest.mark.parametrize(
    "text", ["川菜，湘菜", "川菜还是湘菜", "不是川菜", "不是川菜，湘菜也不是", "除了川菜", "没有川菜"]
)
def test_texts_of_two_choices_or_a_negated_one_choose_nothing(text):
    assert read_letter(text, CUISINES) is None


@pytest.mark.parametrize(
    ("text", "choices", "letter"),
    [
        ("A", REGIONS, "A"),
        ("a", REGIONS, "A"),
        ("(a)", REGIONS, "A"),
        ("a)", REGIONS, "A"),
        ("A because it is sweet", REGIONS, "A"),
        ("A Guangdong", REGIONS, "A"),
        ("the answer is a", REGIONS, "A"),
        ("A is the answer", REGIONS, "A"),
        ("D", REGIONS, "D"),
        ("C", ("Yes", "No"), None),
        ("B", ("Yes", "No"), "B"),
        ("No", ("Yes", "No"), "B"),
        ("No, there is none.", ("Yes", "No"), "B"),
        ("A noodle dish", ("a soup", "a noodle dish", "rice"), "B"),
        ("A dish from Hunan", ("A dish from Sichuan", "A dish from Hunan"), "B"),
        ("E", ("1", "2", "3", "4", "5"), "E"),
        ("e.g. five", ("one", "two", "three", "four", "six"), None),
        ("3", ("1", "2", "3", "4"), "C"),
        ("There are 3 dumplings.", ("1", "2", "3", "4"), "C"),
        ("13", ("1", "2", "3", "4"), None),
        ("mapo tofu", ("tofu", "mapo tofu", "egg", "fish"), "B"),
        ("This is mapo tofu", ("tofu", "mapo tofu", "egg", "fish"), "B"),
        ("麻辣鲜香", ("甜", "酸", "辣", "咸"), None),
        ("辣", ("甜", "酸", "辣", "咸"), "C"),
        ("辣，图中的菜是麻婆豆腐", ("甜", "酸", "辣", "咸"), "C"),
        ("It is not spicy.", ("spicy", "not spicy"), "B"),
        ("不辣", ("很辣", "不辣"), "B"),
        ("这道菜不辣", ("很辣", "不辣"), "B"),
        ("B", ("A", "C", "B", "D"), "B"),
        ("same", ("same", "same", "other", "none"), None),
        ("图B", ("图A", "图B", "图C", "图D"), "B"),
        ("图C是麻婆豆腐", ("图A", "图B", "图C", "图D"), "C"),
        ("I", tuple("123456789"), "I"),
        ("I think so", tuple("123456789"), None),
        ("The answer is I.", tuple("123456789"), "I"),
    ],
)
def test_choices_of_all_kinds(text, choices, letter):
    assert read_letter(text, choices) == letter


def test_every_letter_is_read_alike():
    choices = tuple(f"thing number {number}" for number in range(10, 36))
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZ":
        for form in ("{}", "({})", "{}. x", "The answer is {}.", "我选择（{}）", "选{}", "{}）"):
            assert read_letter(form.format(letter), choices) == letter, form.format(letter)


def test_any_text_is_one_of_the_letters_or_none():
    rng = random.Random(1)
    pieces = [
        *"ABCDEabI .,:()（）、。\n-'*不是选图",
        "川菜",
        "Sichuan",
        "answer is ",
        "not ",
        "option ",
        "\u0301",
        "🍜",
    ]
    found = {read_letter("".join(rng.choices(pieces, k=rng.randint(0, 9))), CUISINES) for _ in range(2000)}
    assert found == {None, *"ABCD"}


def test_too_few_choices_are_a_broken_invariant():
    with pytest.raises(AssertionError, match="1 choices"):
        read_letter("A", ["only"])


def test_babble_is_read_in_a_moment():
    """Answers of a model that repeats itself, or of nonsense: no pattern may take more than about linear time."""
    rng = random.Random(0)
    pieces = ["选", "是", "答案", " ", "\n", "A", "(", "（", "the answer is ", "for ", "川菜", "不", ":", "or "]
    texts = [piece * 4000 for piece in pieces] + ["选" + "是" * 4000, "答案" + " 是" * 2000, "answer to " * 1000]
    texts += ["".join(rng.choices(pieces, k=2000)) for _ in range(3)]
    started = time.perf_counter()
    for text in texts:
        read_letter(text, CUISINES)
    assert time.perf_counter() - started < 10
