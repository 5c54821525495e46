"""The steps with their commands, times and reports, as a part of the page.

In: a story and its record. Out: HTML. Links lead to files of the same folder only.
"""

from pathlib import Path
from urllib.parse import quote

from ivl.evals.report_words import duration, inert
from ivl.tutorial.record import Record
from ivl.tutorial.step import Step, Story

LONGEST_OUTPUT = 6000


def steps_section(story: Story, record: Record) -> str:
    """All steps in their order."""
    note = "<p>Every command is as it was run and can be copied; paths begin where the tutorial was started.</p>"
    steps = [_step(story, record, step) for step in story.steps if step.commands or step.left_out]
    return f'{note}<ol class="steps">{"".join(steps)}</ol>'


def _step(story: Story, record: Record, step: Step) -> str:
    ran = record.steps.get(step.name, [])
    state = _state(record, step)
    left_out = f'<p class="flag">Left out: {inert(step.left_out, 300)}.</p>' if step.left_out else ""
    lines = "\n".join(command.line for command in step.commands)
    is_long = len(step.commands) > 4
    commands = f"<pre><code>{inert(lines, 20_000)}</code></pre>" if lines else ""
    if is_long:
        commands = f"<details><summary>{len(step.commands)} commands</summary>{commands}</details>"
    return (
        f'<li><p class="step"><b>{inert(step.title)}</b> <span class="quiet">{state}</span></p>'
        f"<p>{inert(step.about, 400)}</p>{left_out}{commands}{_output(step, [each.output for each in ran])}"
        f"{_links(story.out, step)}</li>"
    )


def _state(record: Record, step: Step) -> str:
    ran = record.steps.get(step.name, [])
    if not step.commands:
        return ""
    if len(ran) < len(step.commands):
        return "not done yet"
    return "failed" if ran[-1].exit_code else duration(record.seconds(step.name))


def _output(step: Step, outputs: list[str]) -> str:
    """What was printed, but for answers, which stand in cards."""
    shown = [
        output
        for command, output in zip(step.commands, outputs, strict=False)
        if output.strip() and command.asks is None
    ]
    if not shown:
        return ""
    text = inert("\n".join(shown), LONGEST_OUTPUT)
    return f"<details><summary>what was printed</summary><pre>{text}</pre></details>"


def _links(out: Path, step: Step) -> str:
    """To the pages that the step's commands wrote."""
    links = [
        f'<a href="{quote(path.relative_to(out).as_posix())}">{inert(name)}</a>'
        for name, path in step.report
        if path.is_file()
    ]
    return f'<p class="links">{" · ".join(links)}</p>' if links else ""
