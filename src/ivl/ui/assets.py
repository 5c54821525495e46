"""The page's own scripts and styles, which stand inside the page: no route serves them.

In: names of files in `static/`. Out: their text.
"""

from pathlib import Path

_HERE = Path(__file__).parent
_STYLES = ("static/style.css", "static/chat.css", "how.css", "compare.css")


def script(name: str) -> str:
    """The script of one of our components, with what they all share before it."""
    return _read("static/common.js") + _read(f"static/{name}.js")


def styles() -> str:
    """All styles; a tab may have a file of its own beside its module."""
    return "\n".join(_read(name) for name in _STYLES if (_HERE / name).exists())


def _read(name: str) -> str:
    return (_HERE / name).read_text(encoding="utf-8")
