"""Renders the artwork of the small model's scenes into one file, smaller than the seedling's: its tiles are smaller.

    python -m tools.nano.artwork --npm out/nano/npm --out out/nano/pack.npz

In: the npm packages of `PINS` (installed with npm into --npm when they are not there), rendered with resvg. Out: a pack
that `tools.seedling.pack` reads; the same packages and resvg give the same bytes.
"""

import argparse
import io
import json
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from tools.foods.packages import PINS as FOOD_PINS
from tools.foods.packages import install, version_of
from tools.seedling.artwork import STYLES, Style, cropped, drawings, render
from tools.seedling.vocabulary import read_things, things_to_json

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


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--npm", type=Path, default=Path("out/nano/npm"), help="where npm installs the packages")
    parser.add_argument("--out", type=Path, default=Path("out/nano/pack.npz"))
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args()
    build(install(args.npm, PINS), args.out, args.workers)


def build(modules: Path, out: Path, workers: int) -> None:
    """Render every style's drawings and write the pack; prints a line per style."""
    things = read_things(modules / "emojibase-data")
    blobs: list[bytes] = []
    rows: list[tuple[int, int]] = []
    for style_idx, style in enumerate(STYLES):
        jobs = list(drawings(modules / "@iconify-json" / style.package, style, things))
        with ProcessPoolExecutor(workers) as pool:
            blobs += pool.map(_encode, [svg for _, svg in jobs], [style.outline] * len(jobs), chunksize=16)
        rows += [(style_idx, thing_idx) for thing_idx, _ in jobs]
        print(f"{style.name}: {len(jobs)} drawings", flush=True)
    meta = {
        "size": SIZE,
        "styles": [{"name": style.name, "package": style.package, "held_out": style.held_out} for style in STYLES],
        "licences": [licence(modules, style) for style in STYLES],
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


def licence(modules: Path, style: Style) -> dict[str, str]:
    """What the style's package says of itself."""
    folder = modules / "@iconify-json" / style.package
    info = json.loads((folder / "info.json").read_text(encoding="utf-8"))
    return {
        "package": f"@iconify-json/{style.package}",
        "version": version_of(folder) or "",
        "author": info["author"]["name"],
        "source": info["author"].get("url", ""),
        "licence": info["license"]["spdx"],
        "licence_url": info["license"].get("url", ""),
    }


def _encode(svg: str, outline: float) -> bytes:
    buffer = io.BytesIO()
    picture = cropped(render(svg, 2 * SIZE, outline), SIZE)
    picture.save(buffer, "WEBP", quality=QUALITY, method=4, alpha_quality=70)
    return buffer.getvalue()


if __name__ == "__main__":
    main()
