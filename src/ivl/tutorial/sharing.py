"""The story's first step and its last ones: how an answer comes about; a model of one's own, for others to use.

In: a plan. Out: steps. Nothing is sent anywhere: publishing is shown as a dry run.
"""

from pathlib import Path

from ivl.tutorial.plan import Plan
from ivl.tutorial.step import Command, Question, Step
from ivl.zoo import IN_THE_PACKAGE

NAME = "InternVL2-foods"
"""Of the merged model: hubs find models of this family by \"InternVL\" in their names."""
OWNER = "you"


def explain_step(plan: Plan) -> Step:
    """The walk from a picture to its answer."""
    asked, page = _question(plan), plan.out / "explain.html"
    words = ("explain", str(asked.picture), asked.text, *plan.model_option, "-o", str(page), "--language", "en")
    return Step(
        name="understand",
        title="Understand",
        about="One question and all that lies between picture and answer: tiles, image tokens, the prompt token by "
        "token, where the time went, and where each word of the answer looked.",
        commands=(Command(words=words),),
        makes=(page,),
        report=(("how the answer came about", page),),
    )


def merge_step(plan: Plan) -> Step:
    """The adapter becomes part of the weights."""
    asked, merged = _question(plan), _merged(plan)
    adapter = plan.runs[plan.best_run] / "adapter"
    tokens = ("--max-new-tokens", str(plan.numbers.answer_tokens))
    return Step(
        name="merge",
        title="Merge",
        about="The adapter becomes part of the weights, in a folder of its own that needs no adapter; it is read again "
        "and compared with model and adapter side by side. Then it is asked once.",
        commands=(
            Command(words=("merge", plan.model or IN_THE_PACKAGE, str(adapter), "-o", str(merged))),
            Command(words=("chat", str(asked.picture), "-p", asked.text, "-m", str(merged), *tokens), keeps=True),
        ),
        makes=(merged,),
    )


def export_step(plan: Plan) -> Step:
    """The same for transformers."""
    out = plan.out / f"{NAME}-hf"
    return Step(
        name="export",
        title="Export",
        about="The same model as the transformers library reads it, which vLLM and others build on.",
        commands=(Command(words=("export", str(_merged(plan)), "-o", str(out), "--layout", "transformers")),),
        makes=(out,),
    )


def publish_step(plan: Plan, report: Path) -> Step:
    """What would be sent to a hub, and the card that would stand there."""
    merged, run = _merged(plan), plan.runs[plan.best_run]
    what = ("--run", str(run), "--report", str(report), "--subject", plan.best_run)
    words = ("push", str(merged), f"{OWNER}/{NAME}", "--to", "hf", "--dry-run", *what)
    return Step(
        name="publish",
        title="Publish, as a dry run",
        about="Every file that would be sent, with its size and hash, and a model card with the figures from above. "
        "Without --dry-run and with your own name for `you`, it is sent.",
        commands=(Command(words=words, keeps=True),),
        report=(("model card", merged / "README.md"),),
    )


def _merged(plan: Plan) -> Path:
    return plan.out / NAME


def _question(plan: Plan) -> Question:
    """In English, as the report is."""
    return next((each for each in plan.questions if each.language == "en"), plan.questions[0])
