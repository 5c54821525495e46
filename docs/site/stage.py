"""The documents of one language, laid out for Sphinx in a folder of their own.

In: docs/, where NAME.zh-CN.md is the translation of NAME.md and links lead from file to file, as code hosts show them.
Out: a folder in which every page has one name, NAME.md, in the language asked for, or in English under a note where it
is not translated; links lead within it. Knows neither Sphinx nor themes.
"""

import re
import shutil
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from posixpath import normpath

LANGUAGES = ("en", "zh")
TRANSLATED = ".zh-CN"
NOT_TRANSLATED = "```{note}\n本页暂时只有英文。\n```\n\n"
_SWITCH = re.compile(r"^(English \| \[中文\]\(.+\)|\[English\]\(.+\) \| 中文)\n\n?", re.MULTILINE)
# A code span, which is left alone, or a link with its text: pictures too.
_LINK = re.compile(
    r"(?P<code>(?P<ticks>`+).+?(?P=ticks)(?!`))|(?P<text>!?\[(?:[^\[\]]|\[[^\]]*\])*\])\((?P<to>[^)\s]+)\)"
)
# Chinese at the end of one line and at the beginning of the next: the break would be shown as a space.
_CHINESE_BREAK = re.compile(r"(?<=[\u3000-\u9fff\uff00-\uffef])\n(?=[\u3000-\u9fff\uff00-\uffef])")
_REFERENCE = re.compile(r"^<!-- api: ([\w.]+) -->$", re.MULTILINE)


class SiteError(Exception):
    """The documents cannot become a site; one line says which file and why."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A heading of the site's table of contents, by language, and its pages in order."""

    titles: dict[str, str]
    pages: tuple[str, ...]


@dataclass(kw_only=True)
class Staged:
    """What one language came to."""

    pages: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    """Pages of the table of contents that have no file."""
    external: dict[str, set[str]] = field(default_factory=dict)
    """Addresses elsewhere, and the pages that name them."""


def read_sections(path: Path) -> list[Section]:
    """The table of contents, from its TOML file."""
    sections = tomllib.loads(path.read_text("utf-8"))["section"]
    return [Section(titles={key: each[key] for key in LANGUAGES}, pages=tuple(each["pages"])) for each in sections]


def stage(
    docs: Path,
    out: Path,
    language: str,
    sections: list[Section],
    *,
    reference: Callable[[str], str],
    source_url: str | None = None,
) -> Staged:
    """Write the pages of one language and their pictures into `out`.

    reference: what stands for `<!-- api: NAME -->`. source_url: where the repository's files can be read, so that links
    to files outside docs/ lead there; None: such a link becomes its text and the file's name.
    """
    staged = Staged()
    names = ["index", *(name for section in sections for name in section.pages)]
    if len(set(names)) < len(names):
        raise SiteError("nav.toml names a page twice")
    for name in names:
        text = page_text(docs, name, language)
        if text is None:
            staged.missing.append(name)
            continue
        text = rewrite_links(text, docs, name, staged.external, source_url)
        text = _REFERENCE.sub(lambda found: reference(found[1]), text)
        if name == "index":
            text += contents(docs, sections, language)
        target = out / f"{name}.md"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, "utf-8")
        staged.pages.append(name)
    if (docs / "images").is_dir():
        shutil.copytree(docs / "images", out / "images", dirs_exist_ok=True)
    return staged


def page_text(docs: Path, name: str, language: str) -> str | None:
    """A page in this language, else in English under a note; without its switch of languages, which the site has."""
    translated = docs / f"{name}{TRANSLATED}.md"
    if language == "zh" and translated.is_file():
        return _SWITCH.sub("", translated.read_text("utf-8"), count=1)
    if not (docs / f"{name}.md").is_file():
        return None
    text = _SWITCH.sub("", (docs / f"{name}.md").read_text("utf-8"), count=1)
    if language == "en" or name.startswith("api/"):
        return text
    title, _, rest = text.partition("\n\n")
    return f"{title}\n\n{NOT_TRANSLATED}{rest}"


def contents(docs: Path, sections: list[Section], language: str) -> str:
    """The table of contents as Sphinx's directives, hidden on the page itself."""
    parts = []
    for section in sections:
        pages = "\n".join(name for name in section.pages if (docs / f"{name}.md").is_file())
        if pages:
            parts.append(f"\n```{{toctree}}\n:hidden:\n:caption: {section.titles[language]}\n\n{pages}\n```\n")
    return "".join(parts)


def outside_fences(text: str) -> Iterator[tuple[bool, str]]:
    """Stretches of a page in order, each with whether it is prose (not a fenced block)."""
    fence, start, position = "", 0, 0
    for line in text.splitlines(keepends=True):
        mark = re.match(r" {0,3}(`{3,}|~{3,})", line)
        if mark and not fence:
            yield True, text[start:position]
            fence, start = mark[1], position
        elif fence and mark and line.strip().startswith(fence) and not line.strip().strip(fence[0]):
            yield False, text[start : position + len(line)]
            fence, start = "", position + len(line)
        position += len(line)
    yield not fence, text[start:]


def rewrite_links(
    text: str, docs: Path, name: str, external: dict[str, set[str]], source_url: str | None = None
) -> str:
    """The page with links as the site needs them; addresses elsewhere are added to `external`."""

    def link(found: re.Match[str]) -> str:
        if found["code"] or found["to"].startswith("#"):
            return found[0]
        if re.match(r"[a-z]+:", found["to"]):
            external.setdefault(found["to"], set()).add(name)
            return found[0]
        target, hash_mark, anchor = found["to"].partition("#")
        path = normpath((Path(name).parent / target).as_posix())
        if path.startswith("../"):
            return _outside(found["text"], path.removeprefix("../"), docs.parent, name, source_url)
        if not (docs / path).exists():
            raise SiteError(f"docs/{name}.md links to {found['to']}, which does not exist")
        return f"{found['text']}({target.replace(TRANSLATED + '.md', '.md')}{hash_mark}{anchor})"

    parts = outside_fences(text)
    return "".join(_LINK.sub(link, _CHINESE_BREAK.sub("", part)) if prose else part for prose, part in parts)


def _outside(text: str, path: str, root: Path, name: str, source_url: str | None) -> str:
    """A link to a file of the repository that is no part of the site."""
    if path.startswith("../") or not (root / path).exists():
        raise SiteError(f"docs/{name}.md links to {path}, which does not exist in the repository")
    if source_url is not None:
        return f"{text}({source_url.rstrip('/')}/{path})"
    words = text.removeprefix("[").removesuffix("]")
    return words if path in words else f"{words} (`{path}`)"
