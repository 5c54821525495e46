"""Two parts of the page of `ivl explain`: the way of one question through the model, and what its parts are and do.

In: a `Walk` and a `PageWording`. Out: HTML, to be put into a page with `page_style.STYLE`; and the numbers behind it.
Knows no weights and no clock: the work is counted from the configuration (`costs.py`).
"""

from dataclasses import dataclass

from ivl.explain.anatomy import anatomy
from ivl.explain.costs import connector_flop, decode_flop, prefill_flop, tile_flop
from ivl.explain.markup import percent, safe, section, table
from ivl.explain.page_words import PageWording
from ivl.explain.walk import Walk


@dataclass(frozen=True, kw_only=True)
class Part:
    """A part of the model, and what one question asks of it."""

    parameters: int
    flop: int
    """Floating-point operations of the question and its answer, at least."""


def count_parts(walk: Walk) -> tuple[Part, Part, Part]:
    """Vision model, connector and language model.

    The last token of the answer is written and not read any more.
    """
    config, num_tiles = walk.config, sum(walk.inputs.tile_counts)
    body, connector = anatomy(config), num_tiles * connector_flop(config)
    lengths = range(walk.num_prompt, walk.num_prompt + max(0, len(walk.answer_ids) - 1))
    language = prefill_flop(config, walk.num_prompt) + sum(decode_flop(config, length) for length in lengths)
    return (
        Part(parameters=body.vision_parameters, flop=num_tiles * tile_flop(config) - connector),
        Part(parameters=body.connector_parameters, flop=connector),
        Part(parameters=body.language_parameters, flop=language),
    )


def flow(walk: Walk, words: PageWording) -> str:
    """The steps from pictures to the answer, each with what there is of it."""
    config, num_tiles = walk.config, sum(walk.inputs.tile_counts)
    per_tile = (config.image_size // config.vision.patch_size) ** 2
    tokens = num_tiles * config.tokens_per_tile
    numbers = {
        "tiles": num_tiles,
        "patches": num_tiles * per_tile,
        "per_tile": per_tile,
        "tokens": tokens,
        "group": config.shuffle_factor**2,
        "width": config.text.hidden_size,
        "prompt": walk.num_prompt,
        "text": walk.num_prompt - tokens,
        "layers": config.text.num_layers,
        "answer": len(walk.answer_ids),
    }
    shown = {name: f"{number:,}" for name, number in numbers.items()} | {"size": str(config.image_size)}
    steps = "".join(
        f"<li><h3>{safe(name)}</h3><strong>{safe(figure.format(**shown))}</strong>"
        f"<p>{safe(told.format(**shown))}</p></li>"
        for name, figure, told in words.flow
    )
    return f'<ol class="ivl-page-flow">{steps}</ol>'


def parts_section(walk: Walk, words: PageWording) -> str:
    """A table of parameters and work."""
    parts = count_parts(walk)
    whole = Part(parameters=sum(part.parameters for part in parts), flop=sum(part.flop for part in parts))
    *rows, foot = (_row(name, part, whole) for name, part in zip(words.part_names, (*parts, whole), strict=True))
    drawn = table(words.parts_caption, words.parts_head, rows, foot)
    return section(words.parts_title, words.parts_lead, drawn, name="parts")


def _row(name: str, part: Part, whole: Part) -> list[str]:
    shares = part.parameters / whole.parameters, part.flop / max(1, whole.flop)
    billions = part.flop / 1e9
    work = f"{billions:,.0f}" if billions >= 100 else f"{billions:.3g}"
    return [safe(name), f"{part.parameters:,}", percent(shares[0]), work, percent(shares[1])]
