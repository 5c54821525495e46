"""Judges a seedling folder as an outsider would: pictures as PNG files, the package's public API, a plain CPU.

    python -m tools.seedling.evaluate --folder src/ivl/zoo/seedling --pack out/seedling/pack.npz --cases 500

New scenes are drawn with Pillow from the SVG artwork at the size it is shown at (resvg), not by the GPU painter that
made the training pictures, on canvases of 448x448, 640x480 and 300x300. Out: a table, and --json.
"""

import argparse
import io
import json
import math
import random
from pathlib import Path

import ivl
import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from tools.seedling.artwork import STYLES, cropped, drawings, render
from tools.seedling.judge import Result, make_cases, score, summarise
from tools.seedling.layout import GRADIENT, MOTLEY, NOISE, STRIPES, Plan
from tools.seedling.pack import Pack, read_pack
from tools.seedling.train import catalogue_of

SIZES = ((448, 448), (640, 480), (300, 300))


class Artist:
    """Draws plans with Pillow from the SVG artwork."""

    def __init__(self, modules: Path, pack: Pack) -> None:
        things = list(pack.things)
        self.drawings = [
            (svg, style.outline)
            for style in STYLES
            for _, svg in drawings(modules / "@iconify-json" / style.package, style, things)
        ]
        assert len(self.drawings) == len(pack.sprites), "the pack was made from other packages"

    def draw(self, plan: Plan, size: tuple[int, int], seed: int) -> Image.Image:
        """An RGB picture of the plan."""
        canvas = background(plan, size, random.Random(seed))
        for sprite, (x, y, side), angle, flip in zip(plan.sprites, plan.boxes, plan.angles, plan.flips, strict=True):
            svg, outline = self.drawings[sprite]
            inner = max(8, round(side / (abs(math.cos(angle)) + abs(math.sin(angle)))))
            thing = cropped(render(svg, 2 * inner, outline), inner)
            if flip:
                thing = thing.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
            # Angles of plans turn clockwise on the screen, Pillow's the other way.
            thing = thing.rotate(-math.degrees(angle), Image.Resampling.BICUBIC, expand=True)
            canvas.paste(thing, (round(x - thing.width / 2), round(y - thing.height / 2)), thing)
        return canvas


def background(plan: Plan, size: tuple[int, int], rng: random.Random) -> Image.Image:
    """Plain, gradient, smooth noise or stripes, drawn with Pillow alone."""
    first, second = (Image.new("RGB", size, tuple(round(255 * part) for part in colour)) for colour in plan.colours)
    mask = Image.new("L", size)
    if plan.background == GRADIENT:
        mask = Image.linear_gradient("L").rotate(rng.choice((0, 90, 180, 270))).resize(size)
    elif plan.background in (NOISE, MOTLEY):
        coarse = np.random.default_rng(rng.randrange(2**32)).integers(0, 256, (8, 8), np.uint8)
        mask = Image.fromarray(coarse).resize(size, Image.Resampling.BICUBIC).filter(ImageFilter.GaussianBlur(2))
    elif plan.background == STRIPES:
        pen, step = ImageDraw.Draw(mask), rng.randint(12, 60)
        for start in range(0, size[0] + size[1], 2 * step):
            pen.line([(start, 0), (start - size[1], size[1])], fill=255, width=step // 2)
    return Image.composite(second, first, mask)


def as_png(picture: Image.Image) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


class Reader:
    """The package's public API, end to end."""

    def __init__(self, folder: Path) -> None:
        self.model = ivl.load_model(folder)
        self.processor = ivl.load_processor(folder)
        self.end = self.processor.tokenizer.encode("<|im_end|>")

    def answer(self, picture: bytes, question: str) -> str:
        parts = [{"type": "image", "image": picture}, {"type": "text", "text": question}]
        inputs = self.processor([{"role": "user", "content": parts}])
        ids = self.model.generate_greedy(inputs.input_ids, inputs.pixel_values, 32, eos_ids=self.end)
        return self.processor.tokenizer.decode([token for token in ids if token not in self.end]).strip()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("src/ivl/zoo/seedling"))
    parser.add_argument("--pack", type=Path, default=Path("out/seedling/pack.npz"))
    parser.add_argument("--npm", type=Path, default=Path("out/seedling/npm"))
    parser.add_argument("--cases", type=int, default=500, help="per kind and group of styles")
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    pack = read_pack(args.pack)
    artist, reader = Artist(args.npm / "node_modules", pack), Reader(args.folder)
    results = judge_styles(pack, artist, reader, args.cases, args.seed)
    held_out = tuple(pack.styles[style] for style in pack.held_out_styles)
    table = summarise(results, held_out)
    for kind, row in table.items():
        print(f"{kind:12}", "  ".join(f"{label} {share:.1%}" for label, share in row.items()))
    if args.json:
        args.json.write_text(json.dumps({"summary": table, "results": [r.to_json() for r in results]}, indent=1) + "\n")


def judge_styles(pack: Pack, artist: Artist, reader: Reader, number: int, seed: int) -> list[Result]:
    """All kinds on held-out styles, naming on trained ones too; canvases of each size in turn."""
    catalogue = catalogue_of(pack)
    trained = [s for s in pack.trained_styles if "outlined" not in pack.styles[s] and pack.styles[s] not in LINE_ART]
    results = []
    for styles, kinds in ((trained, ("food", "name")), (pack.held_out_styles, ("food", "name", "exists", "count"))):
        share = -(-number // (2 * len(styles)))
        for style in styles:
            for kind in kinds:
                for language in ("en", "zh"):
                    answers, cases = [], []
                    for turn, size in enumerate(SIZES):
                        part = make_cases(catalogue, style, kind, language, -(-share // len(SIZES)), seed + turn, size)
                        pictures = [as_png(artist.draw(case.plan, size, seed + i)) for i, case in enumerate(part)]
                        answers += [reader.answer(p, c.exchange.question) for p, c in zip(pictures, part, strict=True)]
                        cases += part
                    result = score(cases, answers, kind, language, pack.styles[style])
                    results.append(result)
                    print(f"{result.style:28} {kind:8} {language} {result.share:6.1%} [{result.low:.1%}, {result.high:.1%}] n={result.num_cases}", flush=True)
    return results


LINE_ART = ("emojione-monotone", "fluent-emoji-high-contrast")
"""Trained on, but drawn without colours: not counted among the trained styles."""


if __name__ == "__main__":
    main()
