"""Small pieces of HTML for the walk: pictures in the page itself, tables with headers, everything escaped.

In: pictures, texts, numbers. Out: HTML without scripts and without anything to fetch. Knows no model.
"""

import base64
import html
import io
from collections.abc import Sequence

from PIL import Image


def safe(text: object) -> str:
    """A text as HTML shows it."""
    return html.escape(str(text))


def data_uri(image: Image.Image, longest: int = 0, quality: int = 86) -> str:
    """A picture as an address that holds it. longest: pixels of its longer side at most; 0: as it is."""
    if longest and max(image.size) > longest:
        scale = longest / max(image.size)
        size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
        image = image.resize(size, Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    image.convert("RGB").save(buffer, "WEBP", quality=quality, method=2)
    return "data:image/webp;base64," + base64.b64encode(buffer.getvalue()).decode()


def img(image: Image.Image, alt: str, longest: int = 0, quality: int = 86) -> str:
    """An <img> of its own size; the page's style may shrink it."""
    return f'<img src="{data_uri(image, longest, quality)}" alt="{safe(alt)}">'


def figure(body: str, caption: str, name: str) -> str:
    """Something to look at, with its caption; `body` is HTML, `name` a class."""
    return f'<figure class="{name}">{body}<figcaption>{safe(caption)}</figcaption></figure>'


def table(caption: str, head: Sequence[str], rows: Sequence[Sequence[str]], foot: Sequence[str] = ()) -> str:
    """A table whose first column names its rows. Cells of rows and foot are HTML, caption and head are texts."""
    heads = "".join(f'<th scope="col">{safe(cell)}</th>' for cell in head)
    body = "".join(_row(row) for row in rows)
    last = f"<tfoot>{_row(foot)}</tfoot>" if foot else ""
    named = f'class="ivl-how-wide" tabindex="0" role="group" aria-label="{safe(caption)}"'
    return (
        f"<div {named}><table><caption>{safe(caption)}</caption>"
        f"<thead><tr>{heads}</tr></thead><tbody>{body}</tbody>{last}</table></div>"
    )


def section(title: str, lead: str, *body: str, name: str) -> str:
    """A part of the walk under its heading; `body` is HTML, `name` tells the part."""
    head = f"<h3>{safe(title)}</h3><p>{safe(lead)}</p>"
    return f'<section class="ivl-how-part ivl-how-{name}">{head}{"".join(body)}</section>'


def percent(share: float) -> str:
    """A share in percent, with a digit behind the point where it is small."""
    return f"{100 * share:.1f}%" if share < 0.0995 else f"{100 * share:.0f}%"


def duration(seconds: float) -> str:
    """Seconds in the unit that gives a readable number."""
    if seconds < 1:
        return f"{1000 * seconds:.1f} ms" if seconds < 0.01 else f"{1000 * seconds:.0f} ms"
    return f"{seconds:.2f} s"


def _row(cells: Sequence[str]) -> str:
    first, *rest = cells
    return f'<tr><th scope="row">{first}</th>{"".join(f"<td>{cell}</td>" for cell in rest)}</tr>'
