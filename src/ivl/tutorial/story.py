"""The story as steps: which commands are run, in which order, with which files.

In: numbers, a folder to work in, a model, and the package's sets. Out: a `Story`. Runs nothing and writes nothing: to
add a step, add a function here and name it in `make_story`.
"""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ivl.tutorial.numbers import Numbers
from ivl.tutorial.plan import (
    AFTER,
    BEFORE,
    NO_GENERAL,
    NO_REPLAY,
    NO_TERSE,
    REPLAY,
    TERSE,
    TEST_PART,
    TRAIN_PART,
    Plan,
)
from ivl.tutorial.recipe import Recipe, recipe_text
from ivl.tutorial.sharing import explain_step, export_step, merge_step, publish_step
from ivl.tutorial.step import Command, Step, Story
from ivl.zoo import IN_THE_PACKAGE


def make_story(numbers: Numbers, out: Path, model: str | None, foods: Path, general: Path) -> Story:
    """All steps. foods, general: the package's sets; the second may be missing."""
    plan = Plan(numbers=numbers, out=out, model=model, foods=foods, general=general)
    runs = plan.runs
    general_results = out / "eval-general"
    return Story(
        steps=(
            explain_step(plan),
            _chat(plan, "chat", "Chat before", (BEFORE,)),
            _data(plan),
            _train(plan),
            _replay(plan),
            _terse(plan),
            _chat(plan, "chat-again", "Chat after", (AFTER, REPLAY) if REPLAY in runs else (AFTER,)),
            _eval_food(plan),
            _eval_general(plan, general_results),
            merge_step(plan),
            export_step(plan),
            publish_step(plan, out / "eval-food"),
            Step(name="report", title="Report", about="All of it as one page, also while the story goes on."),
        ),
        out=out,
        model=model,
        questions=plan.questions,
        subjects={BEFORE: None} | {name: folder / "adapter" for name, folder in runs.items()},
        runs=runs,
        food_results=out / "eval-food",
        general_results=general_results if (general / TEST_PART).is_file() else None,
        foods=foods,
    )


def _chat(plan: Plan, name: str, title: str, subjects: tuple[str, ...]) -> Step:
    about = {
        "chat": "Pictures in styles that training never sees, with open questions in Chinese and English.",
        "chat-again": "The same pictures and the same questions, with each adapter beside the model.",
    }
    tokens = ("--max-new-tokens", str(plan.numbers.answer_tokens))
    commands = []
    for subject in subjects:
        adapter = ("--adapter", str(plan.runs[subject] / "adapter")) if subject != BEFORE else ()
        for asked in plan.questions:
            words = ("chat", str(asked.picture), "-p", asked.text, *plan.model_option, *adapter, *tokens)
            commands.append(Command(words=words, keeps=True, asks=asked, subject=subject))
    return Step(name=name, title=title, about=about[name], commands=tuple(commands))


def _data(plan: Plan) -> Step:
    folder, page = plan.data("full"), plan.out / "data-check.html"
    checked = ("data", "check", str(folder / "train.json"), "--image-folder", str(plan.foods / "train"))
    model = ("--model", plan.model) if plan.model is not None else ()
    shown = ("--samples", str(plan.numbers.num_samples), "--html", str(page))
    return Step(
        name="data",
        title="Data, and a look at it",
        about="Questions and answers on foods, with full sentences as answers; every record is read once and some are "
        "shown as the model sees them, with what it is trained on marked.",
        commands=(_converted(plan, "full"), Command(words=(*checked, *model, *shown), keeps=True)),
        makes=(folder, page),
        report=(("data check", page),),
    )


def _converted(plan: Plan, style: str) -> Command:
    numbers = plan.numbers
    words = ("data", "foodieqa", str(plan.foods / "train"), "-o", str(plan.data(style)), "--naming")
    asked = ("--language", "both", "--tasks", numbers.tasks, "--form", numbers.form, "--style", style)
    return Command(words=(*words, *asked, "--test-share", "0"), keeps=True)


def _train(plan: Plan) -> Step:
    about = "A LoRA on the language model learns foods, and nothing else. The vision model stays as it is."
    return _training(plan, AFTER, "train", "Fine-tune", about, plan.numbers.steps)


def _replay(plan: Plan) -> Step:
    about = "The same, with general data mixed in, so that the model keeps what it could do before."
    title = "Fine-tune with replay"
    if not plan.has_replay:
        return Step(name="train-replay", title=title, about=about, left_out=NO_REPLAY)
    return _training(plan, REPLAY, "train-replay", title, about, plan.numbers.replay_steps)


def _terse(plan: Plan) -> Step:
    about = "The same foods with answers of a few words, as the InternVL2 tutorial's data has them: does it grow terse?"
    title = "Fine-tune on few-word answers"
    if not plan.numbers.terse_steps:
        return Step(name="train-terse", title=title, about=about, left_out=NO_TERSE, discards=_cache(plan))
    step = _training(plan, TERSE, "train-terse", title, about, plan.numbers.terse_steps)
    return replace(
        step,
        commands=(_converted(plan, "tutorial"), *step.commands),
        makes=(plan.data("tutorial"), *step.makes),
        discards=_cache(plan),
    )


def _cache(plan: Plan) -> tuple[Path, ...]:
    return (plan.out / "vision_cache",)


def _training(plan: Plan, subject: str, name: str, title: str, about: str, steps: int) -> Step:
    folder = plan.runs[subject]
    file = folder.with_suffix(".yaml")
    recipe = Recipe(
        file=file,
        folder=folder,
        model=plan.model,
        data=plan.data("tutorial" if subject == TERSE else "full") / "train.json",
        images=plan.foods / "train",
        replay=plan.general if subject == REPLAY else None,
        replay_file=TRAIN_PART,
        cache=_cache(plan)[0],
        steps=steps,
    )
    return Step(
        name=name,
        title=title,
        about=about,
        writes=((file, recipe_text(recipe, plan.numbers)),),
        commands=(Command(words=("train", str(file), "--out", str(folder))),),
        makes=(file, folder),
        report=(("training report", folder / "report.html"), ("recipe", file)),
    )


def _eval_food(plan: Plan) -> Step:
    out = plan.out / "eval-food"
    tasks = [word for task in plan.numbers.eval_tasks for word in ("--task", task)]
    return Step(
        name="eval-food",
        title="What was taught",
        about="Dishes named and questions answered, in styles and with dishes that training never saw; all compared "
        "with the model as it was, item by item.",
        commands=(Command(words=("eval", "food", *_compared(plan), *tasks, *_measured(plan, out))),),
        makes=(out,),
        report=(("evaluation report", out / "report.html"),),
    )


def _eval_general(plan: Plan, out: Path) -> Step:
    step = Step(
        name="eval-general",
        title="What was forgotten",
        about="What the model could do besides: counting, colours, places, reading, pointing, refusing.",
        commands=(Command(words=("eval", "general", *_compared(plan), *_measured(plan, out))),),
        makes=(out,),
        report=(("evaluation report", out / "report.html"),),
    )
    if (plan.general / TEST_PART).is_file():
        return step
    return Step(name=step.name, title=step.title, about=step.about, left_out=NO_GENERAL)


def _compared(plan: Plan) -> Iterator[str]:
    """The options for the model and every adapter."""
    yield from ("-m", f"{BEFORE}={plan.model or IN_THE_PACKAGE}")
    for subject, folder in plan.runs.items():
        yield from ("--adapter", f"{subject}={folder / 'adapter'}")


def _measured(plan: Plan, out: Path) -> tuple[str, ...]:
    return ("--limit", str(plan.numbers.limit), "--out", str(out))
