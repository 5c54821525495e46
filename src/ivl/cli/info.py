"""`ivl info`: what a model is made of and how it sees a picture. Reads no weights."""

import json
from pathlib import Path

import click

from ivl.cli.options import picture_options
from ivl.cli.terminal import show

EPILOG = """\b
Examples:
  ivl info                                     the small model in the package
  ivl info InternVL2-8B                        by name, without a download
  ivl info path/to/model --json
  ivl info --image dinner.jpg -o grid.png      the tiles, drawn over the picture"""


@click.command(epilog=EPILOG)
@click.argument("model", required=False)
@click.option("--image", help="A path or URL: draw its tiles and count its tokens.")
@click.option("-o", "--output", help="The drawing's file. [default: <name of the picture>_grid.png]")
@picture_options
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def info(
    model: str | None,
    image: str | None,
    output: str | None,
    max_tiles: int | None,
    as_stored: bool,
    as_json: bool,
) -> None:
    """Show what MODEL is made of, or with --image how it sees a picture.

    MODEL is a folder, the name of a published model such as InternVL2-8B, or a hub id; without it, the small
    model in the package.
    """
    if image is None and output is not None:
        raise click.UsageError("-o names the drawing of a picture: give --image", click.get_current_context())

    from ivl.cli.portrait import describe, describe_picture, draw
    from ivl.cli.subject import find_subject

    subject = find_subject(model)
    if image is None:
        text, data = describe(subject)
    else:
        path = Path(output or f"{Path(image).stem}_grid.png")
        cost = draw(subject, image, path, max_tiles=max_tiles, as_viewed=not as_stored)
        text, data = describe_picture(image, path, cost)
    show(json.dumps(data, ensure_ascii=False, indent=2) if as_json else text)
