"""The tile grid of a picture, drawn: what the model is given of it and how many image tokens that costs.

In: a picture and the grid chosen for it. Out: a new RGB picture to look at or save. Knows no files and no
model.
"""

from dataclasses import dataclass

from PIL import Image, ImageDraw, ImageFont

from ivl.errors import SettingsError

_PAPER = (250, 249, 246)
_INK = (32, 36, 43)
_QUIET = (106, 112, 122)
_EDGE = (208, 206, 200)
_LINE = (255, 255, 255)
_LINE_EDGE = (24, 28, 34)
_LABEL = (24, 28, 34)
_LABEL_INK = (255, 255, 255)
_THUMBNAIL_LABEL = (176, 70, 20)

_MARGIN = 28
_GAP = 32
_TITLE_SIZE = 26
_TEXT_SIZE = 19
_GRID_SIDE = 900
_TILE_SIDES = (24, 300)
_THUMBNAIL_SIDES = (120, 240)
_SMOOTH = 4
"""Labels are drawn this much larger and shrunk: PIL does not smooth rounded corners."""


def draw_grid(
    image: Image.Image,
    columns: int,
    rows: int,
    tile_size: int = 448,
    tokens_per_tile: int = 256,
    thumbnail: bool = True,
) -> Image.Image:
    """The picture as the model is given it: resized to the grid, with lines, tiles numbered in reading order.

    The thumbnail stands beside it, as the last number, where one is sent (more than one tile). The caption
    says size, grid, tiles and image tokens. tile_size: pixels a side; tokens_per_tile: image tokens of each.

    Raises SettingsError for numbers below 1.
    """
    counts = {"columns": columns, "rows": rows, "tile_size": tile_size, "tokens_per_tile": tokens_per_tile}
    for name, value in counts.items():
        if value < 1:
            raise SettingsError(f"{name}={value!r} is not allowed: a whole number of at least 1")
    has_thumbnail = thumbnail and columns * rows > 1
    title, text = _caption(image.size, columns, rows, tile_size, tokens_per_tile, has_thumbnail)
    text_width = max(_font(_TITLE_SIZE).getlength(title), _font(_TEXT_SIZE).getlength(text))
    layout = _Layout(columns=columns, rows=rows, has_thumbnail=has_thumbnail, text_width=round(text_width))

    rgb = image.convert("RGB")
    page = Image.new("RGB", layout.page_size, _PAPER)
    draw = ImageDraw.Draw(page)
    draw.text((_MARGIN, _MARGIN - 6), title, fill=_INK, font=_font(_TITLE_SIZE))
    draw.text((_MARGIN, _MARGIN + _TITLE_SIZE + 6), text, fill=_QUIET, font=_font(_TEXT_SIZE))
    sheet = rgb.resize((columns * tile_size, rows * tile_size), Image.Resampling.BICUBIC)
    page.paste(sheet.resize(layout.grid_size, Image.Resampling.LANCZOS), layout.grid_corner)
    _draw_lines(draw, layout)
    _draw_numbers(page, layout)
    if has_thumbnail:
        small = rgb.resize((tile_size, tile_size), Image.Resampling.BICUBIC)
        _draw_thumbnail(page, draw, layout, small)
    return page


def _caption(
    size: tuple[int, int], columns: int, rows: int, tile_size: int, tokens_per_tile: int, has_thumbnail: bool
) -> tuple[str, str]:
    """The cost, and how it comes about."""
    num_tiles = columns * rows + has_thumbnail
    tiles = "1 tile" if num_tiles == 1 else f"{num_tiles} tiles"
    if has_thumbnail:
        tiles = f"{num_tiles - 1} tiles + thumbnail"
    text = (
        f"{size[0]} x {size[1]} pixels   \u00b7   grid {columns} x {rows}   \u00b7   "
        f"{tiles} of {tile_size} x {tile_size}   \u00b7   {tokens_per_tile} tokens each"
    )
    return f"{num_tiles * tokens_per_tile:,} image tokens", text


@dataclass(frozen=True, kw_only=True)
class _Layout:
    """Where everything stands on the page, in pixels."""

    columns: int
    rows: int
    has_thumbnail: bool
    text_width: int

    @property
    def tile(self) -> int:
        """Side of a drawn tile."""
        least, most = _TILE_SIDES
        return max(least, min(most, _GRID_SIDE // max(self.columns, self.rows)))

    @property
    def thumbnail(self) -> int:
        """Side of the drawn thumbnail: that of a tile, as for the model, unless that is too small to see."""
        least, most = _THUMBNAIL_SIDES
        return max(least, min(most, max(self.tile, self.grid_size[1] // 4)))

    @property
    def grid_size(self) -> tuple[int, int]:
        return self.columns * self.tile, self.rows * self.tile

    @property
    def grid_corner(self) -> tuple[int, int]:
        return _MARGIN, _MARGIN + _TITLE_SIZE + _TEXT_SIZE + 32

    @property
    def thumbnail_corner(self) -> tuple[int, int]:
        return _MARGIN + self.grid_size[0] + _GAP, self.grid_corner[1]

    @property
    def page_size(self) -> tuple[int, int]:
        beside = _GAP + self.thumbnail if self.has_thumbnail else 0
        below = self.thumbnail + _TEXT_SIZE + 12 if self.has_thumbnail else 0
        width = max(self.text_width, self.grid_size[0] + beside)
        return width + 2 * _MARGIN, self.grid_corner[1] + max(self.grid_size[1], below) + _MARGIN


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def _draw_lines(draw: ImageDraw.ImageDraw, layout: _Layout) -> None:
    """White lines with dark edges: seen on any picture."""
    left, top = layout.grid_corner
    width, height = layout.grid_size
    right, bottom = left + width - 1, top + height - 1
    for colour, thickness in ((_LINE_EDGE, 5), (_LINE, 3)):
        for column in range(1, layout.columns):
            x = left + column * layout.tile - 1
            draw.line((x, top, x, bottom), fill=colour, width=thickness)
        for row in range(1, layout.rows):
            y = top + row * layout.tile - 1
            draw.line((left, y, right, y), fill=colour, width=thickness)
    draw.rectangle((left - 1, top - 1, right + 1, bottom + 1), outline=_EDGE)


def _draw_numbers(page: Image.Image, layout: _Layout) -> None:
    left, top = layout.grid_corner
    for idx in range(layout.columns * layout.rows):
        row, column = divmod(idx, layout.columns)
        _draw_label(page, (left + column * layout.tile, top + row * layout.tile), idx + 1, _LABEL, layout.tile)


def _draw_thumbnail(page: Image.Image, draw: ImageDraw.ImageDraw, layout: _Layout, thumbnail: Image.Image) -> None:
    x, y = layout.thumbnail_corner
    side = layout.thumbnail
    page.paste(thumbnail.resize((side, side), Image.Resampling.LANCZOS), (x, y))
    draw.rectangle((x - 1, y - 1, x + side, y + side), outline=_EDGE)
    _draw_label(page, (x, y), layout.columns * layout.rows + 1, _THUMBNAIL_LABEL, side)
    draw.text((x, y + side + 6), "thumbnail", fill=_QUIET, font=_font(_TEXT_SIZE))


def _draw_label(
    page: Image.Image, corner: tuple[int, int], number: int, colour: tuple[int, int, int], tile: int
) -> None:
    """A number on a rounded field in the upper left of a tile."""
    size = max(9, min(20, tile // 5)) * _SMOOTH
    font = _font(size)
    width = round(max(font.getlength(str(number)) + 0.9 * size, 1.5 * size))
    height = round(1.5 * size)
    label = Image.new("RGBA", (width + _SMOOTH, height + _SMOOTH), (*_LABEL_INK, 0))
    draw = ImageDraw.Draw(label)
    draw.rounded_rectangle((0, 0, width, height), size // 3, fill=colour, outline=_LABEL_INK, width=_SMOOTH)
    draw.text((width / 2, height / 2), str(number), fill=_LABEL_INK, font=font, anchor="mm")
    small = label.resize((label.width // _SMOOTH, label.height // _SMOOTH), Image.Resampling.LANCZOS)
    inset = max(3, min(8, tile // 12))
    page.paste(small, (corner[0] + inset, corner[1] + inset), small)
