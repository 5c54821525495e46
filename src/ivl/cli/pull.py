"""`ivl pull`: a model or data set of a hub, pinned to a commit and checked, on this disk."""

import shlex
from pathlib import Path

import click

from ivl.cli.terminal import note, show
from ivl.cli.transfer_progress import size_text, transfer_progress

EPILOG = """\b
Examples:
  ivl pull OpenGVLab/InternVL2-2B
  ivl pull OpenGVLab/InternVL2-2B@main -o InternVL2-2B --with-code
  ivl pull --hub modelscope OpenGVLab/InternVL2-2B
  HF_ENDPOINT=https://hf-mirror.com ivl pull OpenGVLab/InternVL2-2B
  ivl pull --dataset lyan62/FoodieQA

\b
A private or gated repository needs a token: hf auth login, or HF_TOKEN.
See docs/hub.md."""
CODE = "Also fetch the model's own .py files, for an export to carry along. They are never run here."
FOLDER = (
    "Where its files shall lie. [default: a model: the cache that all commands use; a data set: a folder of its name]"
)


@click.command(epilog=EPILOG)
@click.argument("name", metavar="NAME[@REVISION]")
@click.option("--dataset", "is_dataset", is_flag=True, help="NAME is a data set.")
@click.option("--hub", type=click.Choice(["hf", "modelscope"]), default=None, help="The hub. [default: hf]")
@click.option("--revision", help="Branch, tag or commit; also as NAME@REVISION. [default: the hub's main branch]")
@click.option("-o", "--output", type=click.Path(path_type=Path), help=FOLDER)
@click.option("--with-code", is_flag=True, help=CODE)
def pull(
    name: str, is_dataset: bool, hub: str | None, revision: str | None, output: Path | None, with_code: bool
) -> None:
    """Fetch the model or data set NAME from Hugging Face or ModelScope.

    Only weights in safetensors, configurations, tokenizers and licences come of a model, and only data files and
    pictures of a data set; every one is compared with the hub's hash. A pull that was cut off goes on where it was.
    """
    from ivl.hub import pull as fetch

    if is_dataset and with_code:
        raise click.UsageError("--with-code goes with a model: no code of a data set is fetched")
    with transfer_progress() as told:
        pulled = fetch(
            name,
            kind="dataset" if is_dataset else "model",
            hub=hub,
            revision=revision,
            folder=output,
            with_code=with_code,
            told=told,
        )
    wanted = pulled.wanted
    if pulled.commit is None:
        note("ModelScope tells no commit of a branch: the listing was the same before and after")
    show(f"{wanted.model_id}  {wanted.revision} = {pulled.commit or '?'}")
    show(f"{pulled.num_files} files, {size_text(pulled.num_bytes)}, in {pulled.folder}")
    show(f"next: {_next(pulled.folder, wanted.model_id, is_dataset, output is not None)}")


def _next(folder: Path, model_id: str, is_dataset: bool, is_own: bool) -> str:
    """The command that people want next."""
    if not is_dataset:
        return shlex.join(["ivl", "chat", "-m", str(folder) if is_own else model_id, "dinner.jpg"])
    if any((folder / name).is_file() for name in ("sivqa_tidy.json", "sivqa_filtered_bi.json")):
        return shlex.join(["ivl", "data", "foodieqa", str(folder), "-o", "food"])
    files = sorted(path for path in folder.glob("*.json*") if path.name != "dataset_infos.json")
    return shlex.join(["ivl", "data", "check", str(files[0] if files else folder)])
