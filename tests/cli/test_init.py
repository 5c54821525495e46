"""`ivl init`: what it makes works everywhere a model does, and a refusal leaves nothing behind."""

import json
from pathlib import Path

import numpy as np
import PIL.Image
import pytest
import torch

import ivl
from ivl.cli.init import TEMPLATES
from ivl.processing.template import TEMPLATES as KNOWN_TEMPLATES
from ivl.zoo import nano_folder
from loose_parts import PICTURE_TOKENS, write_llm, write_tokenizer, write_vit


@pytest.fixture(scope="module")
def parts(tmp_path_factory) -> Path:
    """vit; llm (Qwen2 with its tokenizer, vocabulary padded); llama (whose tokenizer is Qwen2's without <|im_end|>)."""
    folder = tmp_path_factory.mktemp("parts")
    write_vit(folder / "vit")
    write_llm(folder / "llm")
    write_tokenizer(folder / "llm", "qwen2")
    (folder / "llm" / "generation_config.json").write_text('{"eos_token_id": [296], "temperature": 0.7}')
    return folder


def picture() -> PIL.Image.Image:
    return PIL.Image.fromarray(np.random.default_rng(0).integers(0, 255, (90, 200, 3), dtype=np.uint8))


def test_two_parts_become_a_model(parts, tmp_path, ivl_command):
    out = tmp_path / "models" / "new"
    shown = ivl_command("init", "--vision", parts / "vit", "--llm", parts / "llm", "-o", out, "--max-tiles", 4)
    assert (shown.code, shown.err) == (0, "")
    assert "256 -> 48, new (seed 0)" in shown.out
    assert f"new tokens      {' '.join(PICTURE_TOKENS)}" in shown.out
    model, processor = ivl.load_model(out), ivl.load_processor(out)
    config = ivl.load_config(out)
    assert (config.template, config.max_tiles, config.use_thumbnail, config.dynamic_image_size) == (
        "Hermes-2", 4, True, True,
    )  # fmt: skip
    content = [{"type": "image_url", "image_url": {"url": picture()}}, {"type": "text", "text": "what is it?"}]
    inputs = processor([{"role": "user", "content": content}])
    assert inputs.tile_counts == (3,)
    with torch.inference_mode():
        assert bool(model(inputs.input_ids, inputs.pixel_values).logits.isfinite().all())
    assert json.loads((out / "generation_config.json").read_text()) == {"eos_token_id": [296, 298]}
    assert sorted(path.name for path in out.parent.iterdir()) == ["new"]
    told = ivl_command("info", out, "--json")
    assert told.code == 0


def test_control_tokens_of_the_template_are_added_too(parts, tmp_path, ivl_command):
    """A base model's tokenizer knows no turns."""
    arguments = ("--vision", parts / "vit", "--llm", parts / "llm", "-o", tmp_path / "new")
    assert ivl_command("init", *arguments, "--template", "phi3-chat").code == 0
    processor = ivl.load_processor(tmp_path / "new")
    assert processor.tokenizer.token_id("<img>") == 299
    assert processor.tokenizer.token_id("<|system|>") == 308
    assert ivl.load_config(tmp_path / "new").text.vocab_size == 320, "within the padding"


def test_whole_models_give_their_parts(tmp_path, ivl_command):
    """The small model joined with itself is itself but for its connector."""
    whole = nano_folder()
    shown = ivl_command("init", "--vision", whole, "--llm", whole, "-o", tmp_path / "new", "--seed", 3)
    assert shown.code == 0
    assert "none: it had them all" in shown.out
    old, new = ivl.load_model(whole), ivl.load_model(tmp_path / "new")
    for name, parameter in new.named_parameters():
        assert torch.equal(parameter, old.get_parameter(name)) != name.startswith("connector"), name
    question = [{"role": "user", "content": "what is <box> in <img>?"}]
    ids = [ivl.load_processor(folder)(question).input_ids.tolist() for folder in (whole, tmp_path / "new")]
    assert ids[0] == ids[1]
    assert new.config.template == old.config.template


def test_templates_are_the_known_ones():
    assert set(TEMPLATES) == set(KNOWN_TEMPLATES)


@pytest.mark.parametrize(
    ("case", "named"),
    [
        ("occupied", "is not empty: nothing is overwritten"),
        ("no tokenizer", "no tokenizer in"),
        ("other tokenizer", "the tokenizer has ids up to"),
        ("swapped", "is no vision model that can be joined"),
        ("odd tiles", "is not a multiple of"),
    ],
)
def test_a_refusal_is_one_line_and_leaves_nothing(parts, tmp_path, ivl_command, case, named):
    vision, llm, out, more = parts / "vit", parts / "llm", tmp_path / "new", ()
    if case == "occupied":
        out.mkdir()
        (out / "diary.txt").write_text("mine")
    if case in ("no tokenizer", "other tokenizer"):
        llm = tmp_path / "llm"
        write_llm(llm, vocab_size=320 if case == "no tokenizer" else 290)
    if case == "other tokenizer":
        write_tokenizer(llm)
    if case == "swapped":
        vision, llm = llm, vision
    if case == "odd tiles":
        more = ("--image-size", "70")
    before = sorted(tmp_path.rglob("*"))
    shown = ivl_command("init", "--vision", vision, "--llm", llm, "-o", out, *more)
    assert (shown.code, shown.out) == (1, "")
    assert shown.err.startswith("error: ")
    assert (shown.err.count("\n"), named in shown.err) == (1, True), shown.err
    assert sorted(tmp_path.rglob("*")) == before
