"""The walk through the model as HTML, part by part: one picture's grid, tiles and tokens.

In: a `Walk`, which of its pictures, and a `Wording`. Out: HTML of a section, to be put into any page with `STYLE`.
`prompt_sections.py` has the parts about the prompt, the time and the attention. Knows no weights.
"""

from PIL.Image import Image

from ivl.explain.markup import data_uri, figure, img, safe, section, table
from ivl.explain.picture_walk import Candidate, PictureWalk
from ivl.explain.walk import Walk
from ivl.explain.wording import Wording

_MOST_GRIDS = 48
_GRID_SIDE = 84
_PICTURE_SIDE = 720
_TILE_SIDE = 336


def grid_section(walk: Walk, picture: int, words: Wording) -> str:
    """The grids that the picture could have been cut into, and the one that was chosen, drawn on it."""
    shown, config = walk.pictures[picture], walk.config
    tiles = [each.columns * each.rows for each in shown.candidates]
    lead = words.grid_lead.format(
        size=config.image_size,
        least=min(tiles),
        most=max(tiles),
        count=len(tiles),
        width=shown.cost.width,
        height=shown.cost.height,
        shape=shown.cost.width / shown.cost.height,
    )
    body = f'<div class="ivl-how-row">{_chosen(shown, words)}{_candidates(shown, words)}</div>'
    return section(words.grid_title, lead, body, name="grid")


def tiles_section(walk: Walk, picture: int, words: Wording) -> str:
    """The tiles and the thumbnail, as the vision model is given them."""
    shown = walk.pictures[picture]
    cost = shown.cost
    lead = words.tiles_lead.format(count=cost.num_tiles) if cost.num_tiles > 1 else words.tiles_one
    own = shown.tiles[: cost.columns * cost.rows]
    sheet = []
    for idx, tile in enumerate(own):
        row, column = divmod(idx, cost.columns)
        alt = words.tile_alt.format(number=idx + 1, row=row + 1, column=column + 1)
        sheet.append(_tile(tile, alt, str(idx + 1)))
    style = f"grid-template-columns:repeat({cost.columns},minmax(0,1fr));max-width:{min(680, 220 * cost.columns)}px"
    body = f'<div class="ivl-how-sheet" style="{style}">{"".join(sheet)}</div>'
    if cost.has_thumbnail:
        alt = words.thumbnail_alt.format(number=cost.num_tiles)
        name = f"{cost.num_tiles}: {words.thumbnail_name}"
        body += f'<div class="ivl-how-sheet ivl-how-thumbnail">{_tile(shown.tiles[-1], alt, name)}</div>'
    return section(words.tiles_title, lead, f'<div class="ivl-how-row">{body}</div>', name="tiles")


def tokens_section(walk: Walk, picture: int, words: Wording) -> str:
    """How the patches of a tile become image tokens, with the numbers at every step."""
    shown, config = walk.pictures[picture], walk.config
    patches = config.image_size // config.vision.patch_size
    factor, tokens = config.shuffle_factor, shown.cut.side
    lead = words.tokens_lead.format(
        size=config.image_size,
        patch=config.vision.patch_size,
        patches=f"{patches**2:,}",
        factor=factor,
        tokens=tokens**2,
    )
    # What is marked stands a third of the way in, where a picture mostly has something to see.
    mark = tokens // 3
    tile = data_uri(shown.tiles[0], _TILE_SIDE)
    left = _net(tile, patches, mark * factor, factor, words.patches_alt.format(side=patches, factor=factor))
    right = _net(tile, tokens, mark, 1, words.shuffled_alt.format(side=tokens))
    body = (
        figure(left, words.patches_name.format(side=patches, count=f"{patches**2:,}"), "ivl-how-net")
        + '<span class="ivl-how-arrow" aria-hidden="true">\u2192</span>'
        + figure(right, words.shuffled_name.format(side=tokens, count=f"{tokens**2:,}"), "ivl-how-net")
    )
    body = f'<div class="ivl-how-row">{body}{_shapes(walk, shown, words)}</div>'
    return section(words.tokens_title, lead, body, name="tokens")


def _chosen(shown: PictureWalk, words: Wording) -> str:
    """The picture with the lines and numbers of its grid."""
    cost, image = shown.cost, shown.image
    scale = min(1.0, _PICTURE_SIDE / max(image.size))
    width, height = max(1, round(image.width * scale)), max(1, round(image.height * scale))
    across, down = width / cost.columns, height / cost.rows
    lines = "".join(f"M{across * i:.1f} 0V{height}" for i in range(1, cost.columns))
    lines += "".join(f"M0 {down * i:.1f}H{width}" for i in range(1, cost.rows))
    radius = max(4.0, min(18.0, across / 4, down / 4))
    labels = "".join(
        f'<g transform="translate({across * column + 1.5 * radius:.1f} {down * row + 1.5 * radius:.1f})">'
        f'<circle r="{radius:.1f}"/><text font-size="{1.1 * radius:.1f}">{row * cost.columns + column + 1}</text></g>'
        for row in range(cost.rows)
        for column in range(cost.columns)
    )
    alt = words.grid_chosen_alt.format(columns=cost.columns, rows=cost.rows)
    drawing = (
        f'<svg viewBox="0 0 {width} {height}" role="img" aria-label="{safe(alt)}">'
        f'<image href="{data_uri(image, _PICTURE_SIDE)}" width="{width}" height="{height}" preserveAspectRatio="none"/>'
        f'<path class="ivl-how-shade" d="{lines}"/><path class="ivl-how-line" d="{lines}"/>{labels}</svg>'
    )
    count = cost.columns * cost.rows
    caption = words.grid_chosen.format(columns=cost.columns, rows=cost.rows, count=count)
    return figure(drawing, caption, "ivl-how-chosen")


def _candidates(shown: PictureWalk, words: Wording) -> str:
    """Every grid with the picture stretched to it."""
    drawn = shown.candidates[:_MOST_GRIDS]
    items = "".join(_candidate(each, words) for each in drawn)
    left = len(shown.candidates) - len(drawn)
    more = f"<p>{safe(words.grid_more.format(count=left))}</p>" if left else ""
    small = data_uri(shown.image, 160)
    return (
        f'<div class="ivl-how-all"><h4>{safe(words.grid_all.format(count=len(shown.candidates)))}</h4>'
        f'<ol class="ivl-how-grids" style="--ivl-how-picture:url({small})">{items}</ol>{more}</div>'
    )


def _candidate(each: Candidate, words: Wording) -> str:
    cell = _GRID_SIDE / max(each.columns, each.rows)
    width, height = cell * each.columns, max(4.0, cell * each.rows)
    lines = "".join(f"M{i} 0V{each.rows}" for i in range(1, each.columns))
    lines += "".join(f"M0 {i}H{each.columns}" for i in range(1, each.rows))
    mark = f'<b><span aria-hidden="true">\u2713 </span>{safe(words.grid_mark)}</b>' if each.is_chosen else ""
    name, off = (
        words.grid_each.format(columns=each.columns, rows=each.rows),
        words.grid_off.format(distance=each.distance),
    )
    return (
        f'<li{" class=ivl-how-taken" if each.is_chosen else ""}><div class="ivl-how-box">'
        f'<svg viewBox="0 0 {each.columns} {each.rows}" preserveAspectRatio="none" aria-hidden="true" '
        f'style="width:{width:.1f}px;height:{height:.1f}px"><path class="ivl-how-shade" d="{lines}"/>'
        f'<path class="ivl-how-line" d="{lines}"/></svg></div>'
        f"<span>{safe(name)}</span> <span>{safe(off)}</span>{mark}</li>"
    )


def _tile(tile: Image, alt: str, name: str) -> str:
    return f'<div class="ivl-how-tile">{img(tile, alt, _TILE_SIDE)}<span>{safe(name)}</span></div>'


def _net(tile: str, side: int, mark: int, width: int, alt: str) -> str:
    """A tile under a net of side x side cells, width x width of them marked from the cell (mark, mark) on."""
    net = f'<path class="ivl-how-thin" d="{"".join(f"M{i} 0V{side}M0 {i}H{side}" for i in range(1, side))}"/>'
    return (
        f'<svg viewBox="0 0 {side} {side}" role="img" aria-label="{safe(alt)}">'
        f'<image href="{tile}" width="{side}" height="{side}"/>{net}{net}'
        f'<rect class="ivl-how-shade" x="{mark}" y="{mark}" width="{width}" height="{width}"/>'
        f'<rect class="ivl-how-mark" x="{mark}" y="{mark}" width="{width}" height="{width}"/></svg>'
    )


def _shapes(walk: Walk, shown: PictureWalk, words: Wording) -> str:
    config, num_tiles = walk.config, shown.cost.num_tiles
    patches = (config.image_size // config.vision.patch_size) ** 2
    tokens, width, factor = config.tokens_per_tile, config.vision.hidden_size, config.shuffle_factor
    rows = [
        (words.shapes_pixels, config.image_size**2, 3),
        (words.shapes_patches, patches, width),
        (words.shapes_shuffle, tokens, width * factor**2),
        (words.shapes_connector, tokens, config.text.hidden_size),
    ]
    cells = [(safe(name), f"{count:,} x {wide:,}", f"{num_tiles * count:,} x {wide:,}") for name, count, wide in rows]
    head = [words.shapes_step, words.shapes_tile, words.shapes_all.format(count=num_tiles)]
    return table(words.shapes_caption, head, cells)
