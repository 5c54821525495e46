"""Where the page of `ivl explain` goes, and what it calls a model.

In: words of the command line, and the page. Out: paths, names and a file.
"""

import os
import secrets
from pathlib import Path
from urllib.parse import urlsplit

from ivl.errors import InputError


def name_page(image: str) -> Path:
    """A file in the current folder, called after the picture."""
    if image.startswith("data:"):
        return Path("picture_explained.html")
    path = urlsplit(image).path if "://" in image else image
    return Path(f"{Path(path).stem or 'picture'}_explained.html")


def check_page(path: Path, replace: bool) -> None:
    """Refuse before the work what could not be written after it. Raises InputError."""
    if path.is_dir():
        raise InputError(f"-o {str(path)!r} is a folder: name a file in it, such as {str(path / 'page.html')!r}")
    if path.exists() and not replace:
        raise InputError(f"-o {str(path)!r} is there already: give --force to replace it, or another name")
    if not path.absolute().parent.is_dir():
        raise InputError(f"-o {str(path)!r}: {str(path.absolute().parent)!r} is not a folder")


def write_page(path: Path, text: str, *, replace: bool) -> int:
    """Write the page, whole or not at all; its bytes. Raises InputError."""
    check_page(path, replace)
    # A path's name may hold bytes that are no text.
    data, beside = text.encode(errors="replace"), path.with_name(f".{path.name[:100]}.{secrets.token_hex(4)}")
    try:
        try:
            beside.write_bytes(data)
            os.replace(beside, path)  # noqa: PTH105 - as rename does not on every system
        finally:
            beside.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"-o {str(path)!r} cannot be written: {error.strerror or error}") from None
    return len(data)


def shown_name(model: str | None) -> str | None:
    """A hub id as it is; of a folder its name, since where it lies is nobody's business; None stays None."""
    if model is None or not Path(model).exists():
        return model
    return Path(model).resolve().name
