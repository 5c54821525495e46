"""Whether the packages of the extra `ui` are there. Imports none of them."""

from importlib.util import find_spec

from ivl.errors import MissingExtraError


def check_extra() -> None:
    """Raise MissingExtraError where one is missing."""
    for name in ("gradio", "uvicorn"):
        if find_spec(name) is None:
            raise MissingExtraError(f"the page needs {name}: pip install 'ivl[ui]'")
