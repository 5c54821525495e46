"""Questions whose answer tells the whole scene: in order, in a sentence, with boxes, row by row.

In: an `Asking`. Out: question and answer, or None where the scene does not allow it, as in `ask.py`.
"""

import itertools
from typing import TYPE_CHECKING

from tools.nano.phrases import box_text, counted, joined
from tools.nano.wording import COLOURS

if TYPE_CHECKING:
    from tools.nano.ask import Asking, Made


def order(on: "Asking") -> "Made":
    items = sorted(on.scene.items, key=lambda item: item.centre[0])
    gaps = [right.centre[0] - left.centre[0] for left, right in itertools.pairwise(items)]
    if not 2 <= len(items) <= 6 or min(gaps) < 0.05 or on.scene.label:
        return None
    return on.say("order"), on.pick(", ", "、").join(on.word(item.noun) for item in items)


def describe(on: "Asking") -> "Made":
    scene = on.scene
    if scene.label:
        return None
    nouns = sorted(scene.nouns, key=lambda noun: min(item.centre[0] for item in scene.items if item.noun == noun))
    parts = [counted(noun, scene.count(noun), on.language) for noun in nouns]
    if on.language == "zh":
        ground = f"，背景是{COLOURS[scene.background]}" if scene.background else ""
        return on.say("describe"), f"图中有{'、'.join(parts)}{ground}。"
    ground = f" on {'an' if scene.background == 'orange' else 'a'} {scene.background} background"
    return on.say("describe"), f"The picture shows {joined(parts)}{ground if scene.background else ''}."


def ground_all(on: "Asking") -> "Made":
    items = sorted(on.scene.items, key=lambda item: item.box)
    if len(items) > 6 or on.scene.label:
        return None
    return on.say("ground_all"), "".join(f"<ref>{on.word(item.noun)}</ref>{box_text([item.box])}" for item in items)


def rows(on: "Asking") -> "Made":
    """All names of a sheet, row by row; foods with their looks: dog, fruit (curved and yellow)."""
    if not on.scene.columns:
        return None
    left, right = on.pick(" (", "（"), on.pick(")", "）")
    words = [
        on.word(item.noun) + (f"{left}{look}{right}" if (look := on.look(item)) else "") for item in on.scene.items
    ]
    rows = (words[start : start + on.scene.columns] for start in range(0, len(words), on.scene.columns))
    return on.say("rows"), "\n".join(on.pick(", ", "、").join(row) for row in rows)
