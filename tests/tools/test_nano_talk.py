"""Conversations: the same seed says the same, no answer was told before, choices hold the right one once."""

import random
import re
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tools.nano.ask import Turn
from tools.nano.choose import as_choice
from tools.nano.pairs import PairMaker
from tools.nano.scene import Scene
from tools.nano.talk import TELLING, Pictured, is_told, same_or_not, talk, which_shows, words_alone
from tools.nano.wording import BRIEFLY, SAME_FOOD

from nano_world import FOOD_WORDS, name, scenes, world

CHOICE = re.compile(r"[（(]?([A-D])(?:\)|\.) (.*?)(?=\n|$| If had|, 请| 请根据)")
CHOICE_KINDS = ("name", "at", "region", "at_side", "total", "count", "distinct", "colour", "background", "where")


Conversation = tuple[Scene, list[Turn]]


def conversations(number: int, seed: int = 1) -> list[Conversation]:
    rng = random.Random(f"{seed} talk")
    return [(scene, talk(world().asker, scene, rng, 6)) for scene in scenes(number, seed)]


def plain(number: int, seed: int) -> list[Conversation]:
    """Without choices, so that a turn's kind is known."""
    return [(scene, turns) for scene, turns in conversations(number, seed) if all(t.kind != "choice" for t in turns)]


def test_the_same_seed_says_the_same() -> None:
    assert conversations(40, 5) == conversations(40, 5)
    assert conversations(40, 5) != conversations(40, 6)


def test_no_answer_was_told_before() -> None:
    for scene, turns in plain(250, 7):
        for idx, turn in enumerate(turns):
            assert not is_told(turn, turns[:idx])
            spoken = {noun for before in turns[:idx] for noun in before.nouns}
            if turn.kind in ("exists", "refuse"):
                assert not spoken & set(turn.nouns)
            if idx and turns[0].kind in TELLING:
                assert turn.kind in ("colour", "refuse", "no_food", "background")
            if turn.kind == "name":
                assert not spoken
                assert len(scene.items) == 1


def test_what_tells_all_comes_last_or_first() -> None:
    places = Counter()
    for _, turns in plain(300, 8):
        telling = [idx for idx, turn in enumerate(turns) if turn.kind in TELLING]
        assert len(telling) <= 1
        for idx in telling:
            assert idx in (0, len(turns) - 1)
            places["first" if idx == 0 else "last"] += 1
    assert min(places["first"], places["last"]) > 10


def test_presence_is_yes_half_the_time_wherever_it_is_asked() -> None:
    answers = Counter()
    for _, turns in conversations(900, 9):
        for idx, turn in enumerate(turns):
            if turn.kind == "exists":
                answers[turn.answer in ("Yes", "有"), idx > 0] += 1
    for later in (False, True):
        assert 0.4 < answers[True, later] / (answers[True, later] + answers[False, later]) < 0.6


def test_no_food_is_called_by_its_own_name() -> None:
    for _, turns in conversations(300, 10):
        assert turns
        assert not [turn for turn in turns if any(word in turn.question + turn.answer for word in FOOD_WORDS)]


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from(CHOICE_KINDS), st.sampled_from(["en", "zh"]))
def test_choices_hold_the_right_answer_once(seed: int, kind: str, language: str) -> None:
    rng = random.Random(seed)
    for scene in scenes(6, seed % 50):
        turn = world().asker.ask(kind, scene, rng, language)
        chosen = as_choice(turn, world().asker, rng, language) if turn else None
        if turn and chosen:
            listed = dict(CHOICE.findall(chosen.question))
            assert list(listed) == list("ABCD"), chosen.question
            assert len(set(listed.values())) == 4
            assert listed[chosen.answer] == turn.answer
            assert not any(request in chosen.question for request in BRIEFLY[language])
            if kind in ("name", "region", "at", "at_side"):
                nouns = {noun.word(language): noun for noun in world().asker.nouns}
                wrong = [nouns[text] for letter, text in listed.items() if letter != chosen.answer]
                assert not any(world().asker.in_doubt(turn.nouns[-1], noun) for noun in wrong)


def test_every_letter_is_right_equally_often() -> None:
    letters = Counter()
    rng = random.Random(4)
    for scene in scenes(400, 4):
        turn = world().asker.ask("count", scene, rng, "en")
        chosen = as_choice(turn, world().asker, rng, "en") if turn else None
        letters[chosen.answer if chosen else ""] += 1
    assert min(letters[letter] for letter in "ABCD") > 0.6 * max(letters.values())


def pictured(*names: str) -> list[Pictured]:
    return [Pictured(name(each), world().catalogue.nouns[name(each)]) for each in names]


def test_two_of_a_kind_are_not_the_same_food() -> None:
    rng = random.Random(5)
    food_words = SAME_FOOD["en"] + SAME_FOOD["zh"]
    for language, yes, no in (("en", "Yes", "No"), ("zh", "是", "不是")):
        for _ in range(40):
            assert same_or_not(*pictured("beer mug", "hot beverage"), rng, language)[0].answer == no
            assert same_or_not(*pictured("pizza", "pizza"), rng, language)[0].answer == yes
            (turn, *_) = same_or_not(*pictured("hammer", "hammer"), rng, language)
            assert not any(turn.question.endswith(words) for words in food_words)


def test_the_picture_that_shows_it_is_the_only_one() -> None:
    rng = random.Random(6)
    for _ in range(150):
        pictures = pictured(*rng.sample(["cat", "dog", "guide dog", "beer mug", "hot beverage", "key"], 4))
        for turn in which_shows(pictures, world().asker, rng, "en"):
            if turn.kind == "which" and len(turn.answer) == 1:
                shown = pictures["ABCD".index(turn.answer)]
                question = turn.question
                others = [each for each in pictures if each is not shown]
                assert not any(shown.noun in world().asker.also.get(each.thing, ()) for each in others), question
            elif turn.kind == "which":
                assert not any(each.noun.en in turn.answer.removesuffix("picture.").split() for each in pictures)


@pytest.fixture(scope="module")
def samples() -> list[tuple[list[str], list[Turn]]]:
    things = range(len(world().catalogue.things))
    singles = [(f"{thing}/{copy}.jpg", thing) for thing in things for copy in range(4)]
    maker = PairMaker(singles, world().catalogue.nouns, world().asker, random.Random(1))
    return [maker.make() for _ in range(400)]


def test_samples_of_several_pictures(samples: list[tuple[list[str], list[Turn]]]) -> None:
    kinds = Counter()
    for paths, turns in samples:
        kinds[turns[0].kind] += 1
        assert len(set(paths)) == len(paths), "a thing that is there twice is two pictures"
        assert turns[0].question.count("<image>") == len(paths)
        assert not any("<image>" in turn.question for turn in turns[1:])
        things = [path.split("/")[0] for path in paths]
        if turns[0].kind == "same":
            assert (things[0] == things[1]) == (turns[0].answer in ("Yes", "是"))
        if turns[0].kind == "match":
            assert [idx for idx in range(1, 4) if things[idx] == things[0]] == ["ABCD".index(turns[0].answer)]
        for turn in turns:
            assert not any(word in turn.question + turn.answer for word in FOOD_WORDS)
    assert min(kinds["same"], kinds["match"], kinds["which"]) > 60


def test_what_is_in_a_picture_is_asked_of_those_not_told(samples: list[tuple[list[str], list[Turn]]]) -> None:
    for _, turns in samples:
        told = [turn.answer for turn in turns if turn.kind == "which"]
        for turn in turns:
            if turn.kind == "in_picture":
                letter = re.search(r"(?:picture |图)([A-D])(?:\b|里|中)", turn.question)
                assert letter
                assert letter[1] not in told


def test_words_alone_are_said_back() -> None:
    names = {
        "en": ["mapo tofu", "rice ball", "pho", "ramen", "taco"],
        "zh": ["麻婆豆腐", "饭团", "河粉", "拉面", "塔可"],
    }
    rng = random.Random(2)
    for turn in (turn for _ in range(200) for turn in words_alone(names, rng)):
        if turn.kind == "echo":
            assert turn.question.endswith(turn.answer)
        if turn.kind == "pick":
            menu = re.split(r"[:：] ?", turn.question, maxsplit=1)[1]
            number = int(re.findall(r"\d", turn.question)[-1])
            assert re.split(r", |、|。|\. ", menu)[number - 1] == turn.answer
