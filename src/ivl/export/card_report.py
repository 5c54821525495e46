"""What an evaluation's folder says of a model: its scores and its baseline's, with their intervals.

In: the folder that `ivl eval` wrote (results.json), and where the model lies. Out: a `Report`, whose numbers are the
file's own. Imports nothing of the room that wrote it.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivl.errors import InputError, SettingsError, shown
from ivl.export.card_private import public
from ivl.export.card_run import RESULT_FOLDERS
from ivl.model.folder_io import check_folder, read_json

RESULTS = "results.json"
SCHEMA = 1
METRICS = {
    "choice": ("accuracy", "right letters", "选对的选项"),
    "exact": ("exact_match", "exact matches", "完全一致"),
    "vqa": ("accuracy", "VQA accuracy", "VQA 准确率"),
    "anls": ("anls", "ANLS", "ANLS"),
    "relaxed": ("accuracy", "relaxed accuracy", "宽松准确率"),
    "cider": ("cider", "CIDEr", "CIDEr"),
    "iou": ("f1", "boxes at IoU 0.5", "IoU 0.5 的框"),
    "contains": ("accuracy", "right names", "说对的名称"),
}
"""A set's metric -> its identifier on the hubs, and its name in both languages."""
TOLD = {
    "date": "date", "device": "device", "dtype": "dtype", "versions": "versions", "items of each set": "items",
    "max_tiles": "max_tiles",
}  # fmt: skip
"""Circumstances that a card shows, and what it calls them; the command, which names places of this machine, is not
among them."""


@dataclass(frozen=True, kw_only=True)
class Score:
    """A mean with its 95% interval."""

    mean: float
    low: float
    high: float
    n: int


@dataclass(frozen=True, kw_only=True)
class SetScores:
    """One set of questions."""

    name: str
    title: str
    metric: str
    language: str
    licence: str
    before: Score | None
    """The baseline's; None where the report has the model alone."""
    after: Score
    difference: Score | None
    """Paired, item by item; None where there is none."""
    num_unparsed: int
    num_failed: int


@dataclass(frozen=True, kw_only=True)
class Report:
    """An evaluation of the model, and of what it is compared with."""

    subject: str
    """The model's name in the report."""
    baseline: str | None
    shown_subject: str
    """Both names as a card may show them."""
    shown_baseline: str | None
    sets: tuple[SetScores, ...]
    pooled: Score | None
    """Difference over all sets, each item counting once."""
    lengths: tuple[float, float] | None
    """Mean characters of an answer before and after, over all sets or the only one."""
    scoring: str
    circumstances: tuple[tuple[str, str], ...]


def read_report(folder: Path, model: Path, run: Path | None = None, subject: str | None = None) -> Report:
    """The report of the model in the folder `model`, which came from `run`.

    subject: the model's name in the report; None: the one that lies there, else the last of at most two. Raises
    InputError for a folder without a whole report, SettingsError where the report does not say which one it is.
    """
    place = check_folder(folder, InputError)
    table = read_json(place, RESULTS, InputError)
    where = str(place / RESULTS)
    if table.get("schema") != SCHEMA:
        raise InputError(
            f"{where}: schema={shown(table.get('schema'))} is not read: write the report again with ivl eval"
        )
    try:
        subjects = [each["name"] for each in table["subjects"]]
        name = _choose(table["subjects"], model, run, subject, where)
        baseline = subjects[0] if name != subjects[0] else None
        differences = [each for each in table["differences"] if each["subject"] == name]
        sets = tuple(_set(each, name, baseline, differences) for each in table["sets"])
        pooled = [each for each in differences if each["set"] is None]
        only = pooled or (differences if len(sets) == 1 else [])
        return Report(
            subject=name,
            baseline=baseline,
            shown_subject=public(name, 80),
            shown_baseline=public(baseline, 80) if baseline else None,
            sets=sets,
            pooled=_score(pooled[0]) if pooled else None,
            lengths=_lengths(only[0]) if only else None,
            scoring="likelihood" if table["scoring"] == "likelihood" else "generate",
            circumstances=tuple(_circumstances(table["circumstances"])),
        )
    except (KeyError, TypeError, IndexError, AttributeError) as fault:
        raise InputError(f"{where} is not whole ({shown(str(fault))}): write the report again with ivl eval") from None


def _choose(subjects: list[Mapping[str, Any]], model: Path, run: Path | None, given: str | None, where: str) -> str:
    names = [str(each["name"]) for each in subjects]
    if given is not None:
        if given not in names:
            raise SettingsError(f"subject={shown(given)} is not in {where}: allowed: {', '.join(names)[:200]}")
        return given
    wanted = model.resolve()
    found = [name for name, each in zip(names, subjects, strict=True) if _place(each) == wanted]
    if not found and run is not None:
        root = run.resolve()
        places = zip(names, map(_place, subjects), strict=True)
        inside = {name: place for name, place in places if place is not None and root in (place, *place.parents)}
        results = [name for name, place in inside.items() if place.parent == root and place.name in RESULT_FOLDERS]
        found = results if len(results) == 1 else list(inside)
    if len(found) == 1:
        return found[0]
    if len(names) <= 2 and not found:
        return names[-1]
    raise SettingsError(
        f"{where} compares {len(names)} models and does not say which of them is {model}: give the model's name there "
        f"as subject: {', '.join(names)[:200]}"
    )


def _place(subject: Mapping[str, Any]) -> Path | None:
    text = subject.get("adapter") or subject.get("folder")
    return Path(text).expanduser().resolve() if isinstance(text, str) and text else None


def _set(each: Mapping[str, Any], name: str, baseline: str | None, differences: list[Mapping[str, Any]]) -> SetScores:
    results = {result["subject"]: result for result in each["results"]}
    difference = next((found for found in differences if found["set"] == each["name"]), None)
    if each["metric"] not in METRICS:
        raise KeyError(f"metric {each['metric']}")
    return SetScores(
        name=public(each["name"], 120),
        title=public(each["title"], 120),
        metric=each["metric"],
        language=str(each.get("language") or ""),
        licence=public(each.get("licence") or ""),
        before=_score(results[baseline]["score"]) if baseline in results else None,
        after=_score(results[name]["score"]),
        difference=_score(difference) if difference else None,
        num_unparsed=int(results[name]["num_unparsed"]),
        num_failed=int(results[name]["num_failed"]),
    )


def _score(table: Mapping[str, Any]) -> Score:
    mean, low, high = (float(table[name]) for name in ("mean", "low", "high"))
    if not all(map(math.isfinite, (mean, low, high))):
        raise TypeError("a score is no number")
    return Score(mean=mean, low=low, high=high, n=int(table["n"]))


def _lengths(table: Mapping[str, Any]) -> tuple[float, float] | None:
    lengths = table.get("lengths")
    return (float(lengths["characters_before"]), float(lengths["characters_after"])) if lengths else None


def _circumstances(table: Mapping[str, Any]) -> list[tuple[str, str]]:
    return [(key, public(table[name], 200)) for name, key in TOLD.items() if isinstance(table.get(name), str)]
