"""The model card: README.md of a folder that is to be published, from what its files say.

In: a model or adapter folder, its name on the hub, and if there are any its training run, its evaluation, and pictures
that a person chose. Out: README.md with front matter for both hubs and a text in English and Chinese; small pictures in
card/. Nothing is invented, and nothing of this machine (paths, names, keys) gets in.

What a person wrote stays: the card stands between two marks, and only what is between them is written anew. A README.md
without the marks is left alone, and an error says what to do; one that was copied from the base gives way.

    write_card(Path("food-merged"), name="me/InternVL2-2B-food", run=Path("runs/food"), report=Path("eval/food"))
"""

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path

from ivl.errors import InputError, SettingsError, shown
from ivl.export.card_base import README, find_base, find_licence, is_base_card, read_folder, read_text
from ivl.export.card_front import OURS, front_matter
from ivl.export.card_private import without_places
from ivl.export.card_report import read_report
from ivl.export.card_run import find_run, read_run
from ivl.export.card_samples import Sample, samples_of_folder, samples_of_report
from ivl.export.card_text import Facts, body
from ivl.model.folder_io import check_folder

BEGIN, END = "<!-- ivl card: begin -->", "<!-- ivl card: end -->"
PICTURES = "card"
"""Folder of the samples' pictures, beside the card."""
_PICTURE = re.compile(r"sample-[0-9]{1,2}\.jpg")
_LONGEST_NAME = 200


def write_card(
    folder: Path,
    *,
    name: str,
    run: Path | None = None,
    report: Path | None = None,
    pictures: Path | None = None,
    base: str | None = None,
    subject: str | None = None,
) -> Path:
    """Write README.md of the model or adapter in `folder`; its path.

    name: what it is called on the hub, owner/name. run: the folder of `ivl train`; None: the one that `folder` lies in,
    if it does. report: the folder of `ivl eval`. pictures: a folder with a questions.json, a list of {picture,
    question, answer}, to be shown in the place of the report's own. base: the base's hub id, where files do not tell
    it. subject: the model's name in the report, where that compares more than two.

    Raises InputError for a README.md that was written by hand and has no marks, and for damaged files; SettingsError
    for a name that cannot be one; CheckpointError or AdapterError for a folder that holds neither model nor adapter.
    """
    place = check_folder(folder, InputError)
    _check_name(name)
    facts, drawn = _gather(place, name, run, report, pictures, base, subject)
    old = "" if is_base_card(facts.folder, facts.base) else read_text(place, README)
    text = _joined(old, facts, place / README)
    _write(place, text, drawn)
    return place / README


def has_own_text(folder: Path) -> bool:
    """Whether README.md is there and was not written by `write_card`: such a one stays as it is."""
    text = read_text(folder, README)
    return bool(text.strip()) and not _has_marks(text)


def has_card(folder: Path) -> bool:
    """Whether README.md is there and `write_card` wrote it."""
    return _has_marks(read_text(folder, README))


def _gather(
    place: Path,
    name: str,
    run: Path | None,
    report: Path | None,
    pictures: Path | None,
    base: str | None,
    subject: str | None,
) -> tuple[Facts, dict[str, bytes]]:
    """The facts, and the pictures by their names beside the card."""
    folder = read_folder(place)
    run_place = run if run is not None else find_run(place)
    trained = read_run(run_place) if run_place is not None else None
    found_base = find_base(folder, trained.base_path if trained else None, base)
    scores = read_report(report, place, run_place, subject) if report is not None else None
    samples, withheld = _samples(report, pictures)
    drawn = {f"{PICTURES}/sample-{number}.jpg": each.picture for number, each in enumerate(samples, start=1)}
    facts = Facts(
        name=name,
        folder=folder,
        base=found_base,
        licence=find_licence(folder, found_base),
        run=trained,
        report=scores,
        samples=tuple(samples),
        pictures=tuple(drawn),
        withheld=tuple(withheld),
        are_chosen=pictures is not None,
    )
    return facts, drawn


def _samples(report: Path | None, pictures: Path | None) -> tuple[list[Sample], list[str]]:
    if pictures is not None:
        return samples_of_folder(pictures), []
    return samples_of_report(report) if report is not None else ([], [])


def _check_name(name: str) -> None:
    if not name.strip() or len(name) > _LONGEST_NAME or not name.isprintable():
        raise SettingsError(f"name={shown(name)} is not allowed: a model's name on a hub, such as me/InternVL2-2B-food")
    if without_places(name, _LONGEST_NAME) != " ".join(name.split()):
        raise SettingsError(f"name={shown(name)} is not allowed: it looks like a path or a key, not like owner/name")


def _joined(old: str, facts: Facts, where: Path) -> str:
    """The new README.md: the card, in what a person wrote around it. Raises InputError where that has no marks."""
    front = front_matter(facts.name, facts.folder, facts.base, facts.licence, facts.run, facts.report)
    block = f"{BEGIN}\n\n{body(facts)}\n{END}"
    if not old.strip():
        return f"{front}\n{block}\n"
    if not _has_marks(old):
        raise InputError(
            f"{where} was not written by ivl and is left as it is: remove it if it is the base's, or put the lines "
            f"{BEGIN} and {END} where the card shall stand, or publish without a card of ours"
        )
    own_front, text = _parted(old)
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    is_ours = not own_front or own_front.splitlines()[1:2] == [OURS]
    return f"{front if is_ours else own_front}{before}{block}{after}"


def _has_marks(text: str) -> bool:
    begin, end = text.find(BEGIN), text.find(END)
    return 0 <= begin < end and text.count(BEGIN) == text.count(END) == 1


def _parted(text: str) -> tuple[str, str]:
    """Front matter with its fences, and what follows."""
    found = re.match(r"---\n.*?\n---[ \t]*\n", text, re.DOTALL)
    return (found[0], text[found.end() :]) if found else ("", text)


def _write(place: Path, text: str, drawn: Mapping[str, bytes]) -> None:
    """Pictures first, then the card that shows them, which is the old or the new one at any moment."""
    try:
        shelf = place / PICTURES
        if os.path.lexists(shelf) and (shelf.is_symlink() or not shelf.is_dir()):
            raise InputError(f"{shelf} is not a folder: move it away, the card's pictures lie there")
        kept = {Path(name).name for name in drawn}
        if drawn:
            shelf.mkdir(exist_ok=True)
        for name, data in drawn.items():
            _replace(place / name, data)
        _replace(place / README, text.encode("utf-8"))
        for path in shelf.iterdir() if shelf.is_dir() else ():
            if _PICTURE.fullmatch(path.name) and path.name not in kept:
                path.unlink()
        if shelf.is_dir() and not any(shelf.iterdir()):
            shelf.rmdir()
    except OSError as fault:
        reason = fault.strerror or type(fault).__name__
        raise InputError(f"the card cannot be written to {place}: {reason}") from None


def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(f".{path.name}.partial-{secrets.token_hex(4)}")
    try:
        partial.write_bytes(data)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
