"""Says whose drawings are in the food set, and under which licence each picture is.

In: the packages' own statements, and the folder of pictures. Out: `ATTRIBUTION.md`.
"""

import json
from pathlib import Path

from tools.foods.packages import PINS
from tools.foods.pictures import HELD_OUT_STYLES, STYLES

_HEAD = """# Whose work is in the food set

Every picture shows one drawing by others, taken from npm packages of the Iconify project. A picture's style is the
folder it lies in: `train/images/noto/sushi.webp` is noto's. **A picture has the licence of its style's row.** Changes
made to all of them: rendered, scaled, turned by up to 14 degrees, put on a coloured ground with a soft shadow,
compressed as WebP. The authors endorse neither the changes nor this project.

| style | pictures in | package | version | author | source | licence |
|---|---|---|---|---|---|---|
"""
_NAMES_ROW = (
    "| (Unicode's codes) | - | `emojibase-data` | {version} | Miles Johnson | "
    "[milesj/emojibase](https://github.com/milesj/emojibase) | "
    "[MIT](https://github.com/milesj/emojibase/blob/master/LICENSE) |\n"
)
MIT = """Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""
"""What the MIT licence asks to be passed on, below the names of those who hold the copyright."""
_TAIL = """
## What follows

- Pictures of noto, noto-v1 and fxemoji: Apache-2.0, whose text is the project's own `LICENSE`.
- Pictures of fluent-emoji and fluent-emoji-flat: MIT, notice below.
- Pictures of twemoji and emojione: [CC BY 4.0](https://creativecommons.org/licenses/by/4.0/). Pass on this page with
  them.
- Pictures of emojione-v1 and openmoji: [CC BY-SA 4.0](https://creativecommons.org/licenses/by-sa/4.0/). Pass on this
  page with them; what you make from these pictures and publish must have the same licence.
- Questions, facts and this page were written for the project and are under its licence, Apache-2.0. Each food in
  `foods.json` names where its facts were checked.
- Whether the weights of a model are an adaptation of what it was trained on is not settled. Who wants none of that
  question can leave folders of `train/images` out of the training.

## MIT notices

fluent-emoji, fluent-emoji-flat: Copyright (c) Microsoft Corporation. emojibase-data: Copyright (c) 2017-2019 Miles
Johnson.

"""


def write_attribution(path: Path, modules: Path, folder: Path) -> None:
    """Write the page. folder: that of the sets, to count pictures."""
    rows = [_row(style, modules, folder) for style in STYLES]
    text = _HEAD + "".join(rows) + _NAMES_ROW.format(version=PINS["emojibase-data"]) + _TAIL + MIT
    path.write_text(text, encoding="utf-8")


def _row(style: str, modules: Path, folder: Path) -> str:
    package = modules / "@iconify-json" / style
    info = json.loads((package / "info.json").read_text(encoding="utf-8"))
    counts = {part.name: len(list((part / "images" / style).glob("*.webp"))) for part in sorted(folder.iterdir())}
    places = ", ".join(f"{part} ({count})" for part, count in counts.items() if count)
    author, licence = info["author"], info["license"]
    source = author["url"].removeprefix("https://github.com/")
    held_out = ", never in training" if style in HELD_OUT_STYLES else ""
    return (
        f"| {style}{held_out} | {places or 'none'} | `@iconify-json/{style}` | {PINS[f'@iconify-json/{style}']} | "
        f"{author['name']} | [{source}]({author['url']}) | [{licence['title']}]({licence['url']}) |\n"
    )
