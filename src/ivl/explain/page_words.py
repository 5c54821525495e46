"""What the page of `ivl explain` says around the walk's own parts, in English and Chinese, and what its words mean.

In: "en" or "zh". Out: a `PageWording`; its {places} are filled by `page.py` and `page_parts.py`. Knows no figures.
"""

from dataclasses import dataclass
from types import MappingProxyType

from ivl.explain.page_glossary import CHINESE, ENGLISH


@dataclass(frozen=True, kw_only=True)
class PageWording:
    """Every text of the page that `wording.py` has not."""

    language: str
    """As the <html> element names it."""
    default_prompt: str
    title: str
    lead: str
    contents: str
    question: str
    answer: str
    no_answer: str
    cut: str
    model: str
    own_model: str
    adapter: str
    picture_alt: str
    flow_title: str
    flow_lead: str
    flow: tuple[tuple[str, str, str], ...]
    """Step, figure, what happens; the figure has places."""
    picture_title: str
    pictures_title: str
    text_title: str
    cost_title: str
    parts_title: str
    parts_lead: str
    parts_caption: str
    parts_head: tuple[str, str, str, str, str]
    part_names: tuple[str, str, str, str]
    gaze_choose: str
    gaze_some: str
    gaze_none: str
    glossary_title: str
    glossary: tuple[tuple[str, str], ...]
    made_by: str


_EN = PageWording(
    language="en",
    default_prompt="What is in the picture?",
    title="How this answer came about",
    lead="A picture, a question, a model, and all that lies between them: every number and drawing on this page is of "
    "this very question. The page is one file that needs no network and runs no script.",
    contents="On this page",
    question="Question",
    answer="Answer",
    no_answer="(nothing)",
    cut="The answer was cut at the longest length that was asked for (tokens: {count}).",
    model="Model",
    own_model="the small model in the package",
    adapter="with the adapter {name}",
    picture_alt="Picture {number} of the question",
    flow_title="The way through the model",
    flow_lead="A language model can only read a row of tokens. So a picture is cut up, looked at piece by piece and "
    "turned into tokens too; from then on it is a part of the text.",
    flow=(
        ("Cut into tiles", "Tiles: {tiles}", "Each picture becomes squares of {size} x {size} pixels."),
        ("Vision model", "Patches: {patches}", "It looks at {per_tile} patches of each tile, all at once."),
        ("Pixel shuffle", "Places: {tokens}", "{group} neighbouring patches are laid side by side."),
        ("Connector", "Image tokens: {tokens}", "Each place becomes a row of {width} numbers, the size of a word."),
        ("Prompt", "Tokens: {prompt}", "Image tokens and {text} tokens of text stand in one row."),
        ("Language model", "Layers: {layers}", "Every token gathers from those before it what it needs."),
        ("Answer", "Tokens: {answer}", "One token at a time; each is read before the next is written."),
    ),
    picture_title="The picture",
    pictures_title="Picture {number}",
    text_title="The language model",
    cost_title="What it takes",
    parts_title="The parts of the model",
    parts_lead="Parameters are the numbers that training has set. Work is counted in multiplications and additions "
    "that this question and its answer need at least. A part with few parameters may do much of the work, because "
    "the vision model meets every patch and the language model every token.",
    parts_caption="Parameters and work of each part",
    parts_head=("Part", "Parameters", "Share", "Work, billion operations", "Share of the work"),
    part_names=("vision model", "connector", "language model", "together"),
    gaze_choose="Choose a word of the answer",
    gaze_some="Shown are the first words (of {words}: {count}).",
    gaze_none="The answer has no words to follow.",
    glossary_title="Words used here",
    glossary=ENGLISH,
    made_by="Made by ivl {version}.",
)

_ZH = PageWording(
    language="zh-CN",
    default_prompt="图里有什么？",
    title="这个回答是怎样来的",
    lead="一张图片、一个问题、一个模型，以及它们之间发生的一切：本页的每个数字和每幅图都来自这一次提问。整页是一个文件，"
    "不需要网络，也不运行任何脚本。",
    contents="本页内容",
    question="问题",
    answer="回答",
    no_answer="（没有内容）",
    cut="回答达到了要求的最大长度（{count} 个词元），被截断。",
    model="模型",
    own_model="软件包自带的小模型",
    adapter="加上适配器 {name}",
    picture_alt="问题中的图 {number}",
    flow_title="穿过模型的路",
    flow_lead="语言模型只能读一列词元。所以图片要先切开，一块块地看，再变成词元；从那以后，它就是文本的一部分。",
    flow=(
        ("切成图块", "{tiles} 块", "每张图片变成若干 {size} x {size} 像素的正方形。"),
        ("视觉模型", "{patches} 个小片", "它同时看每块里的 {per_tile} 个小片。"),
        ("Pixel shuffle", "{tokens} 个位置", "相邻的 {group} 个小片并在一起。"),
        ("连接器", "{tokens} 个图片词元", "每个位置变成一行 {width} 个数，和一个词一样大。"),
        ("提示词", "{prompt} 个词元", "图片词元和 {text} 个文字词元排成一列。"),
        ("语言模型", "{layers} 层", "每个词元从它前面的词元那里取来所需的信息。"),
        ("回答", "{answer} 个词元", "一次一个；写下的词元先被读入，再写下一个。"),
    ),
    picture_title="图片",
    pictures_title="图 {number}",
    text_title="语言模型",
    cost_title="花费",
    parts_title="模型的各部分",
    parts_lead="参数是训练定下来的数字。运算量是这个问题和回答至少需要的乘法和加法次数。参数少的部分也可能做大部分运算，"
    "因为视觉模型要处理每个小片，语言模型要处理每个词元。",
    parts_caption="各部分的参数和运算量",
    parts_head=("部分", "参数", "占比", "运算（十亿次）", "占运算的比例"),
    part_names=("视觉模型", "连接器", "语言模型", "合计"),
    gaze_choose="选择回答中的一个词",
    gaze_some="只显示前 {count} 个词（共 {words} 个）。",
    gaze_none="回答里没有可以追踪的词。",
    glossary_title="这里用到的词",
    glossary=CHINESE,
    made_by="由 ivl {version} 生成。",
)

PAGE_WORDINGS = MappingProxyType({"en": _EN, "zh": _ZH})


def page_wording(language: str) -> PageWording:
    """The texts in a language; English for one that is not there."""
    return PAGE_WORDINGS.get(language, _EN)


def guess_language(prompt: str) -> str:
    """ "zh" for a question with a Chinese character, else "en"."""
    return "zh" if any("\u4e00" <= character <= "\u9fff" for character in prompt) else "en"
