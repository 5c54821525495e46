"""Drawings of docs/understand.md and docs/outlook.md that need no model: boxes, arrows and words, as SVG.

In: a language, and numbers where a drawing has some. Out: the text of an SVG that stands by itself: no fonts, no
scripts, nothing to fetch. Knows no files; `understand_figures.py` writes them.
"""

from html import escape

STYLE = (
    'text{font:13px system-ui,"Noto Sans CJK SC","PingFang SC","Microsoft YaHei",sans-serif;fill:#1d2433}'
    ".b{font-weight:650}.s{font-size:11.5px;fill:#535d6e}.m{text-anchor:middle}.o{fill:none;stroke:#1d2433}"
    ".x{fill:#fff;stroke:#8a93a3}.v{fill:#fde7d6;stroke:#b34a0a}.c{fill:#fff3c4;stroke:#8a6d00}"
    ".l{fill:#dfeafc;stroke:#1f63c4}.a{fill:#dcf3e6;stroke:#17724a}.t{fill:#eceef2;stroke:#7b8494;"
    "stroke-dasharray:3 2}.d{stroke-dasharray:5 4}"
)
KIND_CLASS = {"template": "t", "image": "v", "text": "l", "answer": "a"}
_HEAD = '<marker id="e" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">'


class Sheet:
    """An SVG that grows by boxes, words and arrows; sizes are pixels."""

    def __init__(self, width: float, height: float, alt: str) -> None:
        self.width, self.height, self.alt = width, height, alt
        self.parts: list[str] = []

    def words(self, x: float, y: float, text: str, kind: str = "") -> None:
        """A line of text that begins at x, or has its middle there with "m" in `kind`."""
        self.parts.append(f'<text x="{x:g}" y="{y:g}" class="{kind}">{escape(text)}</text>')

    def box(self, x: float, y: float, width: float, height: float, kind: str, *lines: str) -> None:
        """A box with lines in its middle, the first one bold. kind: a class of the style."""
        size = f'width="{width:g}" height="{height:g}"'
        self.parts.append(f'<rect x="{x:g}" y="{y:g}" {size} rx="6" class="{kind}"/>')
        top = y + height / 2 - 8.5 * (len(lines) - 1) + 4.5
        for row, line in enumerate(lines):
            self.words(x + width / 2, top + 17 * row, line, "m b" if row == 0 else "m s")

    def arrow(self, *points: tuple[float, float]) -> None:
        """From the first point over the others to the last."""
        way = "M" + "L".join(f"{x:g} {y:g}" for x, y in points)
        self.parts.append(f'<path d="{way}" class="o" marker-end="url(#e)"/>')

    def raw(self, markup: str) -> None:
        """SVG as it is."""
        self.parts.append(markup)

    def text(self) -> str:
        """The whole SVG."""
        size = f'viewBox="0 0 {self.width:g} {self.height:g}" width="{self.width:g}" height="{self.height:g}"'
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{escape(self.alt)}">'
            f'<style>{STYLE}</style><defs>{_HEAD}<path d="M0 0L8 4L0 8z"/></marker></defs>'
            f'<rect width="{self.width:g}" height="{self.height:g}" rx="10" fill="#fbfbfd"/>'
            f"{''.join(self.parts)}</svg>\n"
        )


def draw_model(language: str) -> str:
    """The whole model, with InternVL2-2B's numbers for one tile."""
    words = {
        "en": (
            "From a picture and a question to an answer",
            ("picture", "7 tiles of", "448 x 448 pixels"),
            ("vision model", "1,024 patches", "of 1,024 numbers"),
            ("pixel shuffle", "256 places", "of 4,096 numbers"),
            ("connector", "256 image tokens", "of 2,048 numbers"),
            ("language model", "reads all tokens in one row, and writes one more, again and again"),
            ("marks", "image tokens: 7 x 256", "your question", "answer"),
        ),
        "zh": (
            "从图片和问题到回答",
            ("图片", "7 块", "448 x 448 像素"),
            ("视觉模型", "1,024 个小片", "每片 1,024 个数"),
            ("Pixel shuffle", "256 个位置", "每个 4,096 个数"),
            ("连接器", "256 个图片词元", "每个 2,048 个数"),
            ("语言模型", "读一整列词元，写出下一个，如此反复"),
            ("标记", "图片词元：7 x 256", "你的问题", "回答"),
        ),
    }[language]
    sheet = Sheet(760, 268, words[0])
    for at, (kind, lines) in enumerate(zip("xvxc", words[1:5], strict=True)):
        sheet.box(20 + 190 * at, 20, 150, 70, kind, *lines)
        if at:
            sheet.arrow((170 + 190 * (at - 1), 55), (206 + 190 * (at - 1), 55))
    sheet.arrow((665, 90), (665, 118), (255, 118), (255, 138))
    widths = (90, 290, 150, 110)
    left = 60.0
    for kind, width, line in zip("tvla", widths, words[6], strict=True):
        sheet.box(left, 140, width, 34, kind, line)
        left += width + 6
    sheet.arrow((330, 176), (330, 202))
    sheet.arrow((560, 204), (670, 204), (670, 178))
    sheet.box(60, 204, 500, 50, "l", *words[5])
    return sheet.text()


def draw_shuffle() -> str:
    """Pixel shuffle of 4 x 4 patches into 2 x 2 tokens, four times as long; the same in every language."""
    colours = ("#f2b36b", "#8ec07c", "#83a9e0", "#d58bb0")
    styles = "".join(f".q{at}{{fill:{colour};stroke:#535d6e}}" for at, colour in enumerate(colours))
    sheet = Sheet(620, 190, "4 x 4 patches of C numbers become 2 x 2 tokens of 4 C numbers")
    sheet.raw(f"<style>{styles}</style>")
    for row in range(4):
        for column in range(4):
            kind = f"q{2 * (row % 2) + column % 2}"
            x, y = 20 + 34 * column + 5 * (column // 2), 22 + 34 * row + 5 * (row // 2)
            sheet.raw(f'<rect x="{x}" y="{y}" width="32" height="32" class="{kind}"/>')
            sheet.words(x + 16, y + 21, f"{'abcd'[2 * (row // 2) + column // 2]}{1 + 2 * (row % 2) + column % 2}", "m")
    sheet.arrow((182, 92), (232, 92))
    for token in range(4):
        row, column = divmod(token, 2)
        x, y = 252 + 182 * column, 44 + 54 * row
        for part in range(4):
            sheet.raw(f'<rect x="{x + 42 * part}" y="{y}" width="42" height="32" class="q{part}"/>')
            sheet.words(x + 42 * part + 21, y + 21, f"{'abcd'[token]}{part + 1}", "m")
    sheet.words(91, 184, "4 x 4 x C", "m s")
    sheet.words(431, 184, "2 x 2 x 4C", "m s")
    return sheet.text()


def draw_causal(language: str) -> str:
    """Which token may look at which: everything before it, whatever its kind."""
    names = {
        "en": ("Row: the token that looks. Column: what it looks at.", "marks", "picture", "question", "answer"),
        "zh": ("行：在看的词元。列：被看的词元。", "标记", "图片", "问题", "回答"),
    }[language]
    kinds = "tvvvvvvtlllltaaa"
    side, left, top, shown = 17, 106, 34, dict(zip("tvla", names[1:], strict=True))
    sheet = Sheet(500, top + side * len(kinds) + 14, names[0])
    sheet.words(left, 20, names[0], "s")
    for row, kind in enumerate(kinds):
        if row == 0 or kinds[row - 1] != kind:
            sheet.words(left - 10, top + side * row + 13, shown[kind], "s r")
    for column, kind in enumerate(kinds):
        cells = f"h{side - 2}v{side - 2}h{2 - side}z"
        column_of = "".join(f"M{left + side * column} {top + side * row}{cells}" for row in range(column, len(kinds)))
        sheet.raw(f'<path class="{kind}" d="{column_of}"/>')
    sheet.raw("<style>.r{text-anchor:end}</style>")
    return sheet.text()


def draw_stages(language: str) -> str:
    """The two stages of training: what learns in each."""
    words = {
        "en": (
            "What learns in each stage",
            ("stage 1", "stage 2"),
            ("vision model", "connector", "language model"),
            ("learns", "stays as it is"),
            ("captions of many pictures", "questions and answers of many kinds"),
        ),
        "zh": (
            "每个阶段训练什么",
            ("第一阶段", "第二阶段"),
            ("视觉模型", "连接器", "语言模型"),
            ("训练", "保持不变"),
            ("大量图片的说明文字", "各种各样的问答"),
        ),
    }[language]
    sheet = Sheet(790, 176, words[0])
    for row, learns in enumerate(((False, True, False), (True, True, True))):
        y = 18 + 78 * row
        sheet.words(20, y + 28, words[1][row], "b")
        for column, does in enumerate(learns):
            name, state = words[2][column], words[3][0] if does else words[3][1]
            sheet.box(105 + 145 * column, y, 125, 52, "a" if does else "t", name, state)
            if column:
                sheet.arrow((230 + 145 * (column - 1), y + 26), (248 + 145 * (column - 1), y + 26))
        sheet.words(532, y + 30, words[4][row], "s")
    return sheet.text()
