"""What the tutorial says before it does something.

In: a `Story`. Out: lines for a person. Runs nothing.
"""

from ivl.errors import InputError, nearest
from ivl.tutorial.step import Step, Story


def step_lines(step: Step, number: int, total: int) -> list[str]:
    """What is said before a step."""
    lines = ["", f"[{number}/{total}] {step.name}: {step.title}", f"      {step.about}"]
    return [*lines, f"      left out: {step.left_out}"] if step.left_out else lines


def plan_lines(story: Story, start: str | None) -> list[str]:
    """The whole story for a person, without running it: commands are lines that can be copied."""
    check_start(story, start)
    lines = []
    for number, step in enumerate(story.steps, start=1):
        if start is None or number > story.names.index(start):
            lines += step_lines(step, number, len(story.steps))
            for path, text in step.writes:
                lines += [f"# writes {path}:", *(f"#   {line}".rstrip() for line in text.splitlines())]
            lines += [command.line for command in step.commands]
    return lines


def check_start(story: Story, start: str | None) -> None:
    """Raise InputError for a step that is none."""
    if start is not None and start not in story.names:
        guess = nearest(start, story.names)
        raise InputError(f"--from {start!r:.60} is no step: {guess if 'mean' in guess else ', '.join(story.names)}")
