"""`ivl explain`: one question to a model, and everything between picture and answer as one page."""

from pathlib import Path
from typing import Any

import click

from ivl.cli.options import build, engine_options, picture_options
from ivl.cli.terminal import note, status, warn, well_formed, write_answer
from ivl.types import EngineConfig

EPILOG = """\b
Examples:
  ivl explain dinner.jpg "What is on the table?"
  ivl explain dinner.jpg 桌上有什么？ -o page.html --open
  ivl explain before.jpg "What has changed?" --also after.jpg --max-tiles 4
  ivl explain dinner.jpg -m OpenGVLab/InternVL2-2B --adapter runs/food_lora/adapter --language zh"""
ALSO = "One more picture, behind the first; may be given several times. `<image>` in PROMPT marks a picture's place."
LANGUAGE = "Of the page. [default: that of PROMPT]"
LENGTH = "Tokens of the answer at most."
OUTPUT = "The page's file. [default: <name of the picture>_explained.html]"
STAGES = {
    "answer": "answering ...",
    "attention": "following each word's attention ...",
    "time": "asking once more with a clock ...",
}


@click.command(epilog=EPILOG)
@click.argument("image")
@click.argument("prompt", required=False)
@click.option("--also", multiple=True, metavar="IMAGE", help=ALSO)
@click.option("-m", "--model", help="A folder or a hub id. [default: the small model in the package]")
@click.option("-a", "--adapter", help="The folder of a LoRA adapter in PEFT's form, to answer with.")
@click.option("-o", "--output", type=Path, help=OUTPUT)
@click.option("--force", is_flag=True, help="Replace the page if it is there already.")
@click.option("--language", type=click.Choice(("en", "zh")), help=LANGUAGE)
@click.option("--open", "open_it", is_flag=True, help="Show the page in the browser.")
@click.option("--max-new-tokens", type=click.IntRange(1, 2048), default=128, show_default=True, help=LENGTH)
@picture_options
@engine_options
def explain(
    image: str,
    prompt: str | None,
    also: tuple[str, ...],
    model: str | None,
    adapter: str | None,
    output: Path | None,
    language: str | None,
    max_tiles: int | None,
    as_stored: bool,
    **given: Any,
) -> None:
    """Ask PROMPT about IMAGE, and write a page that shows how the answer came about.

    The page has the tile grids and the chosen one, the tiles, patches and image tokens, every token of the prompt,
    where the model looked while it wrote each word, its parts and their work, and where the time went. It is one file
    without scripts that needs no network. IMAGE is a path or a URL; the answer goes to stdout as well.
    """
    question = well_formed(prompt).strip() if prompt is not None else ""
    engine_config = build(EngineConfig, given)
    status("loading ...")
    from ivl.cli.explain_output import check_page, name_page, shown_name, write_page
    from ivl.explain.page import PageNames, render_page
    from ivl.explain.page_run import explain_prompt
    from ivl.explain.page_words import guess_language, page_wording
    from ivl.processing import load_image
    from ivl.session import pipeline

    path = output or name_page(image)
    check_page(path, given["force"])
    language = language or guess_language(question)
    # Pictures first: a broken one is told before the weights are read. Files are read again, with a clock.
    read = {each: load_image(each, as_viewed=not as_stored) for each in (image, *also)}
    with pipeline(
        model, adapter=adapter, engine_config=engine_config, as_viewed=not as_stored, max_tiles=max_tiles
    ) as pipe:
        explained = explain_prompt(
            pipe,
            question or page_wording(language).default_prompt,
            [read[each] if "://" in each else each for each in (image, *also)],
            max_new_tokens=given["max_new_tokens"],
            tell=lambda stage: status(STAGES[stage]),
        )
    names = PageNames(model=shown_name(model), adapter=shown_name(adapter), language=language)
    size = write_page(path, render_page(explained, names), replace=given["force"])
    write_answer(explained.answer + "\n")
    note(f"page: {path} ({size / 1024:,.0f} KiB)")
    if given["open_it"] and click.launch(str(path.absolute())):
        warn(f"no browser could be started: open {path} by hand")
