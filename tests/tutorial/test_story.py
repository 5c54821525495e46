"""The story's commands: what a person could type, in an order in which each finds what it needs."""

from pathlib import Path

import click
import pytest

from ivl.cli.lazy import LazyCommands
from ivl.cli.main import ivl as group
from ivl.train.recipe import load_recipe
from ivl.tutorial.numbers import QUICK, Numbers
from ivl.tutorial.story import AFTER, BEFORE, NO_GENERAL, NO_REPLAY, REPLAY, TERSE, make_story
from ivl.zoo import foods_folder
from tutorial.made_up_story import general_folder, make_up


def check_command(words: tuple[str, ...]) -> None:
    """Raise for a wrong subcommand, argument or option."""
    command: click.Command = group
    rest = list(words)
    while isinstance(command, click.Group):
        assert isinstance(command, LazyCommands), command
        found = command.get_command(click.Context(command), rest.pop(0))
        assert found is not None, words
        command = found
    command.make_context("ivl", rest)


@pytest.mark.parametrize("numbers", [Numbers(), QUICK, Numbers(terse_steps=10)], ids=["usual", "quick", "terse"])
@pytest.mark.parametrize("model", [None, "OpenGVLab/InternVL2-2B"])
def test_every_command_can_be_typed(tmp_path: Path, numbers: Numbers, model: str | None) -> None:
    story = make_up(tmp_path, numbers, model)
    for step in story.steps:
        for path, text in step.writes:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
        for command in step.commands:
            check_command(command.words)
            assert command.line.startswith("ivl ")


def test_a_wrong_command_is_found() -> None:
    with pytest.raises(click.ClickException):
        check_command(("data", "check", "--no-such-option"))


def test_before_and_after_ask_the_same(tmp_path: Path) -> None:
    story = make_up(tmp_path)
    asked = {}
    for step in story.steps:
        for command in step.commands:
            if command.asks is not None:
                asked.setdefault(command.subject, []).append(command.asks)
    assert set(asked) == {BEFORE, AFTER, REPLAY}
    assert all(tuple(questions) == story.questions for questions in asked.values())
    assert {question.language for question in story.questions} == {"zh", "en"}
    assert len({question.picture for question in story.questions}) == 4


def test_the_pictures_are_of_held_out_scenes() -> None:
    for picture in (*Numbers().pictures, *QUICK.pictures):
        assert (foods_folder() / "test_styles/images" / picture).is_file()
        assert not (foods_folder() / "train/images" / picture).exists()


def test_names_are_unique_and_all_that_is_made_lies_in_the_folder(tmp_path: Path) -> None:
    story = make_up(tmp_path, Numbers(terse_steps=3))
    assert len(set(story.names)) == len(story.names)
    made = [path for step in story.steps for path in (*step.makes, *step.discards, *(p for p, _ in step.writes))]
    assert made
    assert all(path.is_relative_to(story.out) and path != story.out for path in made)


def test_each_recipe_is_one_that_train_reads(tmp_path: Path) -> None:
    story = make_up(tmp_path, Numbers(terse_steps=3, steps=7, replay_steps=9))
    configs = {}
    for step in story.steps:
        for path, text in step.writes:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, "utf-8")
            configs[path.stem] = load_recipe(path)
    assert {name: config.max_steps for name, config in configs.items()} == {
        "food_lora": 7,
        "food_lora_replay": 9,
        "food_lora_terse": 3,
    }
    food, replay, terse = configs.values()
    assert food.replay_path == ()
    assert len(replay.replay_path) == 1
    assert replay.replay_path[0].image_folder == str(tmp_path / "general")
    assert food.data_path == replay.data_path != terse.data_path
    assert {config.vision_cache for config in configs.values()} == {str(story.out / "vision_cache")}
    assert {config.optim_type for config in configs.values()} == {"AdamW"}


def test_without_general_data_both_parts_are_left_out_and_said(tmp_path: Path) -> None:
    story = make_story(Numbers(), tmp_path / "out", None, foods_folder(), tmp_path / "nothing")
    left_out = {step.name: step.left_out for step in story.steps if step.left_out}
    assert left_out["train-replay"] == NO_REPLAY
    assert left_out["eval-general"] == NO_GENERAL
    assert set(story.subjects) == {BEFORE, AFTER}
    assert story.general_results is None
    words = [word for step in story.steps for command in step.commands for word in command.words]
    assert "general" not in words
    assert not any(word.startswith(f"{REPLAY}=") for word in words)


def test_a_general_set_without_a_training_part_is_still_measured(tmp_path: Path) -> None:
    general = general_folder(tmp_path / "general")
    (general / "train.jsonl").unlink()
    story = make_story(Numbers(), tmp_path / "out", None, foods_folder(), general)
    assert REPLAY not in story.subjects
    assert story.general_results is not None


def test_a_terse_run_is_measured_but_not_chatted_with(tmp_path: Path) -> None:
    story = make_up(tmp_path, Numbers(terse_steps=5))
    by_name = {step.name: step for step in story.steps}
    assert "--style tutorial" in by_name["train-terse"].commands[0].line
    assert all(
        f"{TERSE}=" in command.line for name in ("eval-food", "eval-general") for command in by_name[name].commands
    )
    assert TERSE not in {command.subject for command in by_name["chat-again"].commands}
    cache = (story.out / "vision_cache",)
    assert [step.name for step in story.steps if step.discards == cache] == ["train-terse"]
