"""All numbers and choices of the tutorial in one place: what is asked, how long training takes, how much is measured.

In: nothing. Out: `Numbers`, the usual ones and the quick ones of tests. Knows no commands.

The usual ones are for two cores of a CPU and the small model in the package: the whole in under 15 minutes, about five
of them training.
"""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """Each is used where its name says, and nowhere else."""

    pictures: tuple[str, ...] = (
        "openmoji/dumpling.webp",
        "fxemoji/sushi.webp",
        "openmoji/moon-cake.webp",
        "fxemoji/ramen.webp",
    )
    """Of the food set's `test_styles/images`: drawn in styles that training never sees; the names are the dishes'."""
    questions: tuple[tuple[str, str], ...] = (("zh", "这是什么菜？"), ("en", "What dish is this?"))
    """(language, words): each is asked about each picture."""
    answer_tokens: int = 48
    """At most, of an answer in a chat."""

    tasks: str = "sivqa"
    """Of `ivl data foodieqa`, parted by commas."""
    form: str = "open"
    """Questions with choices (letters), without (open), or both."""
    num_samples: int = 4
    """That `ivl data check` shows as the model sees them."""

    batch_size: int = 16
    """Samples of a step."""
    steps: int = 80
    """Of the LoRA that learns foods alone."""
    replay_steps: int = 110
    """Of the LoRA that also sees general data; more, because only some of its samples are about food."""
    replay_ratio: float = 0.5
    """General samples for each one about food."""
    terse_steps: int = 0
    """Of a third LoRA that learns the tutorial's own few-word answers, to measure how terse it grows; 0: left out."""
    lr: float = 1e-3
    """For the small model in the package."""
    published_lr: float = 4e-5
    """For a model that is named with -m: that of InternVL's own LoRA recipe for InternVL2-2B."""
    r: int = 16
    lora_alpha: int = 32
    lora_dropout: float = 0.0
    warmup_ratio: float = 0.05

    eval_tasks: tuple[str, ...] = ("naming", "sivqa")
    """Of the food set; sivqa asks each item with four prompts."""
    limit: int = 60
    """Items of each table."""


QUICK = Numbers(
    pictures=("openmoji/dumpling.webp",),
    questions=(("en", "What dish is this?"),),
    answer_tokens=4,
    num_samples=1,
    batch_size=2,
    steps=2,
    replay_steps=2,
    terse_steps=0,
    eval_tasks=("naming",),
    limit=2,
)
"""Shows that everything runs; its figures mean nothing."""
