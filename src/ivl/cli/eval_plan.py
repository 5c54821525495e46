"""What `ivl eval --dry-run` shows: the sets, and how their questions will be asked.

In: sets that are open. Out: lines, or plain data. Loads no model.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ivl.evals.item import EvalSet
    from ivl.evals.settings import EvalSettings
    from ivl.types import Message

LONGEST_PROMPT = 1200
"""Characters of a prompt that are shown."""
SHOWN_FAULTS = 5


def plan_data(sets: "Sequence[EvalSet]", settings: "EvalSettings") -> dict[str, Any]:
    """The plan as plain data: of each set its size, its faults, and its first item under every prompt."""
    described = []
    for each in sets:
        num_items = _num_asked(each, settings)
        described.append(
            {
                "name": each.name,
                "title": each.title,
                "metric": each.metric,
                "language": each.language,
                "licence": each.licence,
                "num_items": num_items,
                "num_prompts": each.num_prompts,
                "num_questions": num_items * each.num_prompts,
                "num_faults": len(each.faults),
                "faults": list(each.faults),
                "prompts": _prompts(each),
            }
        )
    return {"scoring": settings.scoring, "sets": described}


def plan_lines(sets: "Sequence[EvalSet]", subjects: Sequence[str], settings: "EvalSettings") -> list[str]:
    """The plan for a person. subjects: models and adapters as they were given."""
    from ivl.evals.report_words import METRIC_WORDS, clean, counted

    lines = []
    plan = plan_data(sets, settings)
    for each, data in zip(sets, plan["sets"], strict=True):
        prompts = f" x {counted(each.num_prompts, 'prompt')}" if each.num_prompts > 1 else ""
        size = f"{counted(data['num_items'], 'item')}{prompts}, {METRIC_WORDS[each.metric]}"
        lines += [clean(f"{each.name}: {size}"), clean(f"  {each.title}")]
        lines += [f"  {counted(len(each.faults), 'record')} cannot be asked"] if each.faults else []
        lines += [clean(f"    {line}") for line in each.faults[:SHOWN_FAULTS]]
        for number, prompt in enumerate(data["prompts"]):
            lines.append(f"  prompt {number}, of item {clean(each.items[0].item_id)}:")
            lines += [clean(f"    | {line}") for line in prompt.splitlines()]
        lines.append("")
    total = sum(data["num_questions"] for data in plan["sets"])
    who = ", ".join(clean(name) for name in subjects) or "the model in the package"
    return [*lines, f"asked of {who}: {counted(total, 'question')} each, scored by {settings.scoring}"]


def _num_asked(eval_set: "EvalSet", settings: "EvalSettings") -> int:
    return min(len(eval_set.items), settings.limit or len(eval_set.items))


def _prompts(eval_set: "EvalSet") -> list[str]:
    """The first item in the words of every prompt."""
    if not eval_set.items:
        return []
    asked = [eval_set.ask(eval_set.items[0], number) for number in range(eval_set.num_prompts)]
    return ["\n".join(_text(message) for message in each.messages)[:LONGEST_PROMPT] for each in asked]


def _text(message: "Message") -> str:
    """The message's words; a picture that no `<image>` in them places stands where its part does."""
    from ivl.types import TextPart

    texts = "".join(part.text for part in message.parts if isinstance(part, TextPart))
    has_marks = "<image>" in texts
    parts = [part.text if isinstance(part, TextPart) else "" if has_marks else "<image>\n" for part in message.parts]
    return f"{message.role}: {''.join(parts)}"
