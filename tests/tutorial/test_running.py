"""Running the story: what is said, what is run, where it stops, how it goes on."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from ivl.errors import InputError
from ivl.tutorial import running
from ivl.tutorial.record import FILE, Ran, Record, read_record
from ivl.tutorial.running import run_command, run_story
from ivl.tutorial.step import Command, Story
from ivl.tutorial.telling import plan_lines
from tutorial.made_up_story import ANSWERS, finish, make_up


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Lines of the commands that were run; each succeeds and says its subject's answer. The report stays empty."""
    lines: list[str] = []

    def run(command: Command, write: Callable[[str], None]) -> Ran:
        lines.append(command.line)
        return Ran(line=command.line, seconds=1.0, exit_code=0, output=ANSWERS.get(command.subject, ""))

    def write_no_report(story: Story, record: Record) -> Path:
        page = story.out / "report.html"
        page.touch()
        return page

    monkeypatch.setattr(running, "run_command", run)
    monkeypatch.setattr(running, "write_report", write_no_report)
    return lines


def run(story, start=None):
    said: list[str] = []
    page = run_story(story, start=start, is_quick=False, say=said.append, write=said.append)
    return page, said


def lines_of(story):
    return [command.line for step in story.steps for command in step.commands]


def test_every_command_is_shown_and_then_run(tmp_path: Path, ran: list[str]) -> None:
    story = make_up(tmp_path)
    page, said = run(story)
    assert page == story.out / "report.html"
    assert page.is_file()
    assert ran == lines_of(story)
    assert [line[2:] for line in said if line.startswith("$ ")] == ran
    for number, step in enumerate(story.steps, start=1):
        assert f"[{number}/{len(story.steps)}] {step.name}: {step.title}" in said
    assert (story.out / "food_lora.yaml").read_text("utf-8").startswith("# Teach")
    assert list(read_record(story.out).steps) == list(story.names)


def test_a_plan_shows_the_same_commands_and_runs_none(tmp_path: Path, ran: list[str]) -> None:
    story = make_up(tmp_path)
    shown = plan_lines(story, None)
    assert [line for line in shown if line.startswith("ivl ")] == lines_of(story)
    assert any(line.startswith("#   language_model: lora") for line in shown)
    assert not ran
    assert not story.out.exists()
    assert "chat: Chat before" not in " ".join(plan_lines(story, "train"))


def test_it_stops_at_the_first_failure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story = make_up(tmp_path, model="some/model")
    lines: list[str] = []

    def fail_in_training(command: Command, write: object) -> Ran:
        lines.append(command.line)
        return Ran(line=command.line, seconds=1.0, exit_code=int(command.words[0] == "train"), output="words")

    monkeypatch.setattr(running, "run_command", fail_in_training)
    with pytest.raises(InputError) as caught:
        run(story)
    message = str(caught.value)
    assert "step train failed with exit code 1" in message
    assert f"`ivl tutorial --from train --out {story.out} -m some/model` goes on from there" in message
    assert lines[-1].startswith("ivl train")
    assert lines == lines_of(story)[: len(lines)]
    assert "step train: exit code 1" in (story.out / "report.html").read_text("utf-8")


def test_it_goes_on_from_a_step(tmp_path: Path, ran: list[str]) -> None:
    story = make_up(tmp_path)
    finish(story)
    kept, replaced = story.out / "food_lora" / "metrics.jsonl", story.out / "eval-food" / "results.json"
    assert kept.is_file()
    assert replaced.is_file()
    _, said = run(story, "eval-food")
    assert [line.split()[1] for line in ran] == ["eval", "eval", "merge", "chat", "export", "push"]
    assert kept.is_file(), "what earlier steps made stays"
    assert not replaced.exists(), "the step's own is made anew"
    assert not any("chat: Chat before" in line for line in said)
    assert len(read_record(story.out).steps["chat"]) == len(story.questions)


def test_the_report_alone(tmp_path: Path, ran: list[str]) -> None:
    story = make_up(tmp_path)
    finish(story)
    page, _ = run(story, "report")
    assert not ran
    assert page.is_file()


def test_a_second_run_replaces_only_what_the_first_one_made(tmp_path: Path, ran: list[str]) -> None:
    story = make_up(tmp_path)
    finish(story)
    mine = story.out / "notes.txt"
    mine.write_text("mine")
    run(story)
    assert mine.read_text() == "mine"
    assert not (story.out / "food_lora" / "metrics.jsonl").exists()


def test_what_nobody_needs_is_removed(tmp_path: Path, ran: list[str]) -> None:
    story = make_up(tmp_path)
    finish(story)
    cache = story.out / "vision_cache"
    cache.mkdir()
    run(story, "chat-again")
    assert cache.is_dir()
    run(story, "train-terse")
    assert not cache.exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path, ran: list[str]) -> None:
    story = make_up(tmp_path)
    story.out.mkdir()
    (story.out / "thesis.txt").write_text("years of work")
    with pytest.raises(InputError, match=r"holds 'thesis.txt' and is no tutorial's folder: name another with --out"):
        run(story)
    assert (story.out / "thesis.txt").exists()
    assert not ran


def test_a_link_is_removed_and_not_what_it_leads_to(tmp_path: Path, ran: list[str]) -> None:
    story = make_up(tmp_path)
    finish(story)
    precious = tmp_path / "precious"
    precious.mkdir()
    (precious / "file").touch()
    shutil.rmtree(story.out / "data", ignore_errors=True)
    (story.out / "data").symlink_to(precious)
    run(story)
    assert (precious / "file").exists()


@pytest.mark.parametrize(("start", "named"), [("trian", "did you mean 'train'"), ("dance", "chat, data, train")])
def test_a_step_that_is_none(tmp_path: Path, ran: list[str], start: str, named: str) -> None:
    story = make_up(tmp_path)
    finish(story)
    with pytest.raises(InputError, match=named):
        run(story, start)


def test_going_on_needs_a_beginning(tmp_path: Path, ran: list[str]) -> None:
    with pytest.raises(InputError, match="holds no tutorial to go on with"):
        run(make_up(tmp_path), "train")


def test_a_stop_says_how_to_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    story, said = make_up(tmp_path), []

    def stop(command: Command, write: object) -> Ran:
        return Ran(line=command.line, seconds=1.0, exit_code=130)

    monkeypatch.setattr(running, "run_command", stop)
    with pytest.raises(KeyboardInterrupt):
        run_story(story, start=None, is_quick=True, say=said.append, write=said.append)
    go_on = f"`ivl tutorial --from understand --out {story.out} --quick`"
    assert said[-1] == f"stopped in step understand: {go_on} goes on from there"
    assert (story.out / FILE).is_file()


def test_a_real_command_is_shown_and_kept(capfd: pytest.CaptureFixture[str]) -> None:
    said: list[str] = []
    done = run_command(Command(words=("--version",), keeps=True), said.append)
    assert done.exit_code == 0
    assert done.output.startswith("ivl ")
    assert "".join(said) == done.output
    assert done.seconds > 0
    assert done.line == "ivl --version"
    done = run_command(Command(words=("--version",)), said.append)
    assert done.output == ""
    assert capfd.readouterr().out.startswith("ivl ")


def test_a_real_command_that_fails(capfd: pytest.CaptureFixture[str]) -> None:
    assert run_command(Command(words=("frobnicate",)), print).exit_code == 2
    assert "no such command 'frobnicate'" in capfd.readouterr().err


def test_nothing_in_the_current_folder_is_taken_for_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ivl.py").write_text("raise SystemExit(7)")
    monkeypatch.chdir(tmp_path)
    assert run_command(Command(words=("--version",), keeps=True), lambda text: None).exit_code == 0
