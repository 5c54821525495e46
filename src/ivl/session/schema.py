"""What a JSON schema may hold, so that compiling it takes bounded time.

In: a schema that is JSON. Out: nothing, or a SettingsError. llguidance bounds its own work but for two things, in
which its time grows exponentially and nothing stops it: patterns that must hold at once, and multiples of large
numbers. Knows no grammar.
"""

from typing import Any

from ivl.errors import SettingsError, shown

MAX_INTERSECTED = 8
"""Patterns that must hold at once."""
MAX_MULTIPLE = 1000
"""multipleOf, its decimal point left out."""
_PATTERNS = {"pattern", "format"}
_SAYS_NOTHING = {"$defs", "definitions", "$schema", "$id", "$comment", "title", "description", "default", "examples"}


def check_schema(schema: Any) -> None:
    """Raise SettingsError for a schema that intersects too many patterns, or multiples of too large numbers."""
    count, intersects, multiples = 0, False, set()
    rest = [schema]
    while rest:
        part = rest.pop()
        if isinstance(part, list | tuple):
            rest.extend(part)
        if not isinstance(part, dict):
            continue
        rest.extend(part.values())
        patterns = part.get("patternProperties")
        count += len(_PATTERNS & part.keys()) + (len(patterns) if isinstance(patterns, dict) else 0)
        if "multipleOf" in part:
            multiples.add(_checked_multiple(part["multipleOf"]))
        beside = part.keys() & {"$ref", "anyOf", "oneOf"} and len(part.keys() - _SAYS_NOTHING) > 1
        intersects |= bool(beside) or "allOf" in part or "patternProperties" in part
    if not intersects:
        return
    if count > MAX_INTERSECTED:
        raise SettingsError(
            f"response_format's schema has {count} patterns and formats that may have to hold at once (it has allOf, "
            f"patternProperties, or keys beside $ref, anyOf or oneOf): at most {MAX_INTERSECTED} are compiled"
        )
    if len(multiples) > 1:
        raise SettingsError(
            f"response_format's schema has {len(multiples)} values of multipleOf that may have to hold at once (it has "
            "allOf, or keys beside $ref, anyOf or oneOf): one is compiled"
        )


def _checked_multiple(value: Any) -> str:
    """The number as text."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool) and 0 < value <= MAX_MULTIPLE
    text = f"{value:.9f}".rstrip("0") if is_number and value != int(value) else f"{int(value) if is_number else -1}"
    text = text.replace(".", "")
    if not text.isdecimal() or int(text) > MAX_MULTIPLE:
        raise SettingsError(
            f"response_format's schema has multipleOf={shown(value)}: a number above 0 of at most {MAX_MULTIPLE} "
            "without its decimal point is compiled"
        )
    return str(value)
