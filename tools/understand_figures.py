"""Draws the figures of docs/understand.md and docs/outlook.md, and writes their tables: `python -m
tools.understand_figures`.

In: the package's sample pictures, its model, and the configuration of InternVL2-2B. Out: docs/images/understand, and
the parts of both documents between `<!-- made: NAME -->` and `<!-- end -->`. To be run again when the package has
another model or other pictures; `--quick` leaves out what needs weights.
"""

import argparse
import io
import re
from collections.abc import Callable, Mapping
from pathlib import Path

from PIL import Image
from tools.outlook_schemes import draw_alignment, draw_multitask
from tools.understand_schemes import KIND_CLASS, Sheet, draw_causal, draw_model, draw_shuffle, draw_stages

from ivl.explain.anatomy import anatomy, picture_cost
from ivl.explain.costs import connector_flop, prefill_flop, tile_flop
from ivl.explain.heatmap import draw_heat
from ivl.explain.markup import data_uri, percent
from ivl.explain.page_run import Explained, explain_prompt
from ivl.explain.picture_walk import PictureWalk, walk_picture
from ivl.explain.tokens import Piece, Word
from ivl.explain.walk import seen_on_picture, share_by_kind
from ivl.model import load_config
from ivl.model.config import InternVLConfig
from ivl.model.family import FAMILY
from ivl.session import pipeline
from ivl.zoo import nano_folder, sample_pictures

ROOT = Path(__file__).parents[1]
FIGURES = ROOT / "docs/images/understand"
DOCUMENTS = {"en": ROOT / "docs/understand.md", "zh": ROOT / "docs/understand.zh-CN.md"}
PUBLISHED = "InternVL2-2B"
QUESTIONS = {"en": "What is in the picture?", "zh": "图里有什么？"}
SCHEMES: Mapping[str, Callable[[str], str]] = {
    "model": draw_model,
    "causal": draw_causal,
    "stages": draw_stages,
    "alignment": draw_alignment,
    "multitask": draw_multitask,
}
MAPS = 3
_OWN = {"en": "the model in the package", "zh": "软件包里的模型"}
_ROWS = {
    "en": (
        "a tile, pixels", "a patch, pixels", "patches of a tile", "numbers of a patch", "vision layers",
        "image tokens of a tile", "numbers of a place, before the connector", "numbers of a token, after it",
        "language layers", "words in the vocabulary", "parameters: vision model", "parameters: connector",
        "parameters: language model", "tiles a picture may have", "tiles of this picture",
        "image tokens of this picture",
        "work on it, billion operations: vision model", "connector", "language model",
    ),
    "zh": (
        "一块的像素", "一个小片的像素", "每块的小片数", "每个小片的数字个数", "视觉模型的层数",
        "每块的图片词元数", "连接器之前，每个位置的数字个数", "连接器之后，每个词元的数字个数",
        "语言模型的层数", "词表大小", "参数：视觉模型", "参数：连接器",
        "参数：语言模型", "一张图最多几块", "这张图的块数", "这张图的图片词元数",
        "处理它的运算（十亿次）：视觉模型", "连接器", "语言模型",
    ),
}  # fmt: skip
_GAZE = {
    "en": (
        "*The package's model was asked \u201c{question}\u201d and said \u201c{answer}\u201d. From left to right, "
        "where it looked while it wrote {words}; in brackets, how much of that word's attention went to the picture.*"
    ),
    "zh": (
        "*问软件包里的模型\u201c{question}\u201d，它答\u201c{answer}\u201d。从左到右是它写{words}时看的地方；"
        "括号里是这个词的注意力有多少在图片上。*"
    ),
}


def picture() -> Image.Image:
    """The one that the documents walk through: the largest of the package's."""
    return max((Image.open(path).convert("RGB") for path in sample_pictures()), key=lambda each: each.width)


def numbers(config: InternVLConfig, image: Image.Image) -> list[str]:
    """A column of the table, as `ivl info` and `ivl explain` count."""
    body, cost, side = anatomy(config), picture_cost(config, *image.size), config.image_size // config.vision.patch_size
    connector = cost.num_tiles * connector_flop(config)
    flops = (cost.num_tiles * tile_flop(config) - connector, connector, prefill_flop(config, cost.num_tokens))
    counts = (
        side**2, config.vision.hidden_size, config.vision.num_layers, config.tokens_per_tile,
        config.vision.hidden_size * config.shuffle_factor**2, config.text.hidden_size, config.text.num_layers,
        config.text.vocab_size, body.vision_parameters, body.connector_parameters, body.language_parameters,
    )  # fmt: skip
    shown = [f"{config.image_size} x {config.image_size}", f"{config.vision.patch_size} x {config.vision.patch_size}"]
    shown += [f"{count:,}" for count in counts]
    shown += [f"{config.max_tiles} + 1", f"{cost.columns} x {cost.rows} + 1", f"{cost.num_tokens:,}"]
    return shown + [f"{flop / 1e9:,.0f}" if flop >= 1e11 else f"{flop / 1e9:.2g}" for flop in flops]


def numbers_block(language: str) -> str:
    """The table of numbers of both models."""
    image = picture()
    columns = [numbers(load_config(nano_folder()), image), numbers(FAMILY[PUBLISHED], image)]
    rows = zip(_ROWS[language], *columns, strict=True)
    head = f"| | {_OWN[language]} | {PUBLISHED} |\n|---|--:|--:|\n"
    return head + "\n".join(f"| {' | '.join(row)} |" for row in rows)


def draw_grids(walked: PictureWalk, most: int = 12) -> str:
    """The picture under its grid, and beside it the grids whose shapes are nearest, the chosen one framed."""
    sheet = Sheet(780, 256, f"{walked.cost.columns} x {walked.cost.rows}")
    small = data_uri(walked.image, 240, quality=66)
    box = 'viewBox="0 0 1 1" preserveAspectRatio="none"'
    image = f'<image href="{small}" width="1" height="1" preserveAspectRatio="none"/>'
    sheet.raw(f'<symbol id="p" {box}>{image}</symbol><style>.g{{stroke:#10141c;stroke-width:2.5;fill:none}}</style>')
    width = 300.0
    height = width * walked.image.height / walked.image.width
    _gridded(sheet, 20, (256 - height) / 2, width, height, walked.cost.columns, walked.cost.rows)
    for at, each in enumerate(walked.candidates[:most]):
        x, y = 350 + 70 * (at % 6), 18 + 114 * (at // 6)
        cell = 52 / max(each.columns, each.rows)
        wide, high = cell * each.columns, cell * each.rows
        if each.is_chosen:
            sheet.raw(f'<rect x="{x - 3}" y="{y - 5}" width="66" height="110" rx="6" fill="none" class="f"/>')
        _gridded(sheet, x + 30 - wide / 2, y + 28 - high / 2, wide, high, each.columns, each.rows)
        sheet.words(x + 30, y + 74, f"{each.columns} x {each.rows}", "m b")
        sheet.words(x + 30, y + 92, f"\u00b1{each.distance:.2f}", "m s")
    sheet.raw("<style>.f{stroke:#1f63c4;stroke-width:3}</style>")
    return sheet.text()


def _gridded(sheet: Sheet, x: float, y: float, width: float, height: float, columns: int, rows: int) -> None:
    lines = "".join(f"M{x + width * i / columns:.1f} {y:.1f}v{height:.1f}" for i in range(1, columns))
    lines += "".join(f"M{x:.1f} {y + height * i / rows:.1f}h{width:.1f}" for i in range(1, rows))
    place = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    sheet.raw(f'<use href="#p" {place}/><rect {place} class="o"/><path d="{lines}" class="g"/>')


def draw_tiles(walked: PictureWalk, side: int = 112, gap: int = 8) -> Image.Image:
    """The tiles as the model gets them, and the thumbnail behind them."""
    columns, rows = walked.cost.columns, walked.cost.rows
    width, height = columns * (side + gap) + 3 * gap + side, rows * (side + gap) - gap
    sheet = Image.new("RGB", (width, height), (208, 212, 220))
    for at, tile in enumerate(walked.tiles):
        row, column = divmod(at, columns)
        corner = (column * (side + gap), row * (side + gap)) if at < columns * rows else (width - side, 0)
        sheet.paste(tile.resize((side, side), Image.Resampling.LANCZOS), corner)
    return sheet


def draw_patches(walked: PictureWalk, config: InternVLConfig) -> str:
    """One tile under the net of its patches, and under that of its tokens; what becomes one token is marked."""
    side, factor = config.image_size // config.vision.patch_size, config.shuffle_factor
    sheet = Sheet(620, 306, f"{side} x {side} / {side // factor} x {side // factor}")
    tile = data_uri(walked.tiles[0], 224, quality=72)
    sheet.raw(f'<symbol id="p" viewBox="0 0 1 1"><image href="{tile}" width="1" height="1"/></symbol>')
    sheet.raw("<style>.n{stroke:#10141c;stroke-opacity:.45;stroke-width:.7;fill:none}.k{stroke:#d4006a;fill:none;")
    sheet.raw("stroke-width:3}</style>")
    for x, cells, marked in ((20, side, factor), (344, side // factor, 1)):
        step, at = 256 / cells, cells // 3 // marked * marked
        net = "".join(f"M{x + step * i:g} 16v256M{x} {16 + step * i:g}h256" for i in range(1, cells))
        size = f'width="{step * marked:g}" height="{step * marked:g}"'
        sheet.raw(f'<use href="#p" x="{x}" y="16" width="256" height="256"/><path d="{net}" class="n"/>')
        sheet.raw(f'<rect x="{x + step * at:g}" y="{16 + step * at:g}" {size} class="k"/>')
        sheet.words(x + 128, 294, f"{cells} x {cells} = {cells**2:,}", "m b")
    sheet.arrow((286, 144), (334, 144))
    return sheet.text()


def draw_prompt(explained: Explained, per_line: float = 720) -> str:
    """Prompt and answer, token by token, coloured by kind; of a long run of text only its beginning and end."""
    sheet, x, y = Sheet(760, 0, explained.prompt), 20.0, 18.0
    for piece in _shortened(explained.walk.pieces):
        text = f"\u25a6 x {len(piece.token_ids)}" if piece.tile is not None else piece.text.replace("\n", "\u21b5")
        width = sum(13.5 if ord(char) > 0x2E80 else 7.6 for char in text) + 12
        if x + width > 20 + per_line:
            x, y = 20.0, y + 30
        sheet.raw(f'<rect x="{x:g}" y="{y:g}" width="{width:g}" height="24" rx="4" class="{KIND_CLASS[piece.kind]}"/>')
        sheet.words(round(x + width / 2, 1), y + 16.5, text, "m")
        x += width + 4
    sheet.height = y + 42
    return sheet.text()


def _shortened(pieces: tuple[Piece, ...], keep: int = 8) -> list[Piece]:
    """Without the middle of the system message."""
    first = next(at for at, piece in enumerate(pieces) if piece.kind == "image")
    if first <= 2 * keep:
        return list(pieces)
    left_out = sum(len(piece.token_ids) for piece in pieces[keep : first - keep])
    dots = Piece(text=f"\u2026 {left_out} \u2026", kind="template", token_ids=(), start=pieces[keep].start)
    return [*pieces[:keep], dots, *pieces[first - keep :]]


def chosen_words(explained: Explained) -> list[tuple[Word, float, Image.Image]]:
    """The words with the most attention on the picture, in their order: that share, and the picture lit by it."""
    walk = explained.walk
    looked = [(word, gaze.late.numpy()) for word, gaze in explained.looked if word.text.isalnum()]
    best = sorted(looked, key=lambda each: -share_by_kind(walk, each[1])["image"])[:MAPS]
    return [
        (word, share_by_kind(walk, shares)["image"],
         draw_heat(walk.pictures[0].image, seen_on_picture(walk, shares, 0), longest=300))
        for word, shares in looked
        if any(word is other for other, _ in best)
    ]  # fmt: skip


def gaze_block(explained: Explained, language: str) -> str:
    """The line under the drawing of the attention."""
    words = [f"\u201c{word.text}\u201d ({percent(share)})" for word, share, _ in chosen_words(explained)]
    answer = explained.answer.strip()
    joined = "、".join(words) if language == "zh" else ", ".join(words)
    return _GAZE[language].format(question=explained.prompt, answer=answer, words=joined)


def beside(images: list[Image.Image], gap: int = 8) -> Image.Image:
    """Pictures of one height, side by side."""
    sheet = Image.new("RGB", (sum(each.width + gap for each in images) - gap, images[0].height), (208, 212, 220))
    for at, each in enumerate(images):
        sheet.paste(each, (at * (each.width + gap), 0))
    return sheet


def put_block(text: str, name: str, block: str) -> str:
    """A document with what stands between the marks of that name replaced."""
    marks = re.compile(rf"(<!-- made: {name} -->\n).*?(\n<!-- end -->)", re.DOTALL)
    assert len(marks.findall(text)) == 1, f"{name} stands {len(marks.findall(text))} times in the document"
    return marks.sub(lambda found: found[1] + block + found[2], text)


def plain_figures() -> dict[str, bytes]:
    """All figures that need no weights, by their file names."""
    config = FAMILY[PUBLISHED]
    walked = walk_picture(picture(), config, config.max_tiles)
    texts = {f"{name}-{language}.svg": draw(language) for name, draw in SCHEMES.items() for language in QUESTIONS}
    texts |= {"shuffle.svg": draw_shuffle(), "grids.svg": draw_grids(walked)}
    texts["patches.svg"] = draw_patches(walked, config)
    return {name: text.encode() for name, text in texts.items()} | {"tiles.webp": _webp(draw_tiles(walked))}


def asked_figures(explained: Mapping[str, Explained]) -> dict[str, bytes]:
    """Those that the package's model has a part in."""
    figures: dict[str, bytes] = {}
    for language, each in explained.items():
        figures[f"prompt-{language}.svg"] = draw_prompt(each).encode()
        figures[f"gaze-{language}.webp"] = _webp(beside([image for _, _, image in chosen_words(each)]))
    return figures


def _webp(image: Image.Image, quality: int = 60) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "WEBP", quality=quality, method=6)
    return buffer.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="leave out what needs the model's weights")
    quick = parser.parse_args().quick
    figures, explained = plain_figures(), dict[str, Explained]()
    if not quick:
        with pipeline() as pipe:
            explained = {name: explain_prompt(pipe, text, [picture()]) for name, text in QUESTIONS.items()}
        figures |= asked_figures(explained)
    FIGURES.mkdir(parents=True, exist_ok=True)
    for name, data in figures.items():
        (FIGURES / name).write_bytes(data)
    for language, path in DOCUMENTS.items():
        text = put_block(path.read_text("utf-8"), "numbers", numbers_block(language))
        if language in explained:
            text = put_block(text, "gaze", gaze_block(explained[language], language))
        path.write_text(text, "utf-8")
    print(f"{len(figures)} figures, {sum(map(len, figures.values())) / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
