"""The command `ivl`: finds the subcommand, runs it, and turns every error into one line and an exit code.

Exit codes: 0 done; 1 it cannot be done, or `doctor` found a problem; 2 a wrong command line; 130 Ctrl-C.
IVL_DEBUG=1 shows tracebacks. Loads no torch: subcommands do, in their bodies.
"""

import atexit
import contextlib
import gc
import os
import sys
from collections.abc import Sequence
from typing import NoReturn

import click

from ivl._version import __version__
from ivl.cli.lazy import LazyCommands
from ivl.cli.terminal import tell_error
from ivl.errors import IvlError

COMMANDS = {
    "demo": "See the model in the package answer questions about pictures.",
    "tutorial": "Live the whole story: chat, fine-tune, chat again, measure; one page at the end.",
    "chat": "Ask a model about pictures: one question, or a conversation.",
    "serve": "Serve a model and its adapters with OpenAI's API.",
    "ui": "Open a web page to chat with a model about pictures.",
    "train": "Fine-tune a model as a recipe says.",
    "data": "Check data sets, and make them of others.",
    "eval": "Measure models and adapters side by side on sets of questions.",
    "merge": "Make an adapter part of its base, in a new model folder.",
    "export": "Write a run, an adapter or a model as a folder that other programs read.",
    "pull": "Fetch a model or data set from Hugging Face or ModelScope.",
    "push": "Send a finished model or adapter to Hugging Face or ModelScope.",
    "init": "Join a vision model and a language model into a new model to train.",
    "info": "Show what a model is made of, and how it sees a picture.",
    "explain": "Ask about a picture, and write a page that shows how the answer came about.",
    "doctor": "Check what this machine can do, and whether a model is sound.",
    "bench": "Measure how fast a model runs here, and what share of this device that uses.",
}

EPILOG = "\b\nExamples:\n  ivl demo\n  ivl chat dinner.jpg -p 'What is on the table?'\n  ivl doctor"
HELP_OPTIONS = {"help_option_names": ["-h", "--help"]}


class Commands(LazyCommands):
    """The commands of `ivl`."""

    commands_help, module_prefix = COMMANDS, "ivl.cli."


@click.command(cls=Commands, epilog=EPILOG, invoke_without_command=True, context_settings=HELP_OPTIONS)
@click.version_option(__version__, message="ivl %(version)s")
@click.pass_context
def ivl(ctx: click.Context) -> None:
    """The whole life of an InternVL2 vision-language model in one environment."""
    if ctx.invoked_subcommand is None:
        click.echo(ctx.get_help())


def run(args: Sequence[str] | None = None) -> int:
    """Run a command line (None: the process's own) and give its exit code; errors are told on stderr."""
    try:
        outcome = ivl.main(args and list(args), prog_name="ivl", standalone_mode=False)
    except click.ClickException as error:
        command = error.ctx.command_path if isinstance(error, click.UsageError) and error.ctx else "ivl"
        tell_error(f"{error.format_message()} (see {command} --help)")
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        return 130
    except IvlError as error:
        return _failed(error, str(error))
    except Exception as error:
        return _failed(error, f"unexpected {type(error).__name__}: {error} (IVL_DEBUG=1 shows where; please report it)")
    return outcome if isinstance(outcome, int) else 0


def main() -> NoReturn:
    """The console script's entry point."""
    # torch's import makes millions of lasting objects: passing over them, then and at exit, took a quarter of the time.
    gc.set_threshold(1_000_000, 50, 50)
    atexit.register(gc.freeze)
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError):  # a terminal that cannot show a character shows "?" instead
            stream.reconfigure(errors="replace")  # type: ignore[union-attr]
    sys.exit(run())


def _failed(error: Exception, message: str) -> int:
    if os.environ.get("IVL_DEBUG") == "1":
        raise error
    tell_error(message)
    return 1
