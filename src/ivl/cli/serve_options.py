"""The options of `ivl serve` that set a field of ServerSettings. Loads no web framework."""

from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any, TypeVar

import click

Command = TypeVar("Command", bound=Callable[..., Any])

COUNT, SIZE = click.IntRange(min=1), click.IntRange(min=0)
OPTIONS: tuple[tuple[str, str, Any, str], ...] = (
    ("--host", "host", str, "Address to listen on. [default: 127.0.0.1, which only this machine reaches]"),
    ("--port", "port", click.IntRange(0, 65535), "Port to listen on; 0 takes a free one. [default: 8000]"),
    ("--cors-origin", "cors_origins", str, "Origin whose pages may ask. May be given several times. [default: none]"),
    ("--allowed-host", "allowed_hosts", str, "Host name that requests may name. May be given several times."),
    ("--image-host", "image_hosts", str, "Host that pictures are fetched from. May be given several times."),
    ("--max-body-bytes", "max_body_bytes", COUNT, "Bytes of a request at most. [default: 32 MiB]"),
    ("--max-images", "max_images", SIZE, "Pictures of a request at most. [default: 16]"),
    ("--max-image-bytes", "max_image_bytes", COUNT, "Bytes of a picture at most. [default: 16 MiB]"),
    ("--max-image-pixels", "max_image_pixels", COUNT, "Pixels of a picture at most. [default: 50 million]"),
    ("--max-request-tiles", "max_request_tiles", SIZE, "Tiles of all pictures of a request at most. [default: 64]"),
    ("--max-tokens", "max_tokens", COUNT, "Tokens that an answer may ask for. [default: the session's length]"),
    ("--max-n", "max_n", COUNT, "Answers to one prompt at most. [default: 16]"),
    ("--max-queue", "max_queue", SIZE, "Answers that may wait; more are refused with 429. [default: 128]"),
    ("--per-key", "per_key", COUNT, "Answers that one API key may have under way. [default: 64]"),
    ("--max-connections", "max_connections", COUNT, "Open connections at most. [default: 512]"),
    (
        "--drain-timeout",
        "drain_timeout_s",
        click.FloatRange(min=0),
        "Seconds to end in after SIGTERM. [default: 60]",
    ),
)
_SEVERAL = {"cors_origins", "allowed_hosts", "image_hosts"}


def server_options(command: Command) -> Command:
    """Add the options."""
    flags = (
        ("--allow-anonymous", "Listen beyond this machine although no API key is set."),
        ("--open-health", "Answer /health and /ready without a key."),
    )
    for flag, about in reversed(flags):
        command = click.option(flag, is_flag=True, help=about)(command)
    return setting_options(command, [name for _, name, _, _ in OPTIONS])


def setting_options(command: Command, names: Collection[str]) -> Command:
    """Add those of OPTIONS that set the named fields."""
    for flag, name, kind, about in reversed([option for option in OPTIONS if option[1] in names]):
        command = click.option(flag, name, type=kind, multiple=name in _SEVERAL, help=about)(command)
    return command


def given_settings(given: dict[str, Any]) -> dict[str, Any]:
    """Those options that were given, to keep the fields' own defaults."""
    names = [name for _, name, _, _ in OPTIONS] + ["allow_anonymous", "open_health"]
    # `--max-tiles` is the pipeline's limit for each picture.
    return {name.replace("_request_", "_"): given[name] for name in names if given.get(name) not in (None, ())}


def named_adapters(values: tuple[str, ...]) -> dict[str, Path]:
    """`name=folder` as a mapping."""
    adapters: dict[str, Path] = {}
    for value in values:
        name, separator, folder = value.partition("=")
        if not (separator and name and folder):
            raise click.UsageError(f"--adapter {value!r} is not allowed: NAME=FOLDER, such as food=runs/food/adapter")
        if name in adapters:
            raise click.UsageError(f"--adapter {name!r} is given twice: each adapter needs a name of its own")
        adapters[name] = Path(folder)
    return adapters
