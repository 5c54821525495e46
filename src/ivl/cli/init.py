"""`ivl init`: a vision model and a language model, joined into a model that can be trained."""

from pathlib import Path

import click

from ivl.cli.terminal import show, status

EPILOG = """\b
Examples:
  ivl init --vision OpenGVLab/InternViT-300M-448px --llm internlm/internlm2-chat-1_8b -o new-2b
  ivl init --vision path/to/InternVL2-2B --llm Qwen/Qwen2.5-0.5B-Instruct -o new-1b --max-tiles 6
  ivl init --vision vit --llm llama -o new --template Hermes-2 --seed 1"""

TEMPLATES = ("internlm2-chat", "Hermes-2", "phi3-chat", "internvl2_5")


@click.command(epilog=EPILOG)
@click.option("--vision", required=True, help="An InternViT, or a model whose vision part is taken: folder or hub id.")
@click.option("--llm", required=True, help="An InternLM2, Qwen2, Qwen3, Llama or Phi-3, or a model: folder or hub id.")
@click.option("-o", "--output", required=True, help="The new model's folder.")
@click.option("--template", type=click.Choice(TEMPLATES), help="Chat template. [default: by the language model]")
@click.option("--max-tiles", default=12, show_default=True, type=click.IntRange(1, 1024), help="Tiles of a picture.")
@click.option("--image-size", type=click.IntRange(1, 8192), help="Pixels a side of a tile. [default: the ViT's own]")
@click.option(
    "--dtype",
    type=click.Choice(("float32", "bfloat16", "float16")),
    help="Of the weights. [default: the language model's own]",
)
@click.option("--seed", default=0, show_default=True, type=click.IntRange(0), help="Of the new connector's weights.")
def init(
    vision: str,
    llm: str,
    output: str,
    template: str | None,
    max_tiles: int,
    image_size: int | None,
    dtype: str | None,
    seed: int,
) -> None:
    """Join a vision model and a language model into a new model folder, with a fresh connector between them.

    The new model cannot see before it is trained: first the connector alone (stage 1), then all of it (stage 2).
    Tokens that the language model lacks get the mean of all its embeddings.
    """
    status("reading the two models ...")
    from ivl.cli.joining import join_folders
    from ivl.cli.subject import find_folder
    from ivl.model.folder_io import refuse_occupied

    target = Path(output).expanduser()
    refuse_occupied(target)  # before anything is downloaded
    joined = join_folders(
        find_folder(vision),
        find_folder(llm),
        target,
        template=template,  # type: ignore[arg-type]
        max_tiles=max_tiles,
        image_size=image_size,
        dtype=dtype,
        seed=seed,
    )
    config = joined.config
    eyes, mind = config.vision, config.text
    show(f"{output} ({joined.dtype}, template {config.template})")
    show(f"  vision model    {eyes.num_layers} layers, {eyes.hidden_size} wide, tiles of {eyes.image_size} pixels")
    wide = eyes.hidden_size * config.shuffle_factor**2
    show(f"  connector       {wide} -> {mind.hidden_size}, new (seed {seed})")
    show(f"  language model  {mind.decoder}, {mind.num_layers} layers, {mind.hidden_size} wide")
    show(f"  new tokens      {' '.join(joined.new_tokens) or 'none: it had them all'}")
    show(f"Look at it with ivl info {output}; it sees nothing until it is trained (connector first, then all).")
