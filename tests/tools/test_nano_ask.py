"""Every answer is worked out again from the scene alone, and what could be defended twice is never asked."""

import random
import re
from collections import Counter
from dataclasses import replace

import pytest
from tools.foods.facts import load_foods
from tools.nano.ask import MAKERS, Turn
from tools.nano.nouns import KINDS, name_things
from tools.nano.scene import Item, Label, Scene
from tools.nano.vocabulary import Thing
from tools.nano.wording import COLOURS, PLACES, SIDES

from nano_world import FOOD_WORDS, THINGS, a_planner, name, scenes, world

ENGLISH = {chinese: english for table in (PLACES, COLOURS) for english, chinese in table.items()}
NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4, "five": 5, "six": 6, "seven": 7, "eight": 8}
NUMBERS |= dict(zip("一两三四五六七八", range(1, 9), strict=True)) | {"a": 1, "an": 1, "some": 1}


def turns(kind: str, number: int = 150, seed: int = 1) -> list[tuple[Scene, Turn, str]]:
    rng = random.Random(f"{kind} {seed}")
    found = []
    for scene in scenes(number, seed):
        language = rng.choice(("en", "zh"))
        turn = world().asker.ask(kind, scene, rng, language)
        if turn:
            found.append((scene, turn, language))
    assert len(found) > 5, f"{kind} is hardly ever asked"
    return found


def called(scene: Scene, word: str) -> list[Item]:
    return [item for item in scene.items if word in (item.noun.en, item.noun.zh)]


def ninth(item: Item) -> str:
    x, y = ((item.box[0] + item.box[2]) / 2000, (item.box[1] + item.box[3]) / 2000)
    rows, columns = ("top", "", "bottom"), ("left", "", "right")
    return f"{rows[int(3 * y)]} {columns[int(3 * x)]}".strip() or "center"


def boxes_in(text: str) -> list[tuple[int, ...]]:
    return [tuple(map(int, four)) for four in re.findall(r"\[(\d+), (\d+), (\d+), (\d+)\]", text)]


def side_in(question: str) -> str:
    """The side that a question names."""
    for english, chinese in SIDES.items():
        if english in question or chinese in question:
            return english
    raise AssertionError(question)


def gap(one: Item, two: Item, side: str) -> float:
    """How far the middle of one is on that side of two's, in thousandths."""
    x = (one.box[0] + one.box[2] - two.box[0] - two.box[2]) / 2
    y = (one.box[1] + one.box[3] - two.box[1] - two.box[3]) / 2
    return {"to the left of": -x, "to the right of": x, "above": -y, "below": y}[side]


def test_counts() -> None:
    for scene, turn, _ in turns("count"):
        assert turn.answer == str(len(called(scene, turn.nouns[0].en)))
    for scene, turn, _ in turns("total"):
        assert turn.answer == str(len(scene.items))
    for scene, turn, _ in turns("distinct"):
        assert turn.answer == str(len({THINGS[item.thing].english for item in scene.items}))
    answers = Counter(turn.answer for _, turn, _ in turns("count", 400))
    assert {"0", "1", "2", "3", "4"} <= set(answers)


def test_presence_is_told_right_and_half_the_time_yes() -> None:
    yes = 0
    found = turns("exists", 400)
    for scene, turn, _ in found:
        is_there = bool(called(scene, turn.nouns[0].en))
        assert turn.answer in (("Yes", "有") if is_there else ("No", "没有"))
        yes += is_there
    assert 0.4 < yes / len(found) < 0.6


def test_refusals_name_what_is_absent() -> None:
    for scene, turn, language in turns("refuse"):
        word = turn.nouns[0].word(language)
        assert word in turn.question
        assert word in turn.answer
        assert not called(scene, word)
        assert turn.answer.startswith("There is no " if language == "en" else "图中没有") or turn.nouns[0].is_plural


def test_places() -> None:
    for scene, turn, _ in turns("where"):
        (item,) = called(scene, turn.nouns[0].en)
        assert ENGLISH.get(turn.answer, turn.answer) == ninth(item)
    for scene, turn, language in turns("at", 400):
        words = PLACES if language == "en" else ENGLISH
        asked = [word for word in words if word in turn.question.replace("图片", "").replace("图中", "")]
        place = max(asked, key=len)
        place = ENGLISH.get(place, place)
        fitting = [item for item in scene.items if place == ninth(item) or place in ninth(item).split()]
        assert [item.noun for item in fitting] == list(turn.nouns)
        assert turn.answer == turn.nouns[0].word(language)


def test_sides() -> None:
    for scene, turn, _ in turns("is_side", 400):
        (one,), (two,) = (called(scene, noun.en) for noun in turn.nouns)
        assert (gap(one, two, side_in(turn.question)) > 0) == (turn.answer in ("Yes", "是"))
        assert abs(gap(one, two, side_in(turn.question))) >= 80
    for scene, turn, language in turns("at_side", 400):
        (item,) = called(scene, turn.nouns[0].en)
        there = [other for other in scene.items if other is not item and gap(other, item, side_in(turn.question)) > 45]
        assert [other.noun.word(language) for other in there] == [turn.answer]


def test_sizes_and_order() -> None:
    for scene, turn, language in turns("bigger", 400):
        areas = {}
        for noun in turn.nouns:
            (item,) = called(scene, noun.en)
            areas[noun.word(language)] = (item.box[2] - item.box[0]) * (item.box[3] - item.box[1])
        assert max(areas, key=lambda word: areas[word]) == turn.answer
        assert max(areas.values()) > 1.5 * min(areas.values())
    for scene, turn, language in turns("order"):
        listed = turn.answer.split(", " if language == "en" else "、")
        items = sorted(scene.items, key=lambda item: item.box[0] + item.box[2])
        assert listed == [item.noun.word(language) for item in items]


def test_boxes() -> None:
    for scene, turn, language in turns("ground"):
        word = turn.nouns[0].word(language)
        assert turn.answer.startswith(f"<ref>{word}</ref><box>[[")
        assert sorted(boxes_in(turn.answer)) == sorted(item.box for item in called(scene, word))
    for scene, turn, _ in turns("ground_all"):
        assert sorted(boxes_in(turn.answer)) == sorted(item.box for item in scene.items)
    for scene, turn, language in turns("region"):
        (box,) = boxes_in(turn.question)
        assert turn.answer in {item.noun.word(language) for item in scene.items if item.box == box}


def test_colours() -> None:
    for scene, turn, _ in turns("background"):
        assert ENGLISH.get(turn.answer, turn.answer) == scene.background
    for scene, turn, _ in turns("colour", 600):
        (item,) = called(scene, turn.nouns[0].en)
        assert ENGLISH.get(turn.answer, turn.answer) == item.colour
        assert item.noun.en not in ("blue book", "red heart"), "a name that says the colour"


def test_names_and_descriptions() -> None:
    for scene, turn, language in turns("name"):
        assert scene.items[0].noun.word(language) in turn.answer
        assert len(scene.items) == 1
    for scene, turn, _ in turns("describe"):
        counts = Counter(item.noun for item in scene.items)
        text = turn.answer.split(" on a")[0].split("，背景")[0]
        said = re.sub(r"The picture shows |图中有|[。.]$", "", text).replace(" and ", ", ").replace("、", ", ")
        assert len(said.split(", ")) == len(counts)
        for part in said.split(", "):
            first = part[0] if part[0] in NUMBERS else part.split(" ")[0]
            assert NUMBERS.get(first, 1) in counts.values(), part


def test_nothing_is_called_by_a_foods_own_name() -> None:
    for kind in MAKERS:
        rng = random.Random(kind)
        for scene in scenes(60, seed=9):
            for language in ("en", "zh"):
                turn = world().asker.ask(kind, scene, rng, language)
                assert not turn or not any(word in (turn.question + turn.answer) for word in FOOD_WORDS)


def test_every_food_of_the_table_is_a_kind_and_no_kind_is_a_foods_name() -> None:
    foods = load_foods()
    things = [
        Thing(code=food.code, english=food.name_en, chinese=food.name_zh, group=4, subgroup=0) for food in foods.foods
    ]
    own = {name.casefold() for food in foods.foods for language in ("en", "zh") for name in food.names(language)}
    assert all(noun.is_kind for noun in name_things(things, foods))
    for english, chinese in KINDS.values():
        assert english.split(" ", 1)[1] not in own
        assert chinese not in own
    more = [
        Thing(code="1F37B", english="clinking beer mugs", chinese="干杯", group=4, subgroup=0),
        Thing(code="1F344", english="mushroom", chinese="蘑菇", group=3, subgroup=0),
    ]
    assert not {noun.en for noun in name_things(more, foods)} & (own | {"clinking beer mugs"})


@pytest.mark.parametrize(
    ("english", "one", "many"),
    [
        ("unicorn", "a unicorn", "unicorns"),
        ("owl", "an owl", "owls"),
        ("euro banknote", "a euro banknote", "euro banknotes"),
        ("hourglass done", "an hourglass done", "hourglass dones"),
        ("SOS button", "an SOS button", "SOS buttons"),
        ("jellyfish", "a jellyfish", "jellyfish"),
        ("snowman", "a snowman", "snowmen"),
        ("scissors", "scissors", "scissors"),
        ("rhinoceros", "a rhinoceros", "rhinoceroses"),
    ],
)
def test_articles_and_plurals(english: str, one: str, many: str) -> None:
    (noun,) = name_things([Thing(code="0", english=english, chinese="x", group=3, subgroup=0)], load_foods())
    assert (noun.one, noun.plural) == (one, many)
    assert noun.is_plural == (english == "scissors")


def scene_of(*names: str, label: Label | None = None) -> Scene:
    """The things in a row."""
    planner = a_planner()
    rng = random.Random(1)
    plan = planner.plan("several", (400, 400), rng, [name(each) for each in names])
    items = tuple(replace(item, box=(300 * idx + 20, 100, 300 * idx + 180, 260)) for idx, item in enumerate(plan.items))
    return replace(plan, items=items, label=label, background="white")


def asked(scene: Scene, kind: str, number: int = 200) -> list[Turn]:
    rng = random.Random(2)
    tries = (world().asker.ask(kind, scene, rng, language) for _ in range(number) for language in ("en", "zh"))
    return [turn for turn in tries if turn]


@pytest.mark.parametrize(
    ("there", "doubtful"),
    [
        ("guide dog", "dog"),
        ("beer mug", "drink"),
        ("lobster", "seafood"),
        ("locomotive", "train"),
        ("sushi", "seafood"),
    ],
)
def test_what_could_be_said_of_a_thing_is_never_called_absent(there: str, doubtful: str) -> None:
    scene = scene_of(there, "hammer")
    for kind in ("exists", "count", "refuse"):
        assert all(turn.nouns[0].en != doubtful or turn.answer in ("Yes", "有") for turn in asked(scene, kind))


def test_a_dog_is_not_asked_for_beside_a_guide_dog() -> None:
    for kind in ("count", "where", "ground", "colour", "is_side", "bigger", "at_side"):
        assert not [turn for turn in asked(scene_of("dog", "guide dog", "key"), kind) if turn.nouns[0].en == "dog"]
        assert all(turn.nouns[0].en != "guide dog" for turn in asked(scene_of("dog", "guide dog"), kind))


def test_food_is_denied_only_where_nobody_could_eat_anything() -> None:
    assert asked(scene_of("hammer", "key"), "no_food")
    assert not asked(scene_of("hammer", "lobster"), "no_food")
    assert not asked(scene_of("hammer", "pizza"), "no_food")


def test_a_card_is_no_thing_and_hides_none() -> None:
    label = Label(x=300, y=10, width=60, height=30, seed=1)
    for kind in ("total", "distinct", "order", "describe", "ground_all", "at_side"):
        assert not asked(scene_of("cat", "key", label=label), kind)
        assert asked(scene_of("cat", "key"), kind)


def test_plural_names_are_spoken_of_in_the_plural() -> None:
    scene = scene_of("scissors", "key")
    assert any("Where are the scissors" in turn.question for turn in asked(scene, "where"))
    texts = [turn.question + turn.answer for kind in ("where", "exists", "ground") for turn in asked(scene, kind)]
    assert not [text for text in texts if "is the scissors" in text or "a scissors" in text]
    absent = asked(scene_of("cat", "key"), "refuse")
    assert any(turn.answer == "There are no scissors in the picture." for turn in absent)


def test_what_was_spoken_of_is_not_asked_for_again() -> None:
    scene = scene_of("cat", "key")
    rng = random.Random(3)
    spoken = [noun for noun in scene.nouns if noun.en == "cat"]
    for _ in range(100):
        turn = world().asker.ask("exists", scene, rng, "en", spoken)
        assert turn
        assert turn.nouns[0].en != "cat"
        assert not world().asker.ask("exists", scene, rng, "en", scene.nouns)


def sheets(number: int = 60) -> list[Scene]:
    planner, rng = a_planner(), random.Random("sheets")
    return [planner.sheet((224, 224), rng) for _ in range(number)]


def test_a_sheet_is_told_row_by_row() -> None:
    looked = 0
    for scene in sheets():
        rows, columns = len(scene.items) // scene.columns, scene.columns
        for turn, separator in ((asked(scene, "rows", 1)[0], ", "), (asked(scene, "rows", 1)[1], "、")):
            bare, number = re.subn(r" ?[(（][^)）]*[)）]", "", turn.answer)
            looked += number
            assert number == sum(item.noun.is_kind and scene.keep_colours and not item.is_grey for item in scene.items)
            told = [row.split(separator) for row in bare.split("\n")]
            assert [len(row) for row in told] == [columns] * rows
            for idx, item in enumerate(scene.items):
                row, column = idx // columns, idx % columns
                assert told[row][column] in (item.noun.en, item.noun.zh)
                assert column / columns <= item.x / 224 <= (column + 1) / columns
                assert row / rows <= item.y / 224 <= (row + 1) / rows
    assert looked > 50


def test_only_a_sheet_has_rows() -> None:
    assert not asked(scene_of("cat", "key"), "rows")


def test_a_look_is_asked_for_where_colours_are_as_drawn() -> None:
    scene = replace(scene_of("pizza", "key"), keep_colours=True)
    looks = {look.en for look in world().asker.looks.values()} | {look.zh for look in world().asker.looks.values()}
    assert asked(scene, "look")
    assert all(turn.answer in looks for turn in asked(scene, "look"))
    assert not asked(replace(scene, keep_colours=False), "look")
    assert not asked(replace(scene_of("cat", "key"), keep_colours=True), "look")
    assert not asked(replace(scene_of("pizza", "pizza"), keep_colours=True), "look")
