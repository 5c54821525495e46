"""Whether the packages that ivl stands on are here and new enough, by ivl's own metadata.

In: the installed distributions. Out: checks, each with the pip line that mends it. Imports none of them.
"""

import platform
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata

from ivl.explain.check import Check

_LINE = re.compile(r"([\w.-]+)(\[[^\]]*\])?\s*\(?([^;)]*)\)?\s*(?:;\s*(.*))?$")
_EXTRA = re.compile(r"extra\s*==\s*['\"]([^'\"]+)['\"]$")
_CLAUSE = re.compile(r"\s*(>=|<=|==|!=|<|>)\s*([\d.]+)")


@dataclass(frozen=True, kw_only=True)
class Requirement:
    """One package that ivl asks for."""

    package: str
    versions: str
    """As pip writes them, such as ">=12.3,<13"."""
    extra: str | None = None

    def allows(self, version: str) -> bool:
        """Whether an installed version is in the asked range."""
        return versions_allow(self.versions, version)


def package_checks() -> Iterator[Check]:
    """Python, the required packages, and one check for each extra that lacks something."""
    try:
        own = metadata.metadata("ivl")
        asked = [parsed for line in metadata.requires("ivl") or () if (parsed := parse_requirement(line))]
    except metadata.PackageNotFoundError:
        advice = "install ivl with pip, so that its requirements are known"
        yield Check(name="packages", level="warning", found="ivl runs from a folder", advice=advice)
        return
    yield check_python(platform.python_version(), own["Requires-Python"] or "")
    installed = {each.package: installed_version(each.package) for each in asked}
    yield check_required([each for each in asked if each.extra is None], installed)
    for extra in sorted({each.extra for each in asked if each.extra and each.extra != "dev"}):
        yield check_extra(extra, [each for each in asked if each.extra == extra], installed)


def check_python(version: str, allowed: str) -> Check:
    """Whether this Python is one that ivl is made for."""
    if versions_allow(allowed, version):
        return Check(name="python", level="ok", found=f"{version} on {platform.system()} {platform.machine()}")
    return Check(name="python", level="problem", found=version, advice=f"ivl needs Python {allowed}")


def check_required(asked: list[Requirement], installed: dict[str, str | None]) -> Check:
    """The packages without which nothing works."""
    wrong = [each for each in asked if not _is_there(each, installed)]
    if not wrong:
        found = ", ".join(f"{each.package} {installed[each.package]}" for each in asked)
        return Check(name="packages", level="ok", found=found)
    found = ", ".join(f"{each.package} {installed[each.package] or 'is missing'}" for each in wrong)
    return Check(name="packages", level="problem", found=found, advice=_pip(wrong))


def check_extra(extra: str, asked: list[Requirement], installed: dict[str, str | None]) -> Check:
    """The packages of one extra."""
    wrong = [each for each in asked if not _is_there(each, installed)]
    if not wrong:
        found = ", ".join(f"{each.package} {installed[each.package]}" for each in asked)
        return Check(name=f"extra {extra}", level="ok", found=found)
    found = ", ".join(f"{each.package} {installed[each.package] or 'is not installed'}" for each in wrong)
    return Check(name=f"extra {extra}", level="warning", found=found, advice=_pip(wrong))


def parse_requirement(line: str) -> Requirement | None:
    """A line of a package's metadata; None where it is not for every machine, or names ivl's own extras."""
    match = _LINE.match(line)
    if not match or match[1] == "ivl":
        return None
    extra = _EXTRA.match(match[4]) if match[4] else None
    if match[4] and not extra:
        return None
    return Requirement(package=match[1], versions=match[3].strip(), extra=extra[1] if extra else None)


def installed_version(package: str) -> str | None:
    """The version that is installed; None: it is not."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def versions_allow(allowed: str, version: str) -> bool:
    """Whether a version such as "2.13.0+cpu" is in a range such as ">=2.11,<3"."""
    have = _release(version)
    tests = {
        ">=": lambda bound: have >= bound,
        "<=": lambda bound: have <= bound,
        "==": lambda bound: have == bound,
        "!=": lambda bound: have != bound,
        "<": lambda bound: have < bound,
        ">": lambda bound: have > bound,
    }
    clauses = [match for part in allowed.split(",") if (match := _CLAUSE.match(part))]
    return all(tests[clause[1]](_release(clause[2])) for clause in clauses)


def _release(version: str) -> tuple[int, ...]:
    """The leading numbers of a version without trailing zeros, which can be compared."""
    leading = re.match(r"\d+(\.\d+)*", version)
    numbers = [int(part) for part in leading[0].split(".")] if leading else []
    while numbers and numbers[-1] == 0:
        numbers.pop()
    return tuple(numbers)


def _is_there(asked: Requirement, installed: dict[str, str | None]) -> bool:
    version = installed[asked.package]
    return version is not None and asked.allows(version)


def _pip(wrong: list[Requirement]) -> str:
    names = " ".join(f"'{each.package}{each.versions}'" for each in wrong)
    return f"pip install {names}"
