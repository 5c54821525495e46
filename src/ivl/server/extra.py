"""Whether the packages of the extra `server` are there. Imports none of them."""

from importlib.util import find_spec

from ivl.errors import MissingExtraError

_PACKAGES = ("fastapi", "uvicorn", "pydantic")


def check_extra() -> None:
    """Raise MissingExtraError where one is missing."""
    for name in _PACKAGES:
        if find_spec(name) is None:
            raise MissingExtraError(f"serving needs {name}: pip install 'ivl[server]'")
