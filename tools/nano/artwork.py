"""Renders emoji artwork from npm packages and packs it into one file for the training machine.

    python -m tools.nano.artwork --npm out/nano/npm --out out/nano/pack.npz

In: the npm packages of `PINS` (installed with npm into --npm when they are not there), rendered with resvg
(pip install resvg-py). Out: a pack that `pack.py` reads; the same packages and resvg give the same bytes. Needs npm
and no GPU.
"""

import argparse
import io
import json
import re
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from tools.foods.packages import PINS as FOOD_PINS
from tools.foods.packages import install
from tools.nano.vocabulary import Thing, bare_code, read_things, squash, things_to_json

SIZE = 112
"""Pixels a side of a sprite: half a tile."""
QUALITY = 70
"""Of lossy WebP."""
PINS = FOOD_PINS | {
    "@iconify-json/streamline-emojis": "1.2.4",
    "@iconify-json/emojione-monotone": "1.2.1",
    "@iconify-json/fluent-emoji-high-contrast": "1.2.6",
}
"""Another version may draw otherwise."""


@dataclass(frozen=True, kw_only=True)
class Style:
    """One way of drawing: a package, rendered as it is or with every shape outlined."""

    name: str
    package: str
    outline: float = 0.0
    """Stroke added to every shape, as a share of the drawing's width; 0: none."""
    held_out: bool = False
    groups: tuple[int, ...] = (0, 3, 4, 5, 6, 7, 8)


OBJECTS = (3, 4, 5, 6, 7)
STYLES = (
    Style(name="noto", package="noto"),
    Style(name="noto-v1", package="noto-v1"),
    Style(name="twemoji", package="twemoji"),
    Style(name="fluent-emoji", package="fluent-emoji"),
    Style(name="fluent-emoji-flat", package="fluent-emoji-flat"),
    Style(name="emojione", package="emojione"),
    Style(name="emojione-v1", package="emojione-v1"),
    Style(name="streamline-emojis", package="streamline-emojis"),
    Style(name="emojione-monotone", package="emojione-monotone"),
    Style(name="fluent-emoji-high-contrast", package="fluent-emoji-high-contrast"),
    # The same drawings with dark outlines: a look that no package of the trained styles has.
    Style(name="twemoji-outlined", package="twemoji", outline=0.026, groups=OBJECTS),
    Style(name="fluent-emoji-flat-outlined", package="fluent-emoji-flat", outline=0.028, groups=OBJECTS),
    Style(name="emojione-outlined", package="emojione", outline=0.022, groups=OBJECTS),
    Style(name="noto-outlined", package="noto", outline=0.02, groups=OBJECTS),
    Style(name="noto-v1-outlined", package="noto-v1", outline=0.022, groups=OBJECTS),
    # Never trained on; only their foods are packed, for the evaluation.
    Style(name="openmoji", package="openmoji", held_out=True, groups=(4,)),
    Style(name="fxemoji", package="fxemoji", held_out=True, groups=(4,)),
)
# Slugs that no table of names leads to, read off the drawings.
EXTRA_SLUGS = {
    "fxemoji": {"1F336": "chilipepper", "1F365": "fishcakeswirl", "1F37D": "forkknife"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--npm", type=Path, default=Path("out/nano/npm"), help="where npm installs the packages")
    parser.add_argument("--out", type=Path, default=Path("out/nano/pack.npz"))
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    modules = install(args.npm, PINS)
    build_pack(modules, read_things(modules / "emojibase-data"), args.out, args.workers)


def build_pack(modules: Path, things: list[Thing], out: Path, workers: int) -> None:
    """Render every style's sprites and write the pack; prints a line per style."""
    blobs: list[bytes] = []
    rows: list[tuple[int, int]] = []
    licences = []
    for style_idx, style in enumerate(STYLES):
        folder = modules / "@iconify-json" / style.package
        jobs = list(drawings(folder, style, things))
        with ProcessPoolExecutor(workers) as pool:
            done = list(pool.map(_encode, [svg for _, svg in jobs], [style.outline] * len(jobs), chunksize=16))
        blobs += done
        rows += [(style_idx, thing_idx) for thing_idx, _ in jobs]
        licences.append(_licence(folder))
        foods = sum(things[thing_idx].is_food for thing_idx, _ in jobs)
        print(f"{style.name}: {len(jobs)} drawings, {foods} of food, {sum(map(len, done)) / 2**20:.1f} MiB", flush=True)
    meta = {
        "size": SIZE,
        "styles": [{"name": s.name, "package": s.package, "held_out": s.held_out} for s in STYLES],
        "licences": licences,
        "things": things_to_json(things),
    }
    out.parent.mkdir(parents=True, exist_ok=True)
    np.savez(
        out,
        blob=np.frombuffer(b"".join(blobs), np.uint8),
        ends=np.cumsum([len(blob) for blob in blobs]),
        rows=np.array(rows, np.int16),
        meta=np.frombuffer(json.dumps(meta, ensure_ascii=False).encode(), np.uint8),
    )
    print(f"{out}: {len(blobs)} sprites of {len(things)} things, {out.stat().st_size / 2**20:.1f} MiB")


def drawings(folder: Path, style: Style, things: list[Thing]) -> Iterator[tuple[int, str]]:
    """(thing index, SVG text) of everything that a style draws; a thing may have several drawings."""
    icons = json.loads((folder / "icons.json").read_text(encoding="utf-8"))
    chars = json.loads((folder / "chars.json").read_text(encoding="utf-8"))
    by_code = {bare_code(code): slug for code, slug in chars.items()}
    by_name: dict[str, list[str]] = {}
    for slug in icons["icons"]:
        by_name.setdefault(squash(re.sub(r"-\d$", "", slug)), []).append(slug)
    used: set[str] = set()
    for thing_idx, thing in enumerate(things):
        if thing.group not in style.groups:
            continue
        for slug in _find(thing, by_code, by_name, EXTRA_SLUGS.get(style.package, {})):
            if slug in icons["icons"] and slug not in used:
                used.add(slug)
                yield thing_idx, svg_text(icons, slug, style.outline)


def _find(thing: Thing, by_code: dict[str, str], by_name: dict[str, list[str]], extra: dict[str, str]) -> list[str]:
    """Slugs of a thing: by code where the package has a table of codes, else by name."""
    if by_code:
        slug = by_code.get(bare_code(thing.code))
        return [slug] if slug else []
    if thing.code in extra:
        return [extra[thing.code]]
    # The label and Unicode's name; shortcodes only where both fail, for they are looser.
    for candidate in thing.slugs[:2]:
        if candidate in by_name:
            return by_name[candidate]
    return []


def svg_text(icons: dict[str, object], slug: str, outline: float) -> str:
    """A standalone SVG of one icon, with room for outlines at its rim."""
    icon = icons["icons"][slug]  # type: ignore[index]
    left, top = (float(icon.get(key, icons.get(key, 0))) for key in ("left", "top"))
    width, height = (float(icon.get(key, icons.get(key, 16))) for key in ("width", "height"))
    room = outline * width
    box = f"{left - room} {top - room} {width + 2 * room} {height + 2 * room}"
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" '
        f'viewBox="{box}" width="{width}" height="{height}" color="#222222">{icon["body"]}</svg>'
    )


def render(svg: str, size: int, outline: float = 0.0) -> Image.Image:
    """RGBA picture (size, size) of an SVG text; `outline` is as in `Style`."""
    import resvg_py

    width = float(re.search(r' width="([\d.]+)"', svg)[1])  # type: ignore[index]
    css = None
    if outline:
        css = (
            f"path,circle,ellipse,rect,polygon{{stroke:#141414;stroke-width:{outline * width};stroke-linejoin:round}}"
            "mask *,clipPath *{stroke:none}"
        )
    png = resvg_py.svg_to_bytes(svg_string=svg, width=size, height=size, skip_system_fonts=True, style_sheet=css)
    return Image.open(io.BytesIO(bytes(png))).convert("RGBA")


def cropped(picture: Image.Image, size: int) -> Image.Image:
    """The drawing without its empty rim, centred in a square of `size`."""
    box = picture.getchannel("A").point(lambda a: 255 if a > 8 else 0).getbbox()
    if box is None:
        return picture.resize((size, size))
    drawing = picture.crop(box)
    scale = (size - 4) / max(drawing.size)
    shape = tuple(max(1, round(side * scale)) for side in drawing.size)
    square = Image.new("RGBA", (size, size))
    square.paste(drawing.resize(shape, Image.Resampling.LANCZOS), tuple((size - side) // 2 for side in shape))
    return square


def _encode(svg: str, outline: float) -> bytes:
    buffer = io.BytesIO()
    cropped(render(svg, 2 * SIZE, outline), SIZE).save(buffer, "WEBP", quality=QUALITY, method=4, alpha_quality=70)
    return buffer.getvalue()


def _licence(folder: Path) -> dict[str, str]:
    info = json.loads((folder / "info.json").read_text(encoding="utf-8"))
    package = json.loads((folder / "package.json").read_text(encoding="utf-8"))
    return {
        "package": f"@iconify-json/{folder.name}",
        "version": package["version"],
        "author": info["author"]["name"],
        "source": info["author"].get("url", ""),
        "licence": info["license"]["spdx"],
        "licence_url": info["license"].get("url", ""),
    }


if __name__ == "__main__":
    main()
