"""Build the site of both languages: `python docs/site/build.py OUT`, or `make site`.

In: docs/ and src/. Out: OUT/index.html in English, OUT/zh/index.html in Chinese, and OUT/external-links.txt, the
addresses elsewhere that pages name; none of them is opened. A warning of Sphinx is an error, and so is a link that
leads nowhere. Exit code 1 with one line for each fault.
"""

import argparse
import re
import shutil
import sys
import tempfile
import time
from pathlib import Path

from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po
from links import broken_links, requests_elsewhere
from reference import Reference
from sphinx.cmd.build import build_main
from stage import LANGUAGES, SiteError, Staged, read_sections, stage

HERE = Path(__file__).resolve().parent
DOCS = HERE.parent
SPHINX_LANGUAGE = {"en": "en", "zh": "zh_CN"}
PLACE = {"en": "", "zh": "zh"}
# Words that stand in the theme's templates as they are, where no translation reaches them.
FIXED_WORDS = {
    "Skip to content": "跳到正文",
    "Toggle Light / Dark / Auto color theme": "浅色、深色或跟随系统",
    "Toggle site navigation sidebar": "打开或收起导航",
    "Toggle table of contents sidebar": "打开或收起本页目录",
    "Hide navigation sidebar": "收起导航",
    "Hide table of contents sidebar": "收起本页目录",
}
# Sphinx's own leftovers in a site: of no use to a reader.
LEFTOVERS = (".buildinfo", "objects.inv", ".doctrees")


def main(arguments: list[str] | None = None) -> int:
    """The command."""
    parser = argparse.ArgumentParser(description="Build the documents as a static site in English and Chinese.")
    parser.add_argument("out", type=Path, help="folder of the site; what is in it is replaced")
    parser.add_argument("--source-url", help="where the repository's files can be read, as https://host/repo/blob/main")
    given = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        staged = build(given.out, given.source_url)
    except SiteError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    pages = sum(len(each.pages) for each in staged.values())
    print(f"{given.out}/index.html: {pages} pages in {time.monotonic() - started:.0f} s")
    return 0


def build(out: Path, source_url: str | None = None, docs: Path = DOCS) -> dict[str, Staged]:
    """Both languages; a fault raises SiteError and leaves an older site as it was."""
    if out.exists() and any(out.iterdir()) and not (out / "external-links.txt").is_file():
        raise SiteError(f"{out} holds other things than a site: name another folder")
    sections = read_sections(HERE / "nav.toml")
    reference = Reference(DOCS.parent / "src")
    staged = {}
    with tempfile.TemporaryDirectory(prefix="ivl-site-") as name:
        work = Path(name)
        for language in LANGUAGES:
            source = work / language
            staged[language] = stage(docs, source, language, sections, reference=reference, source_url=source_url)
            if staged[language].missing:
                raise SiteError(f"nav.toml names pages that are not there: {', '.join(staged[language].missing)}")
            _run_sphinx(source, work / "html" / PLACE[language], language, work)
        _write_external(work / "html", staged)
        faults = broken_links(work / "html") + requests_elsewhere(work / "html")
        if faults:
            raise SiteError("; ".join(faults))
        shutil.rmtree(out, ignore_errors=True)
        shutil.copytree(work / "html", out)
    return staged


def _run_sphinx(source: Path, out: Path, language: str, work: Path) -> None:
    locale = work / "locale"
    _compile_words(HERE / "words.zh_CN.po", locale / "zh_CN/LC_MESSAGES/sphinx.mo")
    words = ["-b", "html", "-c", str(HERE), "-d", str(work / f"doctrees-{language}"), "-q", "-W", "--keep-going"]
    settings = [f"language={SPHINX_LANGUAGE[language]}", f"locale_dirs={locale}"]
    code = build_main([*words, *(word for setting in settings for word in ("-D", setting)), str(source), str(out)])
    if code != 0:
        raise SiteError(f"Sphinx had warnings or failed in {language!r}; they stand above")
    for leftover in LEFTOVERS:
        (out / leftover).unlink(missing_ok=True)
    if language == "zh":
        for page in out.rglob("*.html"):
            page.write_text(_fixed_words_translated(page.read_text("utf-8")), "utf-8")


def _fixed_words_translated(html: str) -> str:
    for english, chinese in FIXED_WORDS.items():
        html = re.sub(rf'(aria-label="|>\s*){re.escape(english)}(?="|\s*<)', rf"\g<1>{chinese}", html)
    return html


def _compile_words(source: Path, target: Path) -> None:
    """Chinese for the theme's words that Sphinx has no translation of."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with source.open("rb") as opened, target.open("wb") as written:
        write_mo(written, read_po(opened, locale="zh_CN"))


def _write_external(out: Path, staged: dict[str, Staged]) -> None:
    addresses: dict[str, set[str]] = {}
    for each in staged.values():
        for address, pages in each.external.items():
            addresses.setdefault(address, set()).update(pages)
    lines = [f"{address}  {' '.join(sorted(pages))}\n" for address, pages in sorted(addresses.items())]
    (out / "external-links.txt").write_text("".join(lines), "utf-8")


if __name__ == "__main__":
    sys.exit(main())
