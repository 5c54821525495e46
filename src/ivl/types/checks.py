"""Checks of single values, for the settings' own `__post_init__`.

In: a field's name and its value. Out: nothing, or SettingsError that names both. Knows no field.
"""

from typing import Any

from ivl.errors import SettingsError, shown

INT_MAX = 2**31 - 1
NUMBER = (int, float)


def check_number(name: str, value: object, kind: type | tuple[type, ...], low: float, high: float, say: str) -> None:
    """Raise SettingsError unless `value` is a number of `kind` in [low, high], which NaN is not."""
    good = isinstance(value, kind) and not isinstance(value, bool)
    if not good or not low <= value <= high:  # type: ignore[operator]
        raise SettingsError(f"{name}={shown(value)} is not allowed: {say}")


def check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise SettingsError(f"{name}={shown(value)} is not allowed: True or False")


def as_items(name: str, value: object, most: int) -> tuple[Any, ...]:
    """A list as a tuple, one string as a tuple of it; raises SettingsError for anything else and for too many."""
    items = (value,) if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise SettingsError(f"{name}={shown(value)} is not allowed: a list is needed")
    if len(items) > most:
        raise SettingsError(f"{name} holds {len(items)} entries: at most {most:,} are allowed")
    return tuple(items)


def check_text(name: str, value: object, most: int) -> None:
    """Raise SettingsError unless `value` is a non-empty string of valid Unicode and at most `most` characters."""
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        raise SettingsError(
            f"{name} holds {shown(value)}: it must be a non-empty string of at most {most:,} characters"
        )
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise SettingsError(f"{name} holds {shown(value)}: half of a surrogate pair is no valid Unicode")
