"""The pages beside the general set: its card, and whose drawings and fonts are in it.

In: the set's lines, the npm packages, the fonts' licences. Out: README.md, dataset.json and ATTRIBUTION.md.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from tools.foods.attribution import MIT
from tools.nano.artwork import PINS, STYLES

VERSION = "1.0.0"
_ABILITIES = {
    "counting": "how many of one kind there are",
    "colour": "of the ground, or of the one thing of its name",
    "position": "which ninth of the picture, what is there, on which side of another thing",
    "grounding": "the box of each thing of a name, in thousandths of the picture",
    "refusal": "a question about something that is not there: the answer says so",
    "kind": "what a thing is: food by its kind, anything else by its name",
    "ocr": "the text of a card in a scene, of a menu, a sign, a receipt",
}
_CARD = """---
language: [zh, en]
task_categories: [visual-question-answering]
license: other
---

# ivl general {version}

What the small model of this package can do besides food: drawn scenes and pictures with text, in Chinese and English.
Whoever teaches a model one thing should look at what it forgets. `test.jsonl` measures it, `train.jsonl` is replayed
beside the new data so that less is lost. Lines of `train.jsonl` whose id begins with `general-text` are documents:
their texts hold names of dishes, which nothing ties to what a dish looks like.

```sh
ivl eval general                                          # seven sets: general-counting, general-colour ...
```

| file | lines | pictures | what |
|---|---|---|---|
| `test.jsonl` | {questions} | {test} | one question a line; each picture is asked once for every ability it allows |
| `train.jsonl` | {conversations} | {train} | conversations in LLaVA's layout for `ivl train`, {turns} questions |

No picture is in both, and none is in the data that the model was trained on. Styles of drawing and fonts are those it
was trained on. Pictures are WebP, {sizes} pixels.

| ability | questions | what is asked |
|---|---|---|
{abilities}

A line of `test.jsonl` has `id`, `image`, `question`, `answer`, `metric` ("exact", "iou" for boxes) and `tags` with
`ability`, `style` ("trained": drawings, "text": documents) and `language`. Answers are computed from the plan of the
scene; boxes are those of the drawn pixels. Where two answers could be defended, nothing is asked: dogs are not counted
beside a guide dog, and beside a beer nobody asks whether there is a drink.

## What it cannot show

- Scenes are drawings on simple grounds: nothing follows for photographs.
- Foods are named by kind alone ("a noodle dish"), for their names are what the fine-tune teaches.
- About 60 questions an ability give intervals of ten points and more. For a verdict make a larger set of the same kind:
  `python -m tools.nano.test_sets --number 600`.

## How it was made

`python -m tools.nano.general` in the project's repository; `tools/nano/README.md` says what that needs. Drawings and
fonts: [ATTRIBUTION.md](ATTRIBUTION.md). Questions and answers were written for the project, under its licence,
Apache-2.0.
"""
_HEAD = """# Whose work is in the general set

Pictures in `pictures` show drawings by others, taken from npm packages of the Iconify project, and text in fonts by
others. A picture of a scene may hold drawings of several rows; each drawing keeps its row's licence. Changes made:
rendered, scaled, stretched, mirrored, turned, some outlined in black, put on a coloured ground, compressed as WebP. The
authors endorse neither the changes nor this project. No drawing here asks for share-alike.

| package | version | author | source | licence |
|---|---|---|---|---|
"""
_TAIL = """
## What follows

- Whoever passes pictures on passes this page on with them: CC BY 4.0 asks for the names above, and MIT for its notice.
- Apache 2.0 is the licence of the project too: its text is the project's `LICENSE`.
- Fonts under the SIL Open Font License may be used to draw any picture; the licence binds the fonts, not the pictures.
  No font is in this folder.
- Questions, answers and these pages were written for the project and are under its licence, Apache-2.0.

## MIT notice

fluent-emoji and its kin: Copyright (c) Microsoft Corporation. emojibase-data, whose names of things are used:
Copyright (c) 2017-2019 Miles Johnson.

"""


def write_card(out: Path, asked: Sequence[dict[str, Any]], told: Sequence[dict[str, Any]]) -> None:
    """README.md and dataset.json. asked: lines of test.jsonl; told: of train.jsonl."""
    counts = Counter(line["tags"]["ability"] for line in asked)
    card = _CARD.format(
        version=VERSION,
        questions=len(asked),
        conversations=len(told),
        test=len({line["image"] for line in asked}),
        train=len(list((out / "pictures/train").iterdir())),
        turns=sum(len(line["conversations"]) // 2 for line in told),
        sizes="224 x 224 to 448 x 448",
        abilities="\n".join(f"| {name} | {counts[name]} | {what} |" for name, what in _ABILITIES.items()),
    )
    (out / "README.md").write_text(card, encoding="utf-8")
    licence = "per drawing, Apache-2.0, MIT or CC BY 4.0 (see ATTRIBUTION.md); its questions Apache-2.0"
    about = {"name": "ivl general", "licence": licence, "version": VERSION}
    (out / "dataset.json").write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")


def write_attribution(path: Path, modules: Path, styles: Sequence[str], fonts: Path) -> None:
    """ATTRIBUTION.md. styles: those that scenes may be drawn in; fonts: the page of the fonts' pack."""
    packages = sorted({style.package for style in STYLES if style.name in styles})
    rows = "".join(_row(modules / "@iconify-json" / package) for package in packages)
    listed = [line for line in fonts.read_text(encoding="utf-8").splitlines() if line.startswith("- ")]
    text = f"{_HEAD}{rows}\n## Fonts\n\n" + "\n".join(listed) + "\n" + _TAIL + MIT
    path.write_text(text, encoding="utf-8")


def _row(package: Path) -> str:
    info = json.loads((package / "info.json").read_text(encoding="utf-8"))
    author, licence = info["author"], info["license"]
    name = f"@iconify-json/{package.name}"
    source = author["url"].removeprefix("https://github.com/")
    return (
        f"| `{name}` | {PINS[name]} | {author['name']} | [{source}]({author['url']}) | "
        f"[{licence['title']}]({licence['url']}) |\n"
    )
