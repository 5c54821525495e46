"""Reading the fields of a config.json that a stranger wrote.

In: a JSON object and where it stands. Out: values of the type and range asked for, or a ConfigError that
names file, field and value and says what is allowed. A field that is null counts as absent. Knows nothing of
models.
"""

import math
from collections.abc import Collection
from typing import Any

from ivl.errors import ConfigError, nearest

MAX_LAYERS = 512
MAX_HEADS = 512
MAX_SIZE = 2**20
MAX_VOCABULARY = 2**24
MAX_POSITIONS = 2**31 - 1


class Fields:
    """The fields of one JSON object; `where` is the file, `path` the object's place in it ("llm_config.")."""

    def __init__(self, values: dict[str, Any], where: str, path: str = "") -> None:
        self.values = values
        self.where = where
        self.path = path

    def error(self, name: str, say: str) -> ConfigError:
        """The error for a bad value of the field `name`; `say` is what is allowed."""
        shown = repr(self.values.get(name))
        shown = shown if len(shown) <= 80 else shown[:77] + "..."
        return ConfigError(f"{self.where}: {self.path}{name}={shown} is not allowed: {say}")

    def get(self, name: str, default: Any = None) -> Any:
        value = self.values.get(name)
        return default if value is None else value

    def integer(self, name: str, default: int | None = None, low: int = 1, high: int = MAX_SIZE) -> int:
        value = self._needed(name, default)
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise self.error(name, f"a whole number from {low} to {high}")
        return value

    def number(self, name: str, default: float | None = None, low: float = 0.0, high: float = 1e12) -> float:
        """A finite number above `low`, at most `high`."""
        value = self._needed(name, default)
        good = isinstance(value, int | float) and not isinstance(value, bool)
        if not good or not math.isfinite(value) or not low < value <= high:
            raise self.error(name, f"a number above {low:g}, at most {high:g}")
        return float(value)

    def flag(self, name: str, default: bool) -> bool:
        value = self.get(name, default)
        if not isinstance(value, bool):
            raise self.error(name, "true or false")
        return value

    def choice(self, name: str, allowed: Collection[str], default: str | None = None) -> str:
        value = self._needed(name, default)
        if not isinstance(value, str) or value not in allowed:
            raise self.error(name, nearest(str(value)[:100], allowed))
        return value

    def numbers(self, name: str, count: int) -> tuple[float, ...]:
        """A list of exactly `count` positive numbers."""
        value = self._needed(name, None)
        if not isinstance(value, list) or len(value) != count:
            raise self.error(name, f"a list of {count} numbers")
        parts = Fields(dict(enumerate(value)), self.where, f"{self.path}{name}.")  # type: ignore[arg-type]
        return tuple(parts.number(idx) for idx in range(count))  # type: ignore[arg-type]

    def group(self, name: str) -> "Fields":
        """The object in the field `name`; an empty one when it is absent."""
        value = self.get(name, {})
        if not isinstance(value, dict):
            raise self.error(name, "a JSON object")
        return Fields(value, self.where, f"{self.path}{name}.")

    def expect(self, name: str, value: Any, say: str) -> None:
        """Refuse any value of the field but `value` (or none): nothing else is implemented."""
        got = self.get(name, value)
        if got != value or isinstance(got, bool) != isinstance(value, bool):
            raise self.error(name, say)

    def _needed(self, name: str, default: Any) -> Any:
        value = self.get(name, default)
        if value is None:
            raise ConfigError(f"{self.where}: the field {self.path}{name} is missing")
        return value
