"""Writes the food set's card, with its numbers counted from what was made.

In: the folder of the sets, the table of facts. Out: `README.md`.
"""

import json
from pathlib import Path

from tools.foods.food import FACT_NAMES, Foods
from tools.foods.scenes import SHARES, VERSION

_TEXT = """---
language: [zh, en]
task_categories: [visual-question-answering, multiple-choice]
tags: [food, foodieqa-layout, drawings]
license: other
---

# ivl foods {version}

Questions in Chinese and English about {foods} foods and drinks, drawn in nine styles, in the layout of
[FoodieQA](https://huggingface.co/datasets/lyan62/FoodieQA). It ships with the package so that every stage, from data
check to evaluation, can be tried without asking anybody for data. It holds nothing of FoodieQA.

```sh
ivl data foodieqa FOODS/train -o data/food --style full --form both --naming --language both \\
    --tasks sivqa,mivqa,textqa --test-share 0
ivl eval foodieqa FOODS/test_styles
```

FOODS is the folder of this card: `python -c "import ivl.zoo; print(ivl.zoo.foods_folder())"`.

| part | what it tests | foods | styles | pictures | one picture | four pictures | text only |
|---|---|---|---|---|---|---|---|
{rows}

`train` and `test_styles` have the same foods, and no style in common: openmoji and fxemoji are held out, and no style
of `train` is a sibling of theirs. `test_dishes` has foods that `train` never shows nor names, in `train`'s styles.
Pictures are WebP, 224 x 224, one food each on a plain, graded or table-like ground.

## Questions

Of each food its name and its facts are asked. Shares of the questions on pictures: {shares}.

An entry has `question`, `choices`, `question_en`, `choices_en`, `answer` ("0" to "3"), `question_type`, `tags` (style,
dish, kind), and `food_meta` with the names and the picture; an entry on four pictures has `images` and the names of
what is on them. `train` and `test_styles` ask about the same foods without a picture too, in other words wherever
there were words left: what was taught about a food may be asked.

Questions come in fours that share their words and their four choices, in another order each time. Each of four foods
is right once, and under each letter once, so a reader who sees no picture is right in exactly a quarter of the
questions, whatever he has learned of which answers are frequent. (On four pictures, a question names the value:
there it is a reader of the pictures alone who is right in a quarter, and each question's words have the four letters
as evenly as can be.) Wrong choices are those that no reading could defend: every fact has a list of further
values that could be, and near-lookalikes are never set against each other.

## Facts

`foods.json` has what was asked, by food: names and other names in both languages, kind, and where known origin, taste,
main ingredient, how it is had and when, with the source. What is disputed or unknown is left out and never asked.

| fact | foods it is known of |
|---|---|
{facts}

## Limits

Drawings are no photographs: a model that is right here has not shown that it knows a plate of food. A drawing stands
for one dish where its look would allow others (a bowl of noodles is ramen). Facts are coarse, such as one region of
origin and one taste. FoodieQA asks about regional Chinese dishes; this set asks about foods of the world.

## Licence

Pictures: that of their style, Apache-2.0, MIT, CC BY 4.0 or CC BY-SA 4.0, by author in `ATTRIBUTION.md`. Questions and
facts: Apache-2.0. Rebuilt by `python -m tools.foods.build` in the project's repository.
"""
_TESTS = {
    "train": "nothing: for training",
    "test_dishes": "unseen foods in trained styles",
    "test_styles": "trained foods in unseen styles",
}


def write_card(path: Path, folder: Path, table: Foods) -> None:
    """Write the card. folder: that of the sets, all of which are counted."""
    parts = [part for part in _TESTS if (folder / part).is_dir()]
    facts = [(name, sum(food.fact(name) is not None for food in table.foods)) for name in FACT_NAMES]
    text = _TEXT.format(
        version=VERSION,
        foods=len(table.foods),
        rows="\n".join(_row(folder / part) for part in parts),
        shares=", ".join(f"{topic.replace('_', ' ')} {share:.0%}" for topic, share in SHARES.items()),
        facts="\n".join(f"| {name.replace('_', ' ')} | {count} |" for name, count in facts),
    )
    path.write_text(text, encoding="utf-8")


def _row(part: Path) -> str:
    tasks = [
        json.loads((part / f"{task}_tidy.json").read_text(encoding="utf-8")) for task in ("sivqa", "mivqa", "textqa")
    ]
    pictures = list((part / "images").rglob("*.webp"))
    styles, foods = {path.parent.name for path in pictures}, {entry["tags"]["dish"] for entry in tasks[0]}
    counts = " | ".join(f"{len(entries):,}" for entries in tasks)
    return f"| `{part.name}` | {_TESTS[part.name]} | {len(foods)} | {len(styles)} | {len(pictures)} | {counts} |"
