"""When `ivl push` writes the model card, and when it leaves README.md alone."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from ivl.cli.terminal import note


def make_card(folder: Path, name: str, card: bool | None, given: Mapping[str, Any]) -> None:
    """Write README.md, unless a person wrote it or it is written already and nothing new is `given` for it.

    card: True: write it anyway, or fail; False: leave it. given: the keywords of `write_card`. Raises InputError,
    click.UsageError.
    """
    from ivl.errors import InputError
    from ivl.export.card import has_card, has_own_text, write_card

    if card is False:
        if given:
            raise click.UsageError(f"--{next(iter(given))} is for the card, which --no-card leaves as it is")
        return
    may_stay = card is None and not given and folder.is_dir()
    if may_stay and has_card(folder):
        note("README.md stays as it was written; --card writes it anew")
        return
    try:
        note(f"wrote {write_card(folder, name=name, **given)}: read it before others do")
    except InputError as fault:
        if not may_stay or not has_own_text(folder):
            raise
        note(str(fault))
