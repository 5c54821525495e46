"""What every process of the generator holds: the catalogue, the asker, the names of dishes.

In: the pack of artwork and the table of foods. Out: `Setting`. Built once, and small enough to send to every process.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from tools.foods.facts import Foods, load_foods
from tools.nano.ask import Asker
from tools.nano.colours import dominant_colours, mean_colours
from tools.nano.doubts import also_called
from tools.nano.hulls import outlines
from tools.nano.looks import load_looks
from tools.nano.nouns import Noun, name_things
from tools.nano.pack import Pack
from tools.nano.planner import CLOCKS, Catalogue, Mix
from tools.nano.vocabulary import Thing

STYLE_WEIGHTS = {
    "noto": 1.0, "noto-v1": 1.0, "twemoji": 1.1, "fluent-emoji": 0.9, "fluent-emoji-flat": 1.1, "emojione": 1.0,
    "emojione-v1": 0.9, "streamline-emojis": 0.7, "emojione-monotone": 0.3, "fluent-emoji-high-contrast": 0.3,
    "twemoji-outlined": 0.8, "fluent-emoji-flat-outlined": 0.8, "emojione-outlined": 0.6, "noto-outlined": 0.5,
    "noto-v1-outlined": 0.5,
}  # fmt: skip


@dataclass(frozen=True, kw_only=True, eq=False)
class Setting:
    """The artwork, and how it is spoken of."""

    styles: tuple[str, ...]
    trained_styles: tuple[int, ...]
    catalogue: Catalogue
    asker: Asker
    dish_names: dict[str, list[str]]
    """By language."""

    @property
    def training_mix(self) -> Mix:
        """Scenes of all trained styles, by their weights."""
        weights = tuple(STYLE_WEIGHTS[self.styles[idx]] for idx in self.trained_styles)
        return Mix(styles=self.trained_styles, style_weights=weights)

    def style_mix(self, *names: str) -> Mix:
        """Scenes of some styles alone, such as held-out ones."""
        styles = tuple(self.styles.index(name) for name in names)
        return Mix(styles=styles, style_weights=(1.0,) * len(styles), mixed_styles=0.0)


def make_setting(pack: Pack) -> Setting:
    """Reads the pack's pixels once, and holds none of them."""
    foods = load_foods()
    nouns = name_things(pack.things, foods)
    by_style: list[dict[int, list[int]]] = [{} for _ in pack.styles]
    for sprite, (style, thing) in enumerate(zip(pack.style_idx.tolist(), pack.thing_idx.tolist(), strict=True)):
        by_style[style].setdefault(thing, []).append(sprite)
    catalogue = Catalogue(
        things=pack.things,
        nouns=tuple(nouns),
        by_style=tuple(by_style),
        colours=dominant_colours(pack.sprites),
        means=mean_colours(pack.sprites),
        outlines=outlines(pack.sprites),
    )
    return Setting(
        styles=pack.styles,
        trained_styles=tuple(pack.trained_styles),
        catalogue=catalogue,
        asker=make_asker(pack.things, nouns, foods),
        dish_names=dish_names(foods),
    )


def make_asker(things: Sequence[Thing], nouns: Sequence[Noun], foods: Foods) -> Asker:
    """Nouns worth asking about: kinds of food as often as a few dozen of the others."""
    groups: dict[int, list[Noun]] = {}
    for thing, noun in zip(things, nouns, strict=True):
        groups.setdefault(thing.subgroup, []).append(noun)
    kinds = list(dict.fromkeys(noun for noun in nouns if noun.is_kind))
    near: dict[Noun, list[Noun]] = dict.fromkeys(kinds, kinds)
    for thing, noun in zip(things, nouns, strict=True):
        near.setdefault(noun, list(dict.fromkeys(groups[thing.subgroup])))
    objects = [
        noun
        for thing, noun in zip(things, nouns, strict=True)
        if thing.group in (3, 5, 6, 7) and not noun.is_kind and not thing.english.endswith(CLOCKS)
    ]
    known = load_looks()
    looks = {idx: known[thing.code] for idx, thing in enumerate(things) if thing.code in known}
    also = also_called(things, nouns, foods, looks)
    doubtful: dict[Noun, frozenset[Noun]] = {}
    for idx, others in also.items():
        doubtful[nouns[idx]] = doubtful.get(nouns[idx], frozenset()) | others
    return Asker(nouns=objects + kinds * 12, near=near, also=also, doubtful=doubtful, looks=looks)


def dish_names(foods: Foods) -> dict[str, list[str]]:
    """Every name of every food, by language."""
    return {
        "en": [name for food in foods.foods for name in (food.name_en, *food.aliases_en)],
        "zh": [name for food in foods.foods for name in (food.name_zh, *food.aliases_zh)],
    }
