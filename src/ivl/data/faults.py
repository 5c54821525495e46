"""Why a record cannot be used: one `Fault`, whoever found it.

In: an error that a record raised, from its reader or from the processor. Out: where it stands, the reason in one line,
and the rule that it breaks, a short name under which reports count. The only place that tells rules apart.
"""

from dataclasses import dataclass

from ivl.errors import DataError, ImageError, InputError

RULES = (
    "bad JSON",
    "encoding",
    "record",
    "missing file",
    "image",
    "path",
    "placeholder count",
    "turns",
    "empty answer",
    "nothing to train",
    "too long",
    "duplicate id",
    "box",
)
"""Names of what can be wrong, in the order in which reports list them."""

PICTURE_RULES = frozenset({"missing file", "image", "path"})
"""Faults that may be gone although the data file is as it was."""

# What the reason says -> the rule, where whoever raised the error did not name one. The first that is found counts.
_TELLTALES = (
    ("no valid JSON", "bad JSON"),
    ("is no UTF-8", "encoding"),
    ("half of a surrogate pair", "encoding"),
    ("does not exist", "missing file"),
    ("lies outside of", "path"),
    ("is a link out of", "path"),
    ("is an address", "path"),
    ("cannot be reached", "path"),
    ("is refused", "path"),
    ("is no path", "path"),
    ("once for each", "placeholder count"),
    ("</box>", "box"),
    ("is an empty answer", "empty answer"),
    ("is too long", "too long"),
    ("take turns", "turns"),
    ("is an empty question", "turns"),
    ("is no answer", "turns"),
    ("no question", "turns"),
    ("a system message", "turns"),
)


@dataclass(frozen=True, kw_only=True)
class Fault:
    """A record that cannot be used."""

    where: str
    """File and line: `food.jsonl:12`."""
    reason: str
    """One line."""
    rule: str
    """One of RULES."""

    def __str__(self) -> str:
        return f"{self.where}: {self.reason}"


def fault_of(error: InputError, where: str) -> Fault:
    """The fault of the record at `where` that raised `error`."""
    reason = str(error).removeprefix(where).lstrip(": ")
    return Fault(where=where, reason=reason, rule=rule_of(error, reason))


def rule_of(error: InputError, reason: str) -> str:
    """The rule that an error is about."""
    if isinstance(error, DataError) and error.rule:
        return error.rule
    told = next((rule for telltale, rule in _TELLTALES if telltale in reason), "record")
    if isinstance(error, ImageError):  # whatever else is wrong with a file that is there
        return "missing file" if told == "missing file" else "image"
    return told
