"""`ivl serve`: a model and its adapters behind OpenAI's API, until SIGTERM or Ctrl-C."""

import os
import sys
from pathlib import Path
from typing import Any

import click

from ivl.cli.options import build, engine_options, picture_options
from ivl.cli.serve_options import given_settings, named_adapters, server_options
from ivl.cli.terminal import note, status
from ivl.types import EngineConfig

EPILOG = """\b
Examples:
  ivl serve
  ivl serve path/to/InternVL2-2B --adapter food=runs/food/adapter --port 8080
  ivl serve --host 0.0.0.0 --api-keys keys.txt"""
KEYS = "File of API keys, `name:key` on each line; IVL_API_KEYS holds more, with spaces between. [default: none]"
BATCH = "Answers given at once at most. [default: 128]"
PAGE = "Also serve the web page, at /ui/. Needs the extra `ui`."


@click.command(epilog=EPILOG)
@click.argument("model", required=False)
@click.option("-a", "--adapter", "adapters", multiple=True, metavar="NAME=FOLDER", help="A LoRA adapter to serve too.")
@click.option("--name", help="What requests call the model. [default: its folder's name or hub id]")
@click.option("--api-keys", type=Path, help=KEYS)
@server_options
@click.option("--ui", "with_page", is_flag=True, help=PAGE)
@click.option("--batch", "max_batch_size", type=click.IntRange(min=1), help=BATCH)
@picture_options
@engine_options
def serve(
    model: str | None,
    adapters: tuple[str, ...],
    name: str | None,
    api_keys: Path | None,
    max_tiles: int | None,
    as_stored: bool,
    with_page: bool,
    **given: Any,
) -> None:
    """Serve a model with OpenAI's API.

    MODEL is a folder or a hub id; without it, the small model in the package. Each --adapter answers to requests that
    name it as their model. A line of JSON for each request goes to stderr, without anything that was said.
    """
    from ivl.server.extra import check_extra

    check_extra()
    if with_page:
        from ivl.ui.extra import check_extra as check_page

        check_page()
    from ivl.server.app import create_app
    from ivl.server.heap import bound_kernel_cache
    from ivl.server.keys import read_keys
    from ivl.server.run import bind
    from ivl.server.run import serve as answer
    from ivl.server.settings import ServerSettings

    folders, engine_config = named_adapters(adapters), build(EngineConfig, given)
    settings = ServerSettings(
        name=name or _served_name(model),
        adapters=tuple(folders),
        max_running=engine_config.max_batch_size,
        **given_settings(given),
    )
    keys = read_keys(api_keys, os.environ.get("IVL_API_KEYS"))
    settings.check_keys(len(keys) > 0)
    bound_kernel_cache()
    with bind(settings) as listener:
        status(f"loading {model or 'the model in the package'} ...")
        from ivl.session import pipeline

        with pipeline(
            model, adapter=folders, engine_config=engine_config, as_viewed=not as_stored, max_tiles=max_tiles
        ) as pipe:
            app = create_app(pipe, settings, keys, sys.stderr)
            if with_page:
                from ivl.ui.models import Models
                from ivl.ui.mounting import mount

                mount(app, Models.of({settings.name: pipe}, tuple(folders), settings), keys=keys)
                note("the web page is at /ui/ of the same address")
            answer(app, settings, listener, note)


def _served_name(model: str | None) -> str:
    from ivl.zoo import nano_folder

    if model is None:
        return nano_folder().name
    return Path(model).resolve().name if Path(model).is_dir() else model
