"""Renders the artwork of the small model's scenes into one file, smaller than the seedling's: its tiles are smaller.

    python -m tools.nano.artwork --npm out/nano/npm --out out/nano/pack.npz

In: the npm packages of `PINS` (installed with npm into --npm when they are not there), rendered with resvg. Out: a pack
that `tools.seedling.pack` reads; the same packages and resvg give the same bytes.
"""

import argparse
from pathlib import Path

from tools.foods.packages import PINS as FOOD_PINS
from tools.foods.packages import install
from tools.seedling.artwork import build_pack
from tools.seedling.vocabulary import read_things

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
    modules = install(args.npm, PINS)
    build_pack(modules, read_things(modules / "emojibase-data"), args.out, args.workers, SIZE, QUALITY)


if __name__ == "__main__":
    main()
