"""`ivl data`: the commands that look at and write data sets. Each is imported only to run it."""

import click

from ivl.cli.lazy import LazyCommands
from ivl.cli.terminal import show

COMMANDS = {
    "check": "Read a data set as training will, and name every record that cannot be used.",
    "foodieqa": "Turn FoodieQA into training and test data.",
    "easy-vqa": "Write easy-vqa's questions on drawn shapes as training data.",
}

EPILOG = """\b
Examples:
  ivl data check food.jsonl
  ivl data foodieqa FoodieQA -o food
  ivl data easy-vqa -o easy"""


class DataCommands(LazyCommands):
    """The commands of `ivl data`."""

    commands_help, module_prefix = COMMANDS, "ivl.cli.data_"

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name != "easy-vqa":  # the one whose name is no module's
            return super().get_command(ctx, cmd_name)
        from ivl.cli.data_easyvqa import easy_vqa

        return easy_vqa


@click.command(cls=DataCommands, epilog=EPILOG, invoke_without_command=True)
@click.pass_context
def data(ctx: click.Context) -> None:
    """Check data sets, and make them of others."""
    if ctx.invoked_subcommand is None:
        show(ctx.get_help())
