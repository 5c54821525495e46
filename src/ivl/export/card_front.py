"""A card's front matter: what hubs read, as YAML that is written by hand.

In: the card's facts. Out: lines from `---` to `---`. Every text is a quoted scalar, so that a name may hold anything;
both hubs ignore the keys that only the other one knows.
"""

from collections.abc import Iterator

from ivl.export.card_base import Base, Folder, Licence
from ivl.export.card_private import in_yaml
from ivl.export.card_report import METRICS, Report
from ivl.export.card_run import Run

OURS = "# ivl card: these lines are written anew with the card"
"""Second line of the file where the front matter is ours."""
_LIBRARY = {
    "official": "transformers",
    "official-bare": "ivl",
    "own": "ivl",
    "transformers": "transformers",
    "adapter": "ivl",
    "peft": "peft",
}
FOODIEQA = "lyan62/FoodieQA"


def front_matter(
    name: str, folder: Folder, base: Base | None, licence: Licence | None, run: Run | None, report: Report | None
) -> str:
    """The block with its fences. What is not known is left out, but for the licence, which hubs ask for."""
    lines = ["---", OURS, f"license: {in_yaml(licence.license if licence else 'unknown')}"]
    if licence and licence.license == "other":
        lines += [f"license_name: {in_yaml(licence.name)}"] if licence.name else []
        lines += [f"license_link: {in_yaml(licence.link)}"] if licence.link else []
    if base is not None and base.model_id:
        lines += ["base_model:", f"- {in_yaml(base.model_id)}"]
        lines.append(f"base_model_relation: {in_yaml(relation(folder))}")
    lines += ['pipeline_tag: "image-text-to-text"', "tasks:", '- "image-text-to-text"']
    lines.append(f"library_name: {in_yaml(_LIBRARY[folder.kind])}")
    lines += _listed("language", languages(report))
    lines += _listed("tags", list(tags(folder, run)))
    lines += _listed("datasets", datasets(run))
    lines += _model_index(name, report) if report else []
    return "\n".join([*lines, "---"]) + "\n"


def relation(folder: Folder) -> str:
    """Merged weights are a finetune: "merge" says on the hubs that several models were mixed into one."""
    return "finetune" if folder.config else "adapter"


def languages(report: Report | None) -> list[str]:
    """Those it was measured in."""
    return sorted({each.language for each in report.sets if each.language in ("en", "zh")}) if report else []


def tags(folder: Folder, run: Run | None) -> Iterator[str]:
    yield "internvl"
    yield "ivl"
    if folder.kind == "official":
        yield "custom_code"
    if folder.config is None:
        yield "lora"
    elif run is not None and run.steps:
        yield "fine-tuned"


def datasets(run: Run | None) -> list[str]:
    """Ids on a hub: only of data that are known for sure."""
    return [FOODIEQA] if run and any(each.is_foodieqa for each in run.data) else []


def _listed(name: str, values: list[str]) -> list[str]:
    return [f"{name}:", *(f"- {in_yaml(value)}" for value in values)] if values else []


def _model_index(name: str, report: Report) -> list[str]:
    """The scores of the model itself, one result for each set."""
    lines = ["model-index:", f"- name: {in_yaml(name)}", "  results:"]
    for each in report.sets:
        identifier, english, _ = METRICS[each.metric]
        lines += [
            "  - task:",
            '      type: "visual-question-answering"',
            "    dataset:",
            f"      type: {in_yaml(each.name)}",
            f"      name: {in_yaml(each.title)}",
            "    metrics:",
            f"    - type: {in_yaml(identifier)}",
            f"      name: {in_yaml(english)}",
            f"      value: {each.after.mean:.6f}",
        ]
    return lines if report.sets else []
