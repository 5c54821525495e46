"""The recipe of a training run of the tutorial, as YAML with a word on every line that matters.

In: paths and numbers. Out: text. Reads and writes nothing; `ivl train` checks what it says.
"""

import json
from dataclasses import dataclass
from pathlib import Path

from ivl.tutorial.numbers import Numbers

_TEXT = """\
# Teach the model foods; written by `ivl tutorial`, and yours to change.
#
#   ivl train {file} --out {folder}
#
# `ivl train fields` explains every field; a field that is not here has its default. Paths begin where the command runs.
{model}
# Small adapters beside every linear map of the language model learn; everything else stays as it is.
language_model: lora
vision_model: frozen
connector: frozen
r: {r}
lora_alpha: {alpha}    # twice the rank: adapters are scaled by lora_alpha / r
lora_dropout: {dropout}

data_path: {data}
image_folder: {images}
{replay}
batch_size: {batch_size}    # samples of a step
max_steps: {steps}    # the run ends there, and the learning rate has fallen to 0
max_epochs: 1000    # more than max_steps needs

optim_type: AdamW
lr: {lr}    # a very small model takes 1e-3, InternVL2-2B about 4e-5
weight_decay: 0.05
warmup_ratio: {warmup}
lr_schedule: cosine

# A frozen vision model says the same of a picture every time: it is asked once, and what it says is kept on disk.
vision_cache: {cache}
save_steps: {steps}
log_steps: 1
"""
_REPLAY = """\

# General data keeps the old abilities and the old manner: so many of its samples for each one about food.
replay_path: [{{path: {path}, image_folder: {images}}}]
replay_ratio: {ratio}
"""


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """What one run is made of."""

    file: Path
    folder: Path
    model: str | None
    """None: the small one in the package."""
    data: Path
    images: Path
    replay: Path | None
    """Folder of general data."""
    replay_file: str
    cache: Path
    steps: int


def recipe_text(recipe: Recipe, numbers: Numbers) -> str:
    """The YAML."""
    replay = ""
    if recipe.replay is not None:
        path, images = _quoted(recipe.replay / recipe.replay_file), _quoted(recipe.replay)
        replay = _REPLAY.format(path=path, images=images, ratio=f"{numbers.replay_ratio:g}")
    return _TEXT.format(
        file=_in_comment(recipe.file),
        folder=_in_comment(recipe.folder),
        model=f"\npath: {_quoted(recipe.model)}\n" if recipe.model is not None else "",
        r=numbers.r,
        alpha=numbers.lora_alpha,
        dropout=f"{numbers.lora_dropout:g}",
        data=_quoted(recipe.data),
        images=_quoted(recipe.images),
        replay=replay,
        batch_size=numbers.batch_size,
        steps=recipe.steps,
        lr=f"{numbers.lr if recipe.model is None else numbers.published_lr:g}",
        warmup=f"{numbers.warmup_ratio:g}",
        cache=_quoted(recipe.cache),
    )


def _quoted(text: object) -> str:
    """JSON's strings are YAML's, whatever is in them."""
    return json.dumps(str(text), ensure_ascii=False)


def _in_comment(path: Path) -> str:
    return " ".join(str(path).split())
