"""The sets of the food story, opened as `ivl eval` opens them.

In: OUT/sets. Out: `EvalSet`s: all subjects are asked the first ones, the blind test is apart.
"""

from dataclasses import replace
from pathlib import Path

from ivl.evals.foodieqa import open_foodieqa
from ivl.evals.item import EvalSet
from ivl.evals.own import general_sets, naming_sets

FOOD_PARTS = ("trained", "heldout")
GENERAL = "general-"
KIND = "general-kind"
"""What food is called before the fine-tune; afterwards other names are right, so it counts for no forgetting."""


def open_story_sets(folder: Path, prompts: int) -> tuple[EvalSet, ...]:
    """Questions in FoodieQA's shape with so many of its prompts, names, general abilities."""
    sets: list[EvalSet] = []
    for part in FOOD_PARTS:
        name = f"food-{part}"
        sets += naming_sets(folder / part, name)
        sets += with_prompts(open_foodieqa(folder / part, name=name), prompts)
    sets += general_sets(folder / "general")
    return tuple(sets)


def open_grey_sets(folder: Path, prompts: int) -> tuple[EvalSet, ...]:
    """The questions on one picture, all pictures grey."""
    return with_prompts(open_foodieqa(folder / "grey", name="grey", tasks=["sivqa"]), prompts)


def with_prompts(sets: tuple[EvalSet, ...], prompts: int) -> tuple[EvalSet, ...]:
    """At most so many prompts of each; faults that are told of tasks that are not wanted are dropped."""
    return tuple(replace(each, num_prompts=min(prompts, each.num_prompts), faults=()) for each in sets)
