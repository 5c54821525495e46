"""Whether a model's folder is whole and sane.

In: a folder. Out: checks, each as it is made: configuration, weights, tokenizer, template, and at last
whether the model gives finite numbers. Knows no hub. Reads only; a checkpoint's code is never run.
"""

from collections.abc import Iterator
from pathlib import Path

import torch
from PIL import Image

from ivl.errors import IvlError
from ivl.explain.anatomy import anatomy
from ivl.explain.check import Check
from ivl.model import InternVLConfig, load_model
from ivl.model.checkpoint import CheckpointReport, describe_checkpoint
from ivl.processing import Processor, load_processor
from ivl.processing.messages import to_messages
from ivl.session.hardware import available_memory, choose_device, choose_dtype

GIB = 2**30
# Beside the weights, a short forward needs room for activations.
ROOM = 1.2


def checkpoint_checks(folder: Path) -> Iterator[Check]:
    """Look at a folder, part by part; what cannot be looked at without an earlier part is left out."""
    report = describe_checkpoint(folder)
    if report.config is None:
        yield Check(name="config", level="problem", found=report.problems[0])
        return
    yield check_config(report, report.config)
    yield from check_weights(report)
    try:
        processor = load_processor(folder)
    except IvlError as error:
        yield Check(name="tokenizer", level="problem", found=str(error))
        return
    yield check_vocabulary(processor.tokenizer.vocab_size, report.config.text.vocab_size)
    yield check_tokens(processor, report.config)
    if not report.problems:
        yield check_forward(folder, processor, report.config)


def check_config(report: CheckpointReport, config: InternVLConfig) -> Check:
    """What the configuration says."""
    found = (
        f"{report.layout} layout: InternViT of {config.vision.num_layers} layers, {config.text.decoder} of "
        f"{config.text.num_layers} layers, template {config.template}"
    )
    return Check(name="config", level="ok", found=found)


def check_weights(report: CheckpointReport) -> Iterator[Check]:
    """Whether every tensor is there, with the shape that the configuration asks for."""
    for problem in report.problems:
        yield Check(name="weights", level="problem", found=problem)
    if not report.problems:
        dtypes = sorted({dtype for part in report.parts for dtype in part.dtypes})
        size = sum(size for _, size in report.files)
        found = (
            f"{len(report.files)} file{'s' * (len(report.files) != 1)}, {size / 1e6:,.1f} MB, "
            f"{report.num_parameters:,} parameters as {', '.join(dtypes)}; names and shapes fit config.json"
        )
        yield Check(name="weights", level="ok", found=found)


def check_vocabulary(of_tokenizer: int, of_weights: int) -> Check:
    """Whether every token has an embedding. Weights may have room for more: some are padded."""
    found = f"{of_tokenizer:,} tokens, the weights have room for {of_weights:,}"
    if of_tokenizer <= of_weights:
        return Check(name="tokenizer", level="ok", found=found)
    advice = "tokenizer and weights do not belong together: take both from one release"
    return Check(name="tokenizer", level="problem", found=found, advice=advice)


def check_tokens(processor: Processor, config: InternVLConfig) -> Check:
    """Whether the tokens are there that end an answer and that hold a picture's place."""
    tokenizer = processor.tokenizer
    stops = ", ".join(f"{tokenizer.decode([each])} ({each})" for each in sorted(processor.stop_token_ids))
    more = sorted(processor.serving_stop_token_ids - processor.stop_token_ids)
    also = "; generation_config.json adds " + ", ".join(map(str, more)) if more else ""
    found = f"answers stop at {stops}{also}; pictures stand at <IMG_CONTEXT> ({config.image_token_id})"
    return Check(name="tokens", level="ok", found=found)


def check_forward(folder: Path, processor: Processor, config: InternVLConfig) -> Check:
    """Load the model and let it read a small picture and a question: are its numbers finite?"""
    device = choose_device("auto")
    dtype, needed = _dtype_that_fits(config, device)
    if dtype is None:
        found = f"not run: the weights need {needed / GIB:.1f} GiB of memory, which are not free here"
        return Check(name="forward", level="warning", found=found, advice="check it on a larger machine")
    picture = Image.linear_gradient("L").convert("RGB")
    inputs = processor(to_messages(("What is this?", picture)))
    model = load_model(folder, device=device, dtype=dtype)
    pixels = None if inputs.pixel_values is None else inputs.pixel_values.to(device)
    with torch.inference_mode():
        logits = model(inputs.input_ids.to(device), pixels).logits[-1].float()
    if not bool(torch.isfinite(logits).all()):
        count = int((~torch.isfinite(logits)).sum())
        found = f"{count} of {len(logits)} logits are not finite in {dtype} on {device}"
        return Check(name="forward", level="problem", found=found, advice="the weights are damaged: fetch them again")
    first = processor.tokenizer.decode([int(logits.argmax())])
    found = f"finite logits in {dtype} on {device}; a question about a picture is answered with {first!r} first"
    return Check(name="forward", level="ok", found=found)


def _dtype_that_fits(config: InternVLConfig, device: str) -> tuple[str | None, float]:
    """The dtype that is usual on the device, or a smaller one, or None; and the bytes it needs."""
    free = available_memory() if device == "cpu" else torch.cuda.mem_get_info(device)[0]
    sizes, usual = anatomy(config).weight_bytes, choose_dtype("auto", device, config)
    for dtype in dict.fromkeys((usual, "bfloat16")):
        if free is None or ROOM * sizes[dtype] <= free:
            return dtype, ROOM * sizes[dtype]
    return None, ROOM * sizes["bfloat16"]
