"""`ivl demo`: the model in the package answers questions about the pictures in the package."""

from itertools import groupby
from pathlib import Path

import click

from ivl.cli.terminal import show, status

EPILOG = """\b
Examples:
  ivl demo
  ivl demo --out somewhere/else"""


@click.command(epilog=EPILOG)
@click.option("--out", default="ivl-demo", show_default=True, help="The folder for the pictures' tile grids.")
@click.option("-m", "--model", help="A folder or a hub id. [default: the small model in the package]")
def demo(out: str, model: str | None) -> None:
    """Ask the model in the package about its sample pictures, in English and Chinese.

    Each picture's tile grid is saved as PNG: it shows how the picture is cut before the model sees it.
    """
    status(f"loading {model or 'the model in the package'} ...")
    from ivl.cli.portrait import draw
    from ivl.cli.subject import find_subject
    from ivl.errors import InputError
    from ivl.session import pipeline
    from ivl.types import GenerationConfig
    from ivl.zoo import sample_questions

    folder, subject = Path(out), find_subject(model)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"cannot make the folder {out!r}: {error.strerror}; name another with --out") from None
    gen_config = GenerationConfig(max_new_tokens=64)
    with pipeline(model) as pipe:
        for picture, questions in groupby(sample_questions(), key=lambda sample: sample.picture):
            drawing = folder / f"{picture.stem}-grid.png"
            cost = draw(subject, str(picture), drawing, max_tiles=None, as_viewed=True)
            show(f"{picture.name}: {cost.text()}")
            show(f"  grid  {drawing}")
            for sample in questions:
                response = pipe((sample.question, picture), gen_config=gen_config)
                assert not isinstance(response, list), "one prompt has one answer"
                show(f"  Q     {sample.question}")
                show(f"  A     {response.text}")
            show()
    show(f"Now you: ivl chat {picture} -p {sample.question!r}")
    show("or, for a conversation: ivl chat YOUR_PICTURE")
