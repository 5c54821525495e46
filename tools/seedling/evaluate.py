"""Judges a seedling folder as an outsider would: pictures as PNG files, the package's public API, a plain CPU.

    python -m tools.seedling.evaluate --folder src/ivl/zoo/seedling --cases 60 --json RESULT.json

New scenes are drawn with Pillow from the SVG artwork at the size it is shown at (`artist.py`), on canvases of 448x448,
640x480 and 300x300. Then come plain pictures, which no planner made: one food in the middle of a white, pastel or dark
square of 100, 200 or 400 pixels, asked for in words of the training templates and in others. Out: a table, and --json.
"""

import argparse
import json
import platform
import random
import sys
import time
from pathlib import Path

import torch
from tools.seedling.artist import Artist, as_png
from tools.seedling.judge import Case, Result, make_cases, score, summarise
from tools.seedling.layout import PLAIN, Catalogue, Plan
from tools.seedling.mixture import catalogue_of
from tools.seedling.pack import Pack, read_pack
from tools.seedling.questions import Exchange, Item, Scene
from tools.seedling.report import current_commit

import ivl

SIZES = ((448, 448), (640, 480), (300, 300))
PLAIN_SIDES = (100, 200, 400)
GROUNDS = ((1.0, 1.0, 1.0), (0.85, 0.92, 0.98), (0.98, 0.88, 0.88), (0.12, 0.13, 0.16))
"""White, two pastels, dark."""
TRAINED = ("twemoji", "noto")
"""Trained styles that are judged for comparison."""
PHRASINGS = {
    "plain": {"en": ("What food is this?",), "zh": ("这是什么食物？",)},
    # None of these is a template of questions.py.
    "plain, other words": {
        "en": (
            "Could you tell me which food this picture shows?",
            "Identify the food please.",
            "what's that food called",
        ),
        "zh": ("请问这张照片里的食物是什么呢？", "你知道这是什么好吃的吗？", "帮我认一下这个食物"),
    },
}


class Reader:
    """The package's public API, end to end."""

    def __init__(self, folder: Path) -> None:
        self.pipe = ivl.pipeline(str(folder))
        self.settings = ivl.GenerationConfig(max_new_tokens=32)

    def answer(self, picture: bytes, question: str) -> str:
        return self.pipe((question, picture), gen_config=self.settings).text.strip()


class Examiner:
    """Asks the reader about what the artist draws."""

    def __init__(self, pack: Pack, artist: Artist, reader: Reader, seed: int) -> None:
        self.pack, self.artist, self.reader, self.seed = pack, artist, reader, seed
        self.catalogue: Catalogue = catalogue_of(pack)
        self.results: list[Result] = []

    def scenes(self, styles: tuple[str, ...], kinds: tuple[str, ...], number: int) -> None:
        """`number` new scenes for each style and kind, half of them in each language, a third on each canvas."""
        share = -(-number // (2 * len(SIZES)))
        for style in styles:
            for kind in kinds:
                for language in ("en", "zh"):
                    cases: list[tuple[Case, tuple[int, int]]] = []
                    for turn, size in enumerate(SIZES):
                        idx, seed = self.pack.styles.index(style), self.seed + turn
                        cases += [(c, size) for c in make_cases(self.catalogue, idx, kind, language, share, seed, size)]
                    self._judge(cases, kind, language, style)

    def plain(self, styles: tuple[str, ...], number: int) -> None:
        """`number` plain pictures for each style and way of asking, half of them in each language."""
        for style in styles:
            for kind, phrasings in PHRASINGS.items():
                for language in ("en", "zh"):
                    rng = random.Random(f"{self.seed}/{style}/{kind}/{language}")
                    cases = [self._plain_case(style, phrasings[language], language, rng) for _ in range(number // 2)]
                    self._judge(cases, kind, language, style)

    def _plain_case(
        self, style: str, phrasings: tuple[str, ...], language: str, rng: random.Random
    ) -> tuple[Case, tuple[int, int]]:
        drawn, things = self.catalogue.by_style[self.pack.styles.index(style)], self.catalogue.things
        thing = rng.choice([idx for idx in drawn if things[idx].is_food])
        side, ground = rng.choice(PLAIN_SIDES), rng.choice(GROUNDS)
        plan = Plan(
            scene=Scene(items=(Item(thing=thing, x=0.5, y=0.5),), background=None),
            sprites=[rng.choice(drawn[thing])],
            boxes=[(side / 2, side / 2, side * rng.uniform(0.6, 0.95))],
            angles=[0.0],
            flips=[False],
            background=PLAIN,
            colours=(ground, ground),
            keep_colours=True,
        )
        exchange = Exchange(question=rng.choice(phrasings), answer=things[thing].name(language))
        return Case(plan=plan, exchange=exchange, thing=thing), (side, side)

    def _judge(self, cases: list[tuple[Case, tuple[int, int]]], kind: str, language: str, style: str) -> None:
        answers = []
        for number, (case, size) in enumerate(cases):
            picture = as_png(self.artist.draw(case.plan, size, self.seed + number))
            answers.append(self.reader.answer(picture, case.exchange.question))
        result = score([case for case, _ in cases], answers, kind, language, style)
        self.results.append(result)
        text = f"{style:14} {kind:20} {language} {result.share:6.1%} [{result.low:.1%}, {result.high:.1%}]"
        print(f"{text} n={result.num_cases}", flush=True)


def processor() -> str:
    """The CPU's name, as far as the system tells it."""
    table = Path("/proc/cpuinfo")
    lines = table.read_text(encoding="utf-8").splitlines() if table.exists() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--folder", type=Path, default=Path("src/ivl/zoo/seedling"))
    parser.add_argument("--pack", type=Path, default=Path("out/seedling/pack.npz"))
    parser.add_argument("--npm", type=Path, default=Path("out/seedling/npm"))
    parser.add_argument("--cases", type=int, default=60, help="per kind and held-out style")
    parser.add_argument("--trained-cases", type=int, default=18, help="per kind and trained style")
    parser.add_argument("--plain-cases", type=int, default=30, help="per style and way of asking")
    parser.add_argument("--seed", type=int, default=2024)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    start = time.monotonic()
    pack = read_pack(args.pack, 2)
    held_out = tuple(pack.styles[style] for style in pack.held_out_styles)
    examiner = Examiner(pack, Artist(args.npm / "node_modules", pack), Reader(args.folder), args.seed)
    examiner.scenes(held_out, ("food", "exists", "count"), args.cases)
    examiner.plain((*held_out, *TRAINED[:1]), args.plain_cases)
    examiner.scenes(TRAINED, ("food", "count"), args.trained_cases)
    table = summarise(examiner.results, held_out)
    for kind, row in table.items():
        print(f"{kind:20}", "  ".join(f"{label} {share:.1%}" for label, share in row.items()))
    if args.json:
        content = {
            "machine": f"{processor()}, {torch.get_num_threads()} thread(s)",
            "torch": torch.__version__,
            "command": " ".join(["python -m tools.seedling.evaluate", *sys.argv[1:]]),
            "commit": current_commit(),
            "seconds": round(time.monotonic() - start, 1),
            "cases": {"held_out": args.cases, "plain": args.plain_cases, "trained": args.trained_cases},
            "sizes": [list(size) for size in SIZES],
            "summary": table,
            "results": [result.to_json() for result in examiner.results],
        }
        args.json.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
