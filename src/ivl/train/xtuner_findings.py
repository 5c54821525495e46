"""Taking settings out of a config that was read: what was taken, what was left, and what there is to say about it.

In: a `Reading`. Out: values of the kinds asked for, and notes, each with its line. Knows no setting by name.
"""

from collections.abc import Iterator
from typing import Any

from ivl.errors import SettingsError, shown
from ivl.train.xtuner_reader import Item, Reading, Reference, Unread


class Findings:
    """A config by dotted paths such as `optim_wrapper.optimizer.lr`; remembers which ones were asked for."""

    def __init__(self, reading: Reading, source: str) -> None:
        self.reading = reading
        self.source = source
        self.taken: set[str] = set()
        self.notes: list[tuple[int, str]] = [
            (line, f"`{text}` was not followed: the file is read, not run") for line, text in reading.skipped
        ]

    def find(self, *paths: str) -> Item | None:
        """The first of `paths` that there is; all of them count as taken. A value that is not known is noted and
        counts as missing."""
        self.taken.update(paths)
        for path in paths:
            if (item := self._at(path)) is not None:
                if not isinstance(item.value, Unread):
                    return item
                self.note(item, f"{path} = {item.value.text} cannot be known without running the file")
                return None
        return None

    def number(self, *paths: str) -> float | None:
        """A number; None where there is none."""
        return self._of_kind((int, float), "a number", paths)  # type: ignore[no-any-return]

    def whole(self, *paths: str) -> int | None:
        """A whole number; None where there is none."""
        return self._of_kind((int,), "a whole number", paths)  # type: ignore[no-any-return]

    def text(self, *paths: str) -> str | None:
        """A text; None where there is none."""
        return self._of_kind((str,), "text", paths)  # type: ignore[no-any-return]

    def flag(self, *paths: str) -> bool:
        """Whether it is given and true."""
        item = self.find(*paths)
        return item is not None and bool(item.value)

    def mapping(self, *paths: str) -> dict[str, Item]:
        """A dict; empty where there is none."""
        item = self.find(*paths)
        return item.value if item is not None and isinstance(item.value, dict) else {}

    def items(self, *paths: str) -> list[Item]:
        """A list; a single value is a list of one, nothing an empty one."""
        item = self.find(*paths)
        if item is None or item.value is None:
            return []
        return item.value if isinstance(item.value, list) else [item]

    def type_name(self, path: str) -> str:
        """The last word of a dict's `type`: AdamW for torch.optim.AdamW; empty where there is none."""
        item = self.find(f"{path}.type")
        return str(item.value).rpartition(".")[2] if item is not None and isinstance(item.value, str) else ""

    def inside(self, part: str, key: str, head: str) -> str:
        """The path of a setting: in its part, or, only where the config has no such part, the name at its head."""
        return f"{part}.{key}" if self.mapping(part) else head

    def line(self, *paths: str) -> int:
        """The line of the first of `paths` that there is; 1 without one."""
        return next((item.line for path in paths if (item := self._at(path)) is not None), 1)

    def note(self, item: Item | int, text: str) -> None:
        """Something to tell, with its line."""
        self.notes.append((item if isinstance(item, int) else item.line, text))

    def refuse(self, line: int, message: str) -> SettingsError:
        """The error that says `message` about a line."""
        return SettingsError(f"{self.source}:{line}: {message}")

    def left(self) -> Iterator[tuple[str, Item]]:
        """Everything that says something and was not taken, at the highest level at which nothing was."""
        for name, item in self.reading.names.items():
            if name not in self.reading.used or any(self._is_above(name, path) for path in self.taken):
                yield from self._left(name, item)

    def _left(self, path: str, item: Item) -> Iterator[tuple[str, Item]]:
        if path in self.taken and not isinstance(item.value, dict):
            return
        if isinstance(item.value, dict) and any(self._is_above(path, each) for each in self.taken):
            for key, inner in item.value.items():
                yield from self._left(f"{path}.{key}", inner)
        elif path not in self.taken and item.value is not None:
            yield path, item

    @staticmethod
    def _is_above(path: str, other: str) -> bool:
        return other.startswith(f"{path}.")

    def _at(self, path: str) -> Item | None:
        name, *keys = path.split(".")
        item = self.reading.names.get(name)
        for key in keys:
            if item is None:
                return None
            if isinstance(item.value, dict):
                item = item.value.get(key)
            elif isinstance(item.value, list) and key.isdigit() and int(key) < len(item.value):
                item = item.value[int(key)]
            else:
                return None
        return item

    def _of_kind(self, kinds: tuple[type, ...], words: str, paths: tuple[str, ...]) -> Any:
        item = self.find(*paths)
        if item is None or item.value is None:
            return None
        if not isinstance(item.value, kinds) or isinstance(item.value, bool | Reference):
            name = next(path for path in paths if self._at(path) is item)
            raise self.refuse(item.line, f"{name} is {told(item.value)}: {words} is needed")
        return item.value


def told(value: Any) -> str:
    """A value as a note shows it."""
    if isinstance(value, Reference):
        return str(value)[:80]
    if isinstance(value, Unread):
        return value.text
    if isinstance(value, dict):
        return "dict(...)"
    if isinstance(value, list):
        return f"[{', '.join(told(item.value) for item in value[:3])}{', ...' if len(value) > 3 else ''}]"[:80]
    return shown(value)
