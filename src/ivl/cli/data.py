"""`ivl data`: the commands that look at and write data sets. Each is imported only to run it."""

import click

from ivl.cli.terminal import show

COMMANDS = {
    "check": "Read a data set as training will, and name every record that cannot be used.",
    "foodieqa": "Turn FoodieQA into training and test data.",
}

EPILOG = """\b
Examples:
  ivl data check food.jsonl
  ivl data foodieqa FoodieQA -o food"""


class DataCommands(click.Group):
    """Knows its commands' names and imports one only to run it."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name == "check":
            from ivl.cli.data_check import check

            return check
        if cmd_name == "foodieqa":
            from ivl.cli.data_foodieqa import foodieqa

            return foodieqa
        return None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        from ivl.errors import nearest

        if args and not args[0].startswith("-") and args[0] not in COMMANDS:
            raise click.UsageError(f"no such command {args[0]!r}: {nearest(args[0], COMMANDS)}", ctx)
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.command(cls=DataCommands, epilog=EPILOG, invoke_without_command=True)
@click.pass_context
def data(ctx: click.Context) -> None:
    """Check data sets, and make them of others."""
    if ctx.invoked_subcommand is None:
        show(ctx.get_help())
