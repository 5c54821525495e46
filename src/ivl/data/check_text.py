"""A check's report as lines for a person, and as plain data for JSON.

In: a `CheckReport`. Out: text lines, or a dict. Every bad record is named. Control characters of the data are taken
out, so that a file cannot steer the terminal it is shown on.
"""

from dataclasses import asdict
from typing import Any

from ivl.data.check_report import CheckReport, Duplicate, SourceCheck, SplitCheck, Spread
from ivl.data.rendering import visible

_SHOWN_DUPLICATES = 20
"""Pairs that the lines name; JSON and the page have all of them."""


def describe(report: CheckReport) -> list[str]:
    """What the data cost, for a person, line by line."""
    lines = [line for split in report.splits for line in (*_split(split, report), "")]
    return [*lines, *_shared(report), *(visible(f"note: {note}") for note in report.notes)]


def list_faults(report: CheckReport) -> list[str]:
    """Every bad record, by rule."""
    lines = []
    for rule, faults in report.faults_by_rule.items():
        lines.append(f"{rule} ({len(faults):,})")
        lines += [visible(f"  {fault}") for fault in faults]
    return lines


def verdict(report: CheckReport) -> str:
    """The outcome in one line."""
    count, total = len(report.faults), report.num_records
    if not count:
        return f"all {total:,} records can be used"
    share = f"{100 * count / total:.1f}" if count < total else "100"
    return (
        f"{count:,} of {total:,} records cannot be used ({share}%); training leaves them out and says so, unless they "
        "are more than max_bad_share"
    )


def as_data(report: CheckReport) -> dict[str, Any]:
    """The report as plain data."""
    return {
        "num_records": report.num_records,
        "num_bad": len(report.faults),
        "max_length": report.max_length,
        "splits": [_split_data(split) for split in report.splits],
        "duplicates_between_splits": [asdict(each) for each in report.shared_records],
        "pictures_in_several_splits": report.num_shared_pictures,
        "notes": list(report.notes),
        "rules": {rule: len(faults) for rule, faults in report.faults_by_rule.items()},
        "faults": [asdict(fault) for fault in report.faults],
    }


def source_line(each: SourceCheck) -> str:
    """A data set in one line."""
    count, bad = len(each.measures.num_tokens), len(each.measures.faults)
    text = f"{each.source.name}: {count:,} records" + (f", {bad:,} of them bad" if bad else "")
    return visible(text + (f", repeat_time {each.repeat_time:g}" if each.repeat_time != 1 else ""))


def split_rows(split: SplitCheck, report: CheckReport) -> list[tuple[str, str]]:
    """The numbers of a split: (name, text)."""
    rows = [
        (name, _spread(split.spread(column)))
        for name, column in (("tokens", "num_tokens"), ("tiles", "num_tiles"), ("trained tokens", "num_trained"))
    ]
    tokens, trained = split.in_epoch("num_tokens"), split.in_epoch("num_trained")
    tiles = split.in_epoch("num_tiles")
    of_pictures = tiles * report.tokens_per_tile
    rows.append(
        (
            "an epoch",
            f"{tokens:,} tokens: {of_pictures:,} of pictures ({tiles:,} tiles), {trained:,} trained "
            f"({100 * trained / max(1, tokens):.1f}%)",
        )
    )
    if split.num_losing_tiles:
        rows.append(("fewer tiles", f"{split.num_losing_tiles:,} records, to fit max_length {report.max_length:,}"))
    if split.duplicates:
        rows.append(("duplicates", f"{len(split.duplicates):,} records equal an earlier one (same text and pictures)"))
    return rows


def _split(split: SplitCheck, report: CheckReport) -> list[str]:
    lines = [f"{split.name}", *(f"  {source_line(each)}" for each in split.sources)]
    lines += [f"  {name:<15} {text}" for name, text in split_rows(split, report)]
    return lines + _pairs(split.duplicates)


def _shared(report: CheckReport) -> list[str]:
    lines = []
    if report.shared_records:
        lines.append(f"{len(report.shared_records):,} records stand in two splits (same text and pictures)")
        lines += _pairs(report.shared_records)
    if report.num_shared_pictures:
        lines.append(f"{report.num_shared_pictures:,} pictures stand in two splits: scores on them say little")
    return [*lines, ""] if lines else []


def _pairs(duplicates: tuple[Duplicate, ...]) -> list[str]:
    lines = [visible(f"    {each.where} equals {each.first}") for each in duplicates[:_SHOWN_DUPLICATES]]
    more = len(duplicates) - len(lines)
    return [*lines, f"    and {more:,} more (all with --json or --html)"] if more > 0 else lines


def _spread(spread: Spread | None) -> str:
    if spread is None:
        return "none"
    return (
        f"min {spread.min:,}, median {spread.median:,}, mean {spread.mean:,.1f}, 95% {spread.p95:,}, max {spread.max:,}"
    )


def _split_data(split: SplitCheck) -> dict[str, Any]:
    columns = ("num_tokens", "num_tiles", "num_trained")
    spreads = {name: split.spread(name) for name in columns}
    return {
        "name": split.name,
        "num_records": split.num_records,
        "num_bad": len(split.faults),
        "sources": [
            {
                "name": each.source.name,
                "num_records": len(each.measures.num_tokens),
                "num_bad": len(each.measures.faults),
                "repeat_time": each.repeat_time,
            }
            for each in split.sources
        ],
        **{name: None if spread is None else asdict(spread) for name, spread in spreads.items()},
        "epoch": {name: split.in_epoch(name) for name in columns},
        "num_losing_tiles": split.num_losing_tiles,
        "duplicates": [asdict(each) for each in split.duplicates],
    }
