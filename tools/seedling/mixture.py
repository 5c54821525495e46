"""What the training scenes are mixed from: the catalogue of a pack, and how often each style is drawn.

In: a pack. Out: `Catalogue` and `Mix` for the planner.
"""

from tools.seedling.colours import dominant_colours, mean_colours
from tools.seedling.layout import Catalogue, Mix
from tools.seedling.pack import Pack

STYLE_WEIGHTS = {
    "noto": 1.0, "noto-v1": 1.0, "twemoji": 1.1, "fluent-emoji": 0.9, "fluent-emoji-flat": 1.1, "emojione": 1.0,
    "emojione-v1": 0.9, "streamline-emojis": 0.7, "emojione-monotone": 0.3, "fluent-emoji-high-contrast": 0.3,
    "twemoji-outlined": 0.8, "fluent-emoji-flat-outlined": 0.8, "emojione-outlined": 0.6, "noto-outlined": 0.5,
    "noto-v1-outlined": 0.5,
}  # fmt: skip


def catalogue_of(pack: Pack) -> Catalogue:
    """The pack's tables as the planner reads them."""
    by_style: list[dict[int, list[int]]] = [{} for _ in pack.styles]
    for sprite, (style, thing) in enumerate(zip(pack.style_idx.tolist(), pack.thing_idx.tolist(), strict=True)):
        by_style[style].setdefault(thing, []).append(sprite)
    return Catalogue(
        things=pack.things,
        by_style=tuple(by_style),
        colours=dominant_colours(pack.sprites),
        means=mean_colours(pack.sprites),
    )


def training_mix(pack: Pack, food_share: float, symbol_share: float) -> Mix:
    """Scenes of all trained styles, by their weights."""
    styles = tuple(pack.trained_styles)
    weights = tuple(STYLE_WEIGHTS[pack.styles[style]] for style in styles)
    return Mix(styles=styles, style_weights=weights, food_share=food_share, symbol_share=symbol_share)
