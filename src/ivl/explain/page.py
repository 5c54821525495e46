"""The page of `ivl explain`: a whole walk through the model for one question, as one HTML file.

In: an `Explained`, the names of model and adapter, a language. Out: HTML that fetches nothing and has no script; a
content security policy forbids both besides. The walk's parts are those of the web page's tab. Knows no files.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from ivl._version import __version__
from ivl.explain.attention import Gaze
from ivl.explain.markup import img, safe, section
from ivl.explain.page_parts import flow, parts_section
from ivl.explain.page_run import Explained
from ivl.explain.page_style import STYLE, choosing_style
from ivl.explain.page_words import PageWording, page_wording
from ivl.explain.prompt_sections import gaze_figure, prompt_section, time_section
from ivl.explain.sections import grid_section, tiles_section, tokens_section
from ivl.explain.tokens import Word
from ivl.explain.wording import Wording, wording

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; img-src data:; base-uri 'none'; form-action 'none'"
_ASKED_SIDE = 480
_GAZE_SIDE, _GAZE_QUALITY = 448, 70
_LONGEST_NAME = 200


@dataclass(frozen=True, kw_only=True)
class PageNames:
    """What the page calls things."""

    model: str | None = None
    """None: the one in the package."""
    adapter: str | None = None
    language: str = "en"
    """"en" or "zh"."""


def render_page(explained: Explained, names: PageNames) -> str:
    """The whole page."""
    own, words = page_wording(names.language), wording(names.language)
    parts = [
        ("way", own.flow_title, f"<p>{safe(own.flow_lead)}</p>{flow(explained.walk, own)}"),
        *_pictures(explained, own, words),
        ("text", own.text_title, prompt_section(explained.walk, words) + _gazes(explained, own, words)),
        ("cost", own.cost_title, parts_section(explained.walk, own) + time_section(explained.timing, words)),
        ("words", own.glossary_title, _glossary(own)),
    ]
    links = "".join(f'<li><a href="#{key}">{safe(title)}</a></li>' for key, title, _ in parts)
    body = "\n".join(f'<section id="{key}"><h2>{safe(title)}</h2>{html}</section>' for key, title, html in parts)
    return (
        f"{_head(own, len(explained.looked))}\n<body><main><header><h1>{safe(own.title)}</h1><p>{safe(own.lead)}</p>"
        f"{_asked(explained, names, own)}</header>\n"
        f'<nav aria-label="{safe(own.contents)}"><ul>{links}</ul></nav>\n{body}\n'
        f'<footer class="ivl-page-soft">{safe(own.made_by.format(version=__version__))}</footer>'
        "</main></body></html>\n"
    )


def _head(own: PageWording, num_words: int) -> str:
    return (
        f'<!doctype html>\n<html lang="{own.language}"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        '<meta name="color-scheme" content="light dark"><meta name="referrer" content="no-referrer">'
        f"<title>{safe(own.title)}</title><style>{STYLE}{choosing_style(num_words)}</style></head>"
    )


def _asked(explained: Explained, names: PageNames, own: PageWording) -> str:
    """Pictures, question, answer and model."""
    shown = "".join(
        img(picture.image, own.picture_alt.format(number=at), _ASKED_SIDE)
        for at, picture in enumerate(explained.walk.pictures, 1)
    )
    model = safe((names.model or own.own_model)[:_LONGEST_NAME])
    if names.adapter:
        model += "<br>" + safe(own.adapter.format(name=names.adapter[:_LONGEST_NAME]))
    cut = own.cut.format(count=f"{len(explained.walk.answer_ids):,}")
    note = f'<p class="ivl-page-soft">{safe(cut)}</p>' if explained.is_cut else ""
    rows = [
        (own.question, f'<dd dir="auto">{safe(explained.prompt)}</dd>'),
        (own.answer, f'<dd dir="auto" class="ivl-page-answer">{safe(explained.answer.strip() or own.no_answer)}</dd>'),
        (own.model, f"<dd>{model}</dd>"),
    ]
    listed = "".join(f"<dt>{safe(name)}</dt>{value}" for name, value in rows)
    return f'<div class="ivl-page-asked"><div>{shown}</div><div><dl>{listed}</dl>{note}</div></div>'


def _pictures(explained: Explained, own: PageWording, words: Wording) -> list[tuple[str, str, str]]:
    """A part of the page for each picture: key, title and HTML."""
    count, parts = len(explained.walk.pictures), []
    for at in range(count):
        title = own.picture_title if count == 1 else own.pictures_title.format(number=at + 1)
        drawn = (part(explained.walk, at, words) for part in (grid_section, tiles_section, tokens_section))
        parts.append((f"picture-{at + 1}", title, "".join(drawn)))
    return parts


def _gazes(explained: Explained, own: PageWording, words: Wording) -> str:
    """A choice of words, and for each where the model looked; the style shows the chosen one."""
    if not explained.looked:
        return section(words.gaze_title, own.gaze_none, name="head")
    choices = "".join(_choice(at, word) for at, (word, _) in enumerate(explained.looked))
    count, words_said = len(explained.looked), len(explained.walk.words)
    told = safe(own.gaze_some.format(count=count, words=words_said))
    some = f'<p class="ivl-page-soft">{told}</p>' if count < words_said else ""
    fields = (
        f"<fieldset><legend>{safe(own.gaze_choose)}</legend>"
        f'<div class="ivl-page-choices">{choices}</div>{some}</fieldset>'
    )
    drawn = "".join(_gaze(explained, at, word, found, words) for at, (word, found) in enumerate(explained.looked))
    body = f'<div class="ivl-page-gazes">{fields}{drawn}</div>'
    return section(words.gaze_title, words.gaze_intro, body, name="head")


def _choice(at: int, word: Word) -> str:
    checked = " checked" if at == 0 else ""
    field = f'<input type="radio" name="word" id="w{at}"{checked}>'
    return f'<span>{field}<label for="w{at}" dir="auto">{safe(word.text)}</label></span>'


def _gaze(explained: Explained, at: int, word: Word, found: Gaze, words: Wording) -> str:
    pictures: Sequence[int] = range(len(explained.walk.pictures))
    size = {"longest": _GAZE_SIDE, "quality": _GAZE_QUALITY}
    drawn = "".join(gaze_figure(explained.walk, found, word.text, None, picture, words, **size) for picture in pictures)
    return f'<div class="ivl-page-gaze" id="g{at}">{drawn}</div>'


def _glossary(own: PageWording) -> str:
    pairs = "".join(f"<div><dt>{safe(term)}</dt><dd>{safe(told)}</dd></div>" for term, told in own.glossary)
    return f'<dl class="ivl-page-words">{pairs}</dl>'
