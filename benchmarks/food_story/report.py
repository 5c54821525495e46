"""The food story's tables as Markdown for a model card, its targets, and all of it as plain data.

In: results. Out: text and data. Computes nothing but which target was met.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from food_story import tables
from food_story.tables import HELD_OUT, Row, mean_of
from ivl.evals.item import EvalResults

BLIND = (0.22, 0.28)


def story_data(results: EvalResults, after: str) -> dict[str, Any]:
    """All tables. after: the subject that the targets are asked of."""
    made: dict[str, list[Row]] = {
        "naming": list(tables.naming_rows(results)),
        "choices": list(tables.choice_rows(results)),
        "general": list(tables.general_rows(results)),
        "differences": list(tables.difference_rows(results)),
    }
    return {
        **{name: [asdict(row) for row in rows] for name, rows in made.items()},
        "manner": list(tables.manner_rows(results)),
        "not_read": tables.worst_unparsed(results),
        "targets": _targets(results, made, after),
    }


def blind_data(results: EvalResults) -> dict[str, Any]:
    """The blind test."""
    rows = list(tables.blind_rows(results))
    targets = [
        _target(f"blind: {name} on grey pictures", score.mean, BLIND[0], BLIND[1])
        for name, score in rows[-1].scores.items()
    ]
    return {"blind": [asdict(row) for row in rows], "not_read": tables.worst_unparsed(results), "targets": targets}


def markdown(data: dict[str, Any]) -> str:
    """Everything that was measured, in tables."""
    story, blind = data.get("story"), data.get("blind")
    parts = ["# What the food fine-tune taught, and what it cost"]
    if story:
        parts += ["## Dishes named (any of the dish's names counts)", _score_table(story["naming"])]
        parts += ["## Questions with four choices (25% is chance; best prompt)", _score_table(story["choices"])]
        parts += ["## General abilities", _score_table(story["general"])]
        parts += ["## Differences from the first, item by item, in points", _score_table(story["differences"], "+")]
        parts += ["## Manner of the answers", _manner_table(story["manner"])]
    if blind:
        parts += ["## Grey pictures: what can be guessed", _score_table(blind["blind"])]
    targets = [*(story or {}).get("targets", []), *(blind or {}).get("targets", [])]
    parts += ["## Targets", _table(("", "measured", "wanted", "met"), [_target_row(each) for each in targets])]
    run = data["run"]
    facts = [("device", run["device"]), ("commit", run["commit"]), ("command", f"`{run['command']}`")]
    parts += ["In brackets: the 95% interval, and how many were asked.", "## How it was run", _table(("", ""), facts)]
    seconds = sorted(run["seconds"].items())
    parts.append(_table(("part", "seconds"), [(name, f"{value:.0f}") for name, value in seconds]))
    return "\n\n".join(parts) + "\n"


def _targets(results: EvalResults, made: dict[str, list[Row]], after: str) -> list[dict[str, Any]]:
    first, naming, choices = results.subjects[0].name, made["naming"], made["choices"]
    trained = [f"trained styles, {language}" for language in ("zh", "en")]
    held_out = [f"{style}, {language}" for style in HELD_OUT for language in ("zh", "en")]
    one = {part: [f"{part}-sivqa-{language}" for language in ("zh", "en")] for part in ("trained", "heldout")}
    found = [
        _target(f"{first}: dishes named, trained styles", mean_of(naming, trained, first), 0, 0.15),
        _target(f"{after}: dishes named, trained styles", mean_of(naming, trained, after), 0.9, 1),
        _target(f"{after}: dishes named, held-out styles", mean_of(naming, held_out, after), 0.65, 1),
        _target(f"{after}: one picture, trained styles", mean_of(choices, one["trained"], after), 0.88, 1),
        _target(f"{after}: one picture, held-out styles", mean_of(choices, one["heldout"], after), 0.7, 1),
    ]
    for row in made["differences"]:
        if row.title == "general abilities, pooled" and after in row.scores:
            lost = -row.scores[after].low
            found.append(_target(f"{after}: forgotten at most (95%, n {row.scores[after].n:,})", lost, -1, 0.02))
    return found


def _target(title: str, value: float, low: float, high: float) -> dict[str, Any]:
    return {"title": title, "value": value, "low": low, "high": high, "met": low <= value <= high}


def _target_row(target: dict[str, Any]) -> tuple[str, ...]:
    low, high = target["low"], target["high"]
    wanted = f"{100 * low:.0f} to {100 * high:.0f}%" if low > 0 and high < 1 else ""
    wanted = wanted or (f"{100 * low:.0f}% or more" if low > 0 else f"under {100 * high:.0f}%")
    return (target["title"], f"{100 * target['value']:.1f}%", wanted, "yes" if target["met"] else "no")


def _score_table(rows: Sequence[dict[str, Any]], sign: str = "") -> str:
    names = list(dict.fromkeys(name for row in rows for name in row["scores"]))
    body = [(row["title"], *(_cell(row["scores"].get(name), sign) for name in names)) for row in rows]
    return _table(("", *names), body)


def _cell(score: dict[str, Any] | None, sign: str) -> str:
    if score is None:
        return "–"
    mean, low, high = (100 * score[name] for name in ("mean", "low", "high"))
    return f"{mean:{sign}.1f} ({low:{sign}.1f} to {high:{sign}.1f}; {score['n']:,})"


def _manner_table(rows: Sequence[dict[str, Any]]) -> str:
    body = [
        (
            row["asked"],
            row["subject"],
            f"{row['mean_characters']:.1f}",
            f"{row['mean_tokens']:.1f}",
            f"{100 * row['style_score']:.0f}%",
            f"{row['n']:,}",
        )
        for row in rows
    ]
    return _table(("asked for", "", "characters", "tokens", "sentences", "n"), body)


def _table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [titles, ["---"] * len(titles), *rows]
    return "\n".join(f"| {' | '.join(cells)} |" for cells in lines)
