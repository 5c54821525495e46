"""Whether a built site holds together: every link within it leads to a page and a place on it, and nothing is fetched
from elsewhere.

In: a folder of HTML files. Out: a line for each fault. Opens no address and runs no script.
"""

from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

# What a browser fetches by itself when it shows a page; <a href> is not among them.
_FETCHES = {("script", "src"), ("link", "href"), ("img", "src"), ("iframe", "src"), ("source", "src"), ("video", "src")}
_NAMES_A_PAGE = frozenset({"canonical", "alternate", "next", "prev", "author", "license", "index", "search"})


class _Page(HTMLParser):
    """Ids, links and fetches of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.fetches: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        if "id" in given:
            self.ids.add(given["id"])
        if tag == "a" and "href" in given:
            self.links.append(given["href"])
        for name, value in given.items():
            named = tag == "link" and _NAMES_A_PAGE.intersection(given.get("rel", "").split())
            if (tag, name) in _FETCHES and not named:
                self.fetches.append(value)


def read_pages(folder: Path) -> dict[Path, _Page]:
    """All pages of a site."""
    return {path.resolve(): _Page(path.read_text("utf-8")) for path in sorted(folder.rglob("*.html"))}


def broken_links(folder: Path) -> list[str]:
    """Links and pictures that lead nowhere."""
    pages = read_pages(folder)
    faults = []
    for path, page in pages.items():
        for address in [*page.links, *page.fetches]:
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            where = path.relative_to(folder.resolve())
            if not target.is_file():
                faults.append(f"{where} leads to {address}, which does not exist")
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
                faults.append(f"{where} leads to {address}, but there is no such place on that page")
    return faults


def requests_elsewhere(folder: Path) -> list[str]:
    """What pages and styles would fetch from other hosts."""
    faults = []
    for path, page in read_pages(folder).items():
        for address in page.fetches:
            if urlsplit(address).netloc or urlsplit(address).scheme not in ("", "data"):
                faults.append(f"{path.name} would fetch {address}")
    for path in sorted(folder.rglob("*.css")):
        text = path.read_text("utf-8")
        if "@import" in text or "url(http" in text or "url(//" in text:
            faults.append(f"{path.name} would fetch something from elsewhere")
    return faults
