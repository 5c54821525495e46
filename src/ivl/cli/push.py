"""`ivl push`: a finished model or adapter folder to a hub, in one commit, every hash compared."""

from pathlib import Path

import click

from ivl.cli.push_card import make_card
from ivl.cli.push_text import confirm, show_plan
from ivl.cli.terminal import note, show, status
from ivl.cli.transfer_progress import size_text, transfer_progress

EPILOG = """\b
Examples:
  ivl push food-merged --to hf me/InternVL2-2B-food --dry-run
  ivl push food-merged --to hf me/InternVL2-2B-food --run runs/food --report eval/food
  ivl push food-merged --to modelscope me/InternVL2-2B-food --private --yes

\b
A token that may write is needed: hf auth login, or HF_TOKEN; for ModelScope
modelscope login, or MODELSCOPE_API_TOKEN. See docs/hub.md."""
CARD = "Write README.md anew, or leave it. [default: write it unless you wrote your own]"
REPLACE = "Remove weights of the repository that this folder does not have, in the same commit."
PICTURES = "A folder of sample pictures with a questions.json, for the card."
SUBJECT = "What the model is called in that report. [default: the only one there besides the first]"
BASE = "The base model's hub id, for the card, where no file tells it."
FOLDER = click.Path(path_type=Path)


@click.command(epilog=EPILOG)
@click.argument("folder", type=FOLDER)
@click.argument("name", metavar="OWNER/NAME")
@click.option("--to", "hub", type=click.Choice(["hf", "modelscope"]), required=True, help="The hub.")
@click.option("--private", is_flag=True, help="Make the repository one that only you see.")
@click.option("--revision", help="A branch, made if it is not there. [default: the main one]")
@click.option("--message", help="Of the commit.")
@click.option("--replace", is_flag=True, help=REPLACE)
@click.option("--card/--no-card", "card", default=None, help=CARD)
@click.option("--run", type=FOLDER, help="The run it came of, for the card. [default: the one that FOLDER lies in]")
@click.option("--report", type=FOLDER, help="A folder that `ivl eval` wrote, for the card's numbers.")
@click.option("--subject", help=SUBJECT)
@click.option("--pictures", type=FOLDER, help=PICTURES)
@click.option("--base", help=BASE)
@click.option("--dry-run", is_flag=True, help="Show exactly what would be sent, and send nothing. Needs no network.")
@click.option("-y", "--yes", is_flag=True, help="Do not ask before sending.")
def push(
    folder: Path,
    name: str,
    hub: str,
    private: bool,
    revision: str | None,
    message: str | None,
    replace: bool,
    card: bool | None,
    run: Path | None,
    report: Path | None,
    subject: str | None,
    pictures: Path | None,
    base: str | None,
    dry_run: bool,
    yes: bool,
) -> None:
    """Send the model or adapter in FOLDER to OWNER/NAME; NAME must contain InternVL.

    The folder is checked first, files go by an allow-list, and all become visible in one commit or not at all. A push
    that was cut off is simply given again: what has arrived is not sent a second time.
    """
    from ivl.export.publish import check_name, plan_push
    from ivl.export.publish import push as send

    check_name(name, hub)
    given = {"run": run, "report": report, "subject": subject, "pictures": pictures, "base": base}
    make_card(folder, name, card, {key: value for key, value in given.items() if value is not None})
    plan = plan_push(folder, name, hub, lambda file: status(f"hashing {file} ..."))
    show_plan(plan, private, revision)
    if dry_run:
        show("dry run: nothing was sent")
        return
    confirm(yes)
    with transfer_progress() as told:
        pushed = send(plan, private=private, revision=revision, message=message, replace=replace, told=told)
    show(f"{pushed.num_sent} files sent, {pushed.num_kept} were there already; every hash compared")
    show(f"{pushed.url}{f'  commit {pushed.commit}' if pushed.commit else ''}")
    note(f"{size_text(plan.num_bytes)} in all")
