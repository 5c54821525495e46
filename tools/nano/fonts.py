"""Makes the pack of fonts that pictures with text are lettered in: subsets of openly licensed fonts, at most 3 MiB.

    python -m tools.nano.fonts --out out/nano/fonts

In: the npm packages of `FONTS` (installed into --npm when they are not there), `characters.txt`, the dishes' names.
Out: a folder of TTF files with `fonts.json`, which `lettering.py` reads, and LICENCES.md. Needs npm and fonttools
(`pip install fonttools`) here; reading the pack needs neither.
"""

import argparse
import json
import subprocess
from dataclasses import asdict, dataclass
from pathlib import Path

from tools.nano.document_words import ASCII, MARKS, chinese_characters, every_character

OVERLAP_SIMPLE, OVERLAP_COMPOUND = 0x40, 0x400
"""Flags of the table glyf."""
LIMIT = 3 * 2**20
"""Bytes of the whole pack."""


@dataclass(frozen=True, kw_only=True)
class Font:
    """One font of the pack."""

    name: str
    package: str
    """Under @expo-google-fonts."""
    style: str
    """The package's folder of the weight."""
    share: float = 1.0
    """How often it is taken, beside the others of its script."""
    smallest: int = 0
    """Pixels of a character's height below which it can't be read."""
    chinese: bool = False


FONTS = (
    Font(name="sans", package="open-sans", style="400Regular", share=2.0),
    Font(name="sans-bold", package="open-sans", style="700Bold"),
    Font(name="serif", package="bitter", style="500Medium"),
    Font(name="mono", package="roboto-mono", style="500Medium"),
    Font(name="rounded", package="nunito", style="700Bold"),
    Font(name="narrow", package="oswald", style="500Medium", share=0.7, smallest=15),
    Font(name="hand", package="patrick-hand", style="400Regular", share=0.7, smallest=15),
    Font(name="zh-sans", package="noto-sans-sc", style="400Regular", share=2.0, chinese=True),
    Font(name="zh-sans-bold", package="noto-sans-sc", style="700Bold", chinese=True),
    Font(name="zh-serif", package="noto-serif-sc", style="600SemiBold", chinese=True),
    Font(name="zh-title", package="zcool-xiaowei", style="400Regular", share=0.7, smallest=18, chinese=True),
    Font(name="zh-happy", package="zcool-kuaile", style="400Regular", share=0.5, smallest=22, chinese=True),
    Font(name="zh-brush", package="ma-shan-zheng", style="400Regular", share=0.5, smallest=26, chinese=True),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--npm", type=Path, default=Path("out/nano/npm"), help="where npm installs the packages")
    parser.add_argument("--out", type=Path, default=Path("out/nano/fonts"))
    args = parser.parse_args()
    build(install(args.npm), args.out)


def install(folder: Path) -> Path:
    """The folder of the font packages; npm fetches what is missing (about 240 MB: all weights of Noto come along)."""
    modules = folder / "node_modules" / "@expo-google-fonts"
    packages = sorted({font.package for font in FONTS})
    missing = [f"@expo-google-fonts/{name}" for name in packages if not (modules / name).is_dir()]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), *missing]
        subprocess.run(command, check=True)
    return modules


def build(modules: Path, out: Path) -> None:
    """Write the pack; prints a line per font."""
    out.mkdir(parents=True, exist_ok=True)
    for stale in out.glob("*.ttf"):
        stale.unlink()
    wanted = every_character()
    missing = {sign for sign in wanted if sign not in ASCII + MARKS} - set(chinese_characters())
    assert not missing, f"texts of document_words.py need characters that characters.txt lacks: {sorted(missing)}"
    rows, licences = [], []
    for font in FONTS:
        source = _find(modules / font.package / font.style)
        target = out / f"{font.name}.ttf"
        has = subset(source, target, wanted if font.chinese else ASCII + MARKS)
        row = asdict(font) | {"file": target.name, "characters": has, "bytes": target.stat().st_size}
        rows.append(row)
        licences.append(_licence(modules / font.package, font))
        lacks = [sign for sign in wanted if sign not in has] if font.chinese else []
        print(f"{font.name}: {len(has)} characters, {row['bytes'] / 2**10:.0f} KiB, lacks {''.join(lacks) or 'none'}")
    (out / "fonts.json").write_text(json.dumps(rows, ensure_ascii=False, indent=1) + "\n", encoding="utf-8")
    (out / "LICENCES.md").write_text("# Fonts of the pack\n\n" + "\n".join(licences) + "\n", encoding="utf-8")
    total = sum(path.stat().st_size for path in out.iterdir())
    print(f"{out}: {len(rows)} fonts, {len(chinese_characters())} Chinese characters, {total / 2**20:.2f} MiB")
    assert total <= LIMIT, f"the pack has {total} bytes, at most {LIMIT} are allowed"


def subset(source: Path, target: Path, characters: str) -> str:
    """Write the font with nothing but these characters; returns those that it has a drawing of."""
    from fontTools import subset as subsetting  # type: ignore[import-untyped]

    options = subsetting.Options()
    options.layout_features = []  # Pillow's basic layout reads none
    options.hinting = False
    options.name_IDs = [0, 1, 2, 13, 14]
    font = subsetting.load_font(str(source), options)
    has = set(font.getBestCmap()) & {ord(sign) for sign in characters}
    subsetter = subsetting.Subsetter(options)
    subsetter.populate(unicodes=has)
    subsetter.subset(font)
    for glyph in font["glyf"].glyphs.values():
        _mark_as_plain(glyph, font["glyf"])
    drawn = {code for code in has if code == 32 or _is_drawn(font, code)}
    subsetting.save_font(font, str(target), options)
    return "".join(sorted(map(chr, drawn)))


def _mark_as_plain(glyph: object, table: object) -> None:
    """Clear the mark of overlapping outlines, which instances of variable fonts carry: FreeType draws such a glyph at
    four times the size, and is up to ten times slower for an edge that nobody sees."""
    glyph.expand(table)  # type: ignore[attr-defined]
    if glyph.numberOfContours > 0:  # type: ignore[attr-defined]
        glyph.flags[0] &= ~OVERLAP_SIMPLE  # type: ignore[attr-defined]
    for part in getattr(glyph, "components", ()):
        part.flags &= ~OVERLAP_COMPOUND


def _is_drawn(font: object, code: int) -> bool:
    """A few fonts list characters that they draw as nothing."""
    glyph = font["glyf"][font.getBestCmap()[code]]  # type: ignore[index, attr-defined]
    return bool(glyph.numberOfContours)


def _find(folder: Path) -> Path:
    found = sorted(folder.glob("*.ttf"))
    assert len(found) == 1, f"{folder} should hold one .ttf file, it holds {len(found)}"
    return found[0]


def _licence(package: Path, font: Font) -> str:
    """One line: which package, whose work, under what terms."""
    version = json.loads((package / "package.json").read_text(encoding="utf-8"))["version"]
    text = (package / "LICENSE_FONT").read_text(encoding="utf-8")
    terms = "OFL-1.1" if "SIL Open Font License" in text else "Apache-2.0"
    assert terms == "OFL-1.1" or "Apache License" in text, f"{package}: a licence that is neither OFL nor Apache"
    owner = next(line.strip() for line in text.splitlines() if line.startswith("Copyright"))
    return f"- {font.name}.ttf: subset of @expo-google-fonts/{font.package} {version}, {font.style}. {owner} {terms}."


if __name__ == "__main__":
    main()
