"""`ivl ui`: the web page of a model, until Ctrl-C or SIGTERM."""

import os
from functools import partial
from pathlib import Path
from typing import Any

import click

from ivl.cli.options import build, engine_options, picture_options
from ivl.cli.serve_options import given_settings, named_adapters, setting_options
from ivl.cli.terminal import note, status
from ivl.types import EngineConfig

EPILOG = """\b
Examples:
  ivl ui
  ivl ui path/to/InternVL2-2B --adapter food=runs/food/adapter
  ivl ui OpenGVLab/InternVL2-2B --also OpenGVLab/InternVL2-4B --foods path/to/InternVL2-Tutorial"""
FOODS = "Folder or JSON file of dishes for the quick bar, in the tutorial's shape. [default: the package's food set]"
KEYS = "File of API keys; a browser asks for one as its password. IVL_API_KEYS holds more. [default: none]"
NAMES = ("host", "port", "allowed_hosts", "max_body_bytes", "max_images", "max_image_bytes", "max_image_pixels",
         "max_request_tiles", "max_tokens", "max_queue")  # fmt: skip


@click.command(epilog=EPILOG)
@click.argument("model", required=False)
@click.option("-a", "--adapter", "adapters", multiple=True, metavar="NAME=FOLDER", help="A LoRA adapter to offer too.")
@click.option("--also", multiple=True, metavar="MODEL", help="Another model to offer, to compare with.")
@click.option("--foods", type=Path, help=FOODS)
@click.option("--share", is_flag=True, help="Also open a PUBLIC address through Gradio's servers, for everybody.")
@click.option("--api-keys", type=Path, help=KEYS)
@partial(setting_options, names=NAMES)
@click.option("--allow-anonymous", is_flag=True, help="Let other machines in although no API key is set.")
@picture_options
@engine_options
def ui(
    model: str | None,
    adapters: tuple[str, ...],
    also: tuple[str, ...],
    foods: Path | None,
    share: bool,
    api_keys: Path | None,
    max_tiles: int | None,
    as_stored: bool,
    **given: Any,
) -> None:
    """Open a web page to chat with a model about pictures.

    MODEL is a folder or a hub id; without it, the small model in the package. Only this machine reaches the page,
    unless --host or --share say otherwise.
    """
    from ivl.ui.extra import check_extra

    check_extra()
    from ivl.server.keys import read_keys
    from ivl.server.run import bind, how_to_reach
    from ivl.server.settings import ServerSettings
    from ivl.ui.foods import read_foods

    settings = ServerSettings(**{"port": 7860, **given_settings(given)})
    keys = read_keys(api_keys, os.environ.get("IVL_API_KEYS"))
    settings.check_keys(len(keys) > 0)
    cuisines, folders = read_foods(foods), named_adapters(adapters)
    from ivl.ui.run import load_models, page_app, serve  # after what can be wrong at once: Gradio takes seconds

    with bind(settings) as listener:
        status(f"loading {', '.join((model or 'the model in the package', *also))} ...")
        engine_config = build(EngineConfig, given)
        models_at = load_models(
            (model, *also), folders, engine_config, settings, as_viewed=not as_stored, max_tiles=max_tiles
        )
        with models_at as models:
            app = page_app(models, keys, cuisines)
            for line in how_to_reach(settings, listener.getsockname()[1]):
                note(line.partition(" (OpenAI")[0])
            serve(app, listener, note, share=share)
