"""What `ivl data check` reads: the files that a person names, or those of a recipe as training would read them."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from ivl.data.settings import DataSettings
    from ivl.data.sources import OpenedSource


def find_data(
    paths: tuple[str, ...], val: tuple[str, ...], given: dict[str, Any]
) -> tuple[dict[str, list["OpenedSource"]], "DataSettings", Path]:
    """The splits by name, how they are read, and the folder of the model that counts. Raises DataError, SettingsError,
    HubError."""
    from ivl.cli.subject import find_folder
    from ivl.data.settings import DataSettings, DataSource
    from ivl.data.sources import open_sources

    settings: DataSettings
    if given["recipe"] is None:
        settings = DataSettings(
            image_folder=given["image_folder"],
            max_length=given["max_length"] or DataSettings.max_length,
            max_dynamic_patch=given["max_tiles"],
            as_viewed=not given["as_stored"],
        )
        groups = {name: [DataSource(path=path) for path in group] for name, group in (("train", paths), ("val", val))}
        model = given["model"]
    else:
        settings, groups, model = _of_recipe(given)
    splits = {name: open_sources(tuple(group), settings) for name, group in groups.items() if group}
    return splits, settings, find_folder(model)


def _of_recipe(given: dict[str, Any]) -> tuple["DataSettings", dict[str, list[Any]], str | None]:
    """The recipe's own settings, with what the command line says beside it."""
    from ivl.train.recipe import for_run, load_recipe

    said = {"image_folder": given["image_folder"], "max_length": given["max_length"]}
    said |= {"max_dynamic_patch": given["max_tiles"], "as_viewed": "false" if given["as_stored"] else None}
    overrides = [f"{name}={value}" for name, value in said.items() if value is not None]
    config = for_run(load_recipe(given["recipe"], overrides), given["recipe"])
    groups = {"train": config.data_path, "replay": config.replay_path, "val": config.val_data_path}
    return config, {name: list(group) for name, group in groups.items()}, given["model"] or config.path or None


def check_given(paths: tuple[str, ...], val: tuple[str, ...], recipe: Path | None) -> None:
    """Raise click.UsageError unless either files or a recipe say what to read."""
    if bool(paths or val) == (recipe is not None):
        raise click.UsageError("name data files, or a recipe with --recipe", click.get_current_context())
