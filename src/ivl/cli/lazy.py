"""A group of commands whose modules are imported only when one of them runs, so that help and mistakes cost nothing.

In: what the commands are called and do, and how their modules are named. Out: a click group. Loads no torch.
"""

from importlib import import_module

import click

from ivl.errors import nearest


class LazyCommands(click.Group):
    """Subclasses say what there is."""

    commands_help: dict[str, str]
    """Name -> one line of help."""
    module_prefix: str
    """The command `name` is `name` in the module of this prefix and `name`."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands_help)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.commands_help:
            return None
        return getattr(import_module(f"{self.module_prefix}{cmd_name}"), cmd_name)  # type: ignore[no-any-return]

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and not args[0].startswith("-") and args[0] not in self.commands_help:
            raise click.UsageError(f"no such command {args[0]!r}: {nearest(args[0], self.commands_help)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(self.commands_help.items()))
