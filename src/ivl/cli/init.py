"""`ivl init`: a vision model and a language model, joined into a model to train; or a model with a new connector."""

from pathlib import Path
from typing import Any

import click

from ivl.cli.terminal import show, status

EPILOG = """\b
Examples:
  ivl init --vision OpenGVLab/InternViT-300M-448px --llm internlm/internlm2-chat-1_8b -o new-2b
  ivl init --vision path/to/InternVL2-2B --llm Qwen/Qwen2.5-0.5B-Instruct -o new-1b --max-tiles 6
  ivl init --vision vit --llm llama -o new --template Hermes-2 --seed 1
  ivl init --model path/to/InternVL2-2B --connector linear -o linear-2b
  ivl init --model path/to/InternVL2-2B --connector qformer --qformer num_queries=64 --qformer num_layers=6 -o q-2b"""

KINDS = ("mlp", "linear", "qformer")
TEMPLATES = ("internlm2-chat", "Hermes-2", "phi3-chat", "internvl2_5")


@click.command(epilog=EPILOG)
@click.option("--vision", help="An InternViT, or a model whose vision part is taken: folder or hub id.")
@click.option("--llm", help="An InternLM2, Qwen2, Qwen3, Llama or Phi-3, or a model: folder or hub id.")
@click.option("--model", help="Instead of both: a whole model that keeps all but its connector.")
@click.option("--connector", default="mlp", show_default=True, type=click.Choice(KINDS), help="See docs/patterns.md.")
@click.option("--qformer", metavar="SIZE=NUMBER", multiple=True, help="A Q-Former's size. [default: those of BLIP-2]")
@click.option("-o", "--output", required=True, help="The new model's folder.")
@click.option("--template", type=click.Choice(TEMPLATES), help="Chat template. [default: by the language model]")
@click.option(
    "--max-tiles", type=click.IntRange(1, 1024), help="Tiles of a picture. [default: 12; with --model, its own]"
)
@click.option("--image-size", type=click.IntRange(1, 8192), help="Pixels a side of a tile. [default: the ViT's own]")
@click.option(
    "--dtype",
    type=click.Choice(("float32", "bfloat16", "float16")),
    help="Of the weights. [default: the language model's own]",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the new connector's weights.")
def init(output: str, **given: Any) -> None:
    """Join a vision model and a language model into a new model folder, with a fresh connector between them.

    The new model cannot see before it is trained: first the connector alone (stage 1), then all of it (stage 2).
    Tokens that the language model lacks get the mean of all its embeddings. Official models have an MLP: a folder with
    another connector is read by ivl only.
    """
    from ivl.cli.renewing import check_parts, join_or_renew
    from ivl.model.folder_io import refuse_occupied

    target = Path(output).expanduser()
    check_parts(given)
    refuse_occupied(target)  # before anything is downloaded
    status("reading the model ..." if given["model"] else "reading the two models ...")
    joined = join_or_renew(target, given)
    config = joined.config
    eyes, mind = config.vision, config.text
    show(f"{output} ({joined.dtype}, template {config.template})")
    show(f"  vision model    {eyes.num_layers} layers, {eyes.hidden_size} wide, tiles of {eyes.image_size} pixels")
    wide, kind = (
        eyes.hidden_size * config.shuffle_factor**2,
        "" if config.connector == "mlp" else f"{config.connector}, ",
    )
    show(f"  connector       {wide} -> {mind.hidden_size}, {kind}new (seed {given['seed']})")
    show(f"  language model  {mind.decoder}, {mind.num_layers} layers, {mind.hidden_size} wide")
    show(f"  new tokens      {' '.join(joined.new_tokens) or 'none: it had them all'}")
    show(f"Look at it with ivl info {output}; it sees nothing until it is trained (connector first, then all).")
