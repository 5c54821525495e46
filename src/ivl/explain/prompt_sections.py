"""The walk through the model as HTML: the prompt's tokens, where the time went, where a word looked.

In: a `Walk`, a `Timing`, a `Gaze`, and a `Wording`. Out: HTML of a section, to be put into any page with `STYLE`.
Knows no weights.
"""

from ivl.explain.attention import Gaze
from ivl.explain.heatmap import Floats, draw_heat, draw_scale, ninths
from ivl.explain.markup import data_uri, duration, img, percent, safe, section, table
from ivl.explain.timing import Stage, Timing
from ivl.explain.tokens import KINDS, Kind, Piece, count_kinds
from ivl.explain.walk import Walk, seen_on_picture, share_by_kind
from ivl.explain.wording import Wording

_SHOWN_SPACE = {"\n": "\u21b5", "\t": "\u21e5", "\r": "\u240d"}


def prompt_section(walk: Walk, words: Wording) -> str:
    """Every token of the prompt and its answer, coloured and framed by kind, and how many there are of each."""
    counts = count_kinds(walk.pieces)
    total = max(1, sum(counts.values()))
    lead = words.prompt_lead.format(prompt=f"{walk.num_prompt:,}", answer=f"{len(walk.answer_ids):,}")
    rows = [(_legend(kind, words), f"{counts[kind]:,}", percent(counts[kind] / total)) for kind in KINDS]
    legend = table(words.prompt_caption, [words.kind, words.kind_tokens, words.kind_share], rows)
    tokens = "".join(_token(piece, words) for piece in walk.pieces)
    region = f'role="region" aria-label="{safe(words.prompt_region)}" tabindex="0"'
    return section(
        words.prompt_title, lead, legend, f'<div class="ivl-how-text" {region}>{tokens}</div>', name="prompt"
    )


def time_section(timing: Timing, words: Wording) -> str:
    """The stages of the answer on one bar, and as a table."""
    total = max(timing.total_s, 1e-9)
    num_tokens = 1 + sum(stage.count for stage in timing.stages if stage.name == "decode")
    lead = words.time_lead.format(first=duration(timing.first_token_s), tokens=num_tokens)
    bars = "".join(
        f'<i class="ivl-how-stage-{stage.name}" style="flex-grow:{max(stage.seconds / total, 0.004):.4f}">{number}</i>'
        for number, stage in enumerate(timing.stages, 1)
    )
    rows = [_stage(number, stage, total, words) for number, stage in enumerate(timing.stages, 1)]
    head = [words.time_stage, words.time_seconds, words.time_share, words.time_each]
    foot = [safe(words.time_total), duration(timing.total_s), "100%", ""]
    bar = f'<div class="ivl-how-bar" role="img" aria-label="{safe(words.time_bar_alt)}">{bars}</div>'
    return section(words.time_title, lead, bar, table(words.time_caption, head, rows, foot), name="time")


def gaze_figure(
    walk: Walk,
    gaze: Gaze,
    word: str,
    layer: int | None,
    picture_idx: int,
    words: Wording,
    *,
    longest: int = 768,
    quality: int = 86,
) -> str:
    """Where a word looked: the picture lit by attention, its shares by ninths, and what else was looked at.

    layer: counted from 0; None: the mean of the last half of them. longest: pixels of the picture's longer side;
    quality: of its WebP.
    """
    num_layers = len(gaze.shares)
    shares: Floats = (gaze.late if layer is None else gaze.shares[layer]).numpy()
    laid = seen_on_picture(walk, shares, picture_idx)
    places = ninths(laid)
    row, column = divmod(int(places.argmax()), 3)
    layers = words.layers_late.format(count=num_layers - num_layers // 2)
    if layer is not None:
        layers = words.layers_one.format(number=layer + 1, count=num_layers)
    alt = words.gaze_alt.format(word=word, place=_place(row, column, words), share=percent(float(places.max())))
    heat = img(draw_heat(walk.pictures[picture_idx].image, laid, longest=longest), alt, quality=quality)
    scale = (
        f'<span class="ivl-how-scale"><span>{safe(words.gaze_less)}</span><img src="{data_uri(draw_scale())}" alt="">'
        f"<span>{safe(words.gaze_more)}</span></span>"
    )
    caption = f"<figcaption>{safe(words.gaze_name.format(word=word, layers=layers))}{scale}</figcaption>"
    lead = f"<p>{safe(words.gaze_lead.format(share=percent(float(laid.sum()))))}</p>"
    tables = _places_table(places, words) + _kinds_table(share_by_kind(walk, shares), word, words)
    return (
        f'<div class="ivl-how-part ivl-how-gaze"><div class="ivl-how-row"><figure>{heat}{caption}</figure>'
        f"<div>{lead}{tables}</div></div></div>"
    )


def _legend(kind: Kind, words: Wording) -> str:
    return f'<span class="ivl-how-token ivl-how-kind-{kind}">{safe(_kind_name(kind, words))}</span>'


def _kind_name(kind: Kind, words: Wording) -> str:
    names = {
        "template": words.kind_template,
        "text": words.kind_text,
        "image": words.kind_image,
        "answer": words.kind_answer,
    }
    return names[kind]


def _token(piece: Piece, words: Wording) -> str:
    """One box; a line break is shown, and breaks the line behind its box."""
    count = len(piece.token_ids)
    if piece.tile is not None:
        text = safe(words.prompt_tile.format(number=piece.tile + 1, count=count))
    else:
        text = safe("".join(_SHOWN_SPACE.get(char, char) for char in piece.text)) or "\u2205"
    ids = " ".join(str(token_id) for token_id in piece.token_ids[:8])
    title = f"{_kind_name(piece.kind, words)}: {ids}" if piece.tile is None else f"{piece.token_ids[0]} x {count}"
    kinds = f"ivl-how-token ivl-how-kind-{piece.kind}"
    box = f'<span class="{kinds}" title="{safe(title)}">{text}</span>'
    return box + "<br>" * min(2, piece.text.count("\n"))


def _stage(number: int, stage: Stage, total: float, words: Wording) -> list[str]:
    names = {
        "read": (words.stage_read, words.each_read),
        "cut": (words.stage_cut, words.each_cut),
        "vision": (words.stage_vision, words.each_vision),
        "prefill": (words.stage_prefill, words.each_prefill),
        "decode": (words.stage_decode, words.each_decode),
    }
    name, each = names[stage.name]
    rate = f"{stage.count / stage.seconds:,.0f}" if stage.seconds > 0 else "\u221e"
    told = each.format(each=duration(stage.seconds / stage.count), rate=rate, count=f"{stage.count:,}")
    swatch = f'<i class="ivl-how-swatch ivl-how-stage-{stage.name}">{number}</i>'
    return [f"{swatch} {safe(name)}", duration(stage.seconds), percent(stage.seconds / total), safe(told)]


def _place(row: int, column: int, words: Wording) -> str:
    if row == column == 1:
        return words.center
    if words.language == "zh":
        return words.columns[column] + words.rows[row] if column != 1 and row != 1 else _edge(row, column, words)
    return f"{words.rows[row]} {words.columns[column]}"


def _edge(row: int, column: int, words: Wording) -> str:
    """The middle of a side, in Chinese."""
    return (words.rows[row] if column == 1 else words.columns[column]) + "边"


def _places_table(places: Floats, words: Wording) -> str:
    rows = [
        (safe(words.rows[row]), *(_share_cell(float(places[row, column]), float(places.max())) for column in range(3)))
        for row in range(3)
    ]
    return table(words.gaze_places, [words.kind_share, *words.columns], rows)


def _share_cell(share: float, most: float) -> str:
    text = percent(share)
    return f"<b>{text}</b>" if share == most else text


def _kinds_table(shares: dict[Kind, float], word: str, words: Wording) -> str:
    rows = [(_legend(kind, words), percent(shares[kind])) for kind in KINDS]
    return table(words.gaze_kinds.format(word=word), [words.kind, words.kind_share], rows)
