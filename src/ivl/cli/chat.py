"""`ivl chat`: pictures and a question in, the answer on stdout; without a question, a conversation."""

import sys
from typing import Any

import click

from ivl.cli.options import build, engine_options, generation_options, picture_options
from ivl.cli.terminal import note, read_question, status, well_formed, write_answer
from ivl.types import EngineConfig, GenerationConfig

EPILOG = """\b
Examples:
  ivl chat dinner.jpg -p "What is on the table?"
  ivl chat before.jpg after.jpg -p "What has changed?" --temperature 0.7
  ivl chat -m OpenGVLab/InternVL2-2B dinner.jpg
  echo "Describe the picture." | ivl chat dinner.jpg > answer.txt"""


@click.command(epilog=EPILOG)
@click.argument("images", nargs=-1, metavar="[IMAGE]...")
@click.option("-m", "--model", help="A folder or a hub id. [default: the small model in the package]")
@click.option("-a", "--adapter", help="The folder of a LoRA adapter in PEFT's form, to answer with.")
@click.option("-p", "--prompt", help="The question; `<image>` in it marks a picture's place.")
@click.option("--system", help="Replaces the model's own system message.")
@picture_options
@generation_options
@engine_options
def chat(
    images: tuple[str, ...],
    model: str | None,
    adapter: str | None,
    prompt: str | None,
    system: str | None,
    max_tiles: int | None,
    as_stored: bool,
    **settings: Any,
) -> None:
    """Ask a model about pictures.

    IMAGE is a path or a URL; several keep their order. With -p, or with the question on stdin, one answer
    goes to stdout and everything else to stderr. Without, a conversation begins: /help lists its commands,
    Ctrl-C stops an answer, Ctrl-D leaves.
    """
    gen_config, engine_config = build(GenerationConfig, settings), build(EngineConfig, settings)
    is_conversation = prompt is None and sys.stdin.isatty()
    question = "" if is_conversation else _question(prompt)

    status(f"loading {model or 'the model in the package'} ...")
    from ivl.cli.conversation import Conversation, Picture, as_prompt
    from ivl.cli.streaming import Streaming
    from ivl.session import pipeline

    # Pictures first: a broken one is told before the weights are read.
    pictures = [Picture.load(image, as_viewed=not as_stored) for image in images]
    with pipeline(
        model, adapter=adapter, engine_config=engine_config, as_viewed=not as_stored, max_tiles=max_tiles
    ) as pipe:
        if is_conversation:
            Conversation(pipe, system, gen_config, pictures).run()
            return
        streaming = Streaming()
        streaming.run(pipe.session(system).stream(as_prompt(question, pictures), gen_config))
        write_answer("\n")
        if streaming.was_cut:
            limits = "--max-new-tokens and --session-len set the limit"
            note(f"the answer was cut after {streaming.num_tokens} tokens: {limits}")


def _question(prompt: str | None) -> str:
    question = well_formed(prompt) if prompt is not None else read_question()
    if not question.strip():
        message = 'there is no question: give one with -p "..." or on stdin'
        raise click.UsageError(message, click.get_current_context())
    return question
