"""Every exception ivl raises on purpose.

    IvlError
    ├── SettingsError        a setting (GenerationConfig, EngineConfig, a recipe, a command's option) has a bad value
    ├── ConfigError          a config.json cannot be understood
    ├── CheckpointError      weights are missing, damaged, of another shape, or in a format we refuse
    ├── AdapterError         an adapter is missing, damaged, or does not fit the model
    ├── TokenizerError       tokenizer files are missing or damaged
    ├── HubError             a model or data set could not be fetched or sent
    ├── InputError           what a person asked cannot be done
    │   ├── ImageError       not an image, too large, damaged, or may not be fetched
    │   ├── PromptError      roles, placeholders and images do not fit together
    │   ├── DataError        a record or a data set cannot be used; names file and line
    │   └── ContextLengthError   the prompt does not fit into the session
    ├── EngineError          the engine failed; its cause is chained
    ├── TrainingError        training cannot go on: NaN, no labels, a lost rank, no room
    └── MissingExtraError    an optional dependency is not installed

Messages are one line: what was wrong, the value got, what is allowed, what to do.
"""

import difflib
import reprlib
from collections.abc import Iterable


class IvlError(Exception):
    """Base of every error that ivl raises on purpose."""

    def __init__(self, message: str) -> None:
        super().__init__(" ".join(message.split()))


class SettingsError(IvlError, ValueError):
    """A setting has a value that is not allowed."""


class ConfigError(IvlError, ValueError):
    """A model's config.json is missing or cannot be understood."""


class CheckpointError(IvlError):
    """Weights are missing, damaged, of another shape, or in a format that is refused."""


class AdapterError(IvlError):
    """An adapter is missing, damaged, or does not fit the model."""


class TokenizerError(IvlError):
    """Tokenizer files are missing or damaged."""


class HubError(IvlError):
    """A model or data set could not be fetched from a hub, or sent to it."""


class InputError(IvlError, ValueError):
    """What a person asked cannot be done."""


class ImageError(InputError):
    """A picture or video cannot be read: no image, too large, damaged, or not to be fetched."""


class PromptError(InputError):
    """Roles, placeholders and images do not fit together."""


class DataError(InputError):
    """A record or a data set cannot be used; the message begins with file and line.

    rule: in a word or two what was broken, such as "bad JSON"; `ivl.data.faults.RULES` lists them.
    """

    def __init__(self, message: str, *, rule: str = "") -> None:
        super().__init__(message)
        self.rule = rule


class ContextLengthError(InputError):
    """The prompt does not fit into the session's length."""


class EngineError(IvlError, RuntimeError):
    """The engine failed; the cause is chained."""


class TrainingError(IvlError, RuntimeError):
    """Training cannot go on, or would go wrong; what was saved before is whole."""


class MissingExtraError(IvlError, ImportError):
    """An optional dependency is not installed."""


def nearest(name: str, allowed: Iterable[str]) -> str:
    """Text that names the allowed value nearest to a misspelt one, or lists them all."""
    names = sorted(allowed)
    close = difflib.get_close_matches(name, names, n=1)
    return f"did you mean {close[0]!r}?" if close else "allowed: " + ", ".join(names)


def shown(value: object) -> str:
    """A value as a message shows it: at most 80 characters, in a moment, no address."""
    short = reprlib.Repr()
    short.maxstring = short.maxother = short.maxlong = 80
    try:
        text = short.repr(value)
    except (ValueError, RecursionError):  # an integer of more digits than Python writes out
        return f"<{type(value).__name__}>"
    return f"<{type(value).__name__}>" if " at 0x" in text else text[:80]
