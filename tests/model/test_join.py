"""Joining a vision model and a language model: both stay what they were, and only the connector is new."""

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from ivl.errors import CheckpointError, ConfigError, IvlError
from ivl.model.config import InternVLConfig
from ivl.model.internvl import InternVL
from ivl.model.join import Vocabulary, joined_config, write_joined
from ivl.model.part import open_part
from ivl.model.weights import load_model, save_model
from loose_parts import write_internlm2, write_llm, write_vit, write_weights
from parity import tiny
from random_model import CONFIG, make_model

IDS = torch.tensor([5, 290, 17, 3, 3, 299, 42])
NINE = Vocabulary(num_known=300, new_ids=tuple(range(300, 309)), image_token_id=302)


@pytest.fixture(scope="module")
def vit(tmp_path_factory) -> Path:
    return write_vit(tmp_path_factory.mktemp("vit") / "vit")


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    return tiny.write_checkpoint("tiny-qwen2", tmp_path_factory.mktemp("whole") / "model")


def join(vision: Path, llm: Path, folder: Path, vocabulary: Vocabulary = NINE, **options) -> InternVLConfig:
    eyes, mind = open_part(vision, "vision_model"), open_part(llm, "language_model")
    sizes = {name: options.pop(name) for name in ("max_tiles", "image_size") if name in options}
    config = joined_config(eyes, mind, vocabulary, "Hermes-2", **sizes)
    folder.mkdir()
    write_joined(eyes, mind, config, vocabulary, folder, **options)
    return config


def text_logits(model: InternVL, ids: torch.Tensor = IDS) -> torch.Tensor:
    with torch.inference_mode():
        return model(ids).logits


@pytest.mark.parametrize(
    ("kind", "changes"),
    [
        ("Qwen2", {}),
        ("Qwen2", {"tie_word_embeddings": True}),
        ("Qwen2", {"vocab_size": 304}),
        ("Qwen3", {"head_dim": 128}),
        ("Llama", {"vocab_size": 300, "rms_norm_eps": 1e-5}),
        ("Llama", {"rope_parameters": {"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}}),
        ("Phi3", {"tie_word_embeddings": False}),
    ],
)
def test_a_joined_model_speaks_as_its_language_model(vit, tmp_path, kind, changes):
    theirs = write_llm(tmp_path / "llm", kind, **changes)
    config = join(vit, tmp_path / "llm", tmp_path / "new")
    ours = load_model(tmp_path / "new")
    known = theirs.config.vocab_size
    assert config.text.vocab_size == max(known, 309)
    assert config.text.tie_embeddings == changes.get("tie_word_embeddings", False)
    with torch.inference_mode():
        expected = theirs(IDS[None]).logits[0]
    used = [token_id for token_id in range(known) if token_id not in NINE.new_ids]
    torch.testing.assert_close(text_logits(ours)[:, used], expected[:, used], rtol=0, atol=1e-4)


def test_internlm2_under_its_own_names(vit, tmp_path):
    whole = tiny.write_checkpoint("tiny-internlm2", tmp_path / "whole")
    official = load_model(whole)
    known = official.config.text.vocab_size
    vocabulary = Vocabulary(num_known=known, new_ids=(known,), image_token_id=known)
    join(vit, write_internlm2(tmp_path / "llm"), tmp_path / "new", vocabulary)
    assert torch.equal(text_logits(load_model(tmp_path / "new"))[:, :known], text_logits(official))


@pytest.mark.parametrize("name", ["tiny-qwen2", "tiny-6b-style"])
def test_a_joined_model_sees_as_its_vision_model(tmp_path, name):
    write_llm(tmp_path / "llm", "Llama")
    join(write_vit(tmp_path / "vit", name), tmp_path / "llm", tmp_path / "new")
    joined, official = load_model(tmp_path / "new"), load_model(tiny.write_checkpoint(name, tmp_path / "whole"))
    size = official.config.vision.image_size
    tiles = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        assert torch.equal(joined.vision_model(tiles), official.vision_model(tiles))
        features = joined.encode_tiles(tiles)
    assert features.shape == (2, joined.config.tokens_per_tile, 48)
    assert bool(features.isfinite().all())


@pytest.mark.parametrize("layout", ["official", "transformers"])
def test_parts_of_whole_models(tmp_path, layout):
    """Both of the tables of names, InternLM2's interleaved heads among them."""
    config = replace(CONFIG, text=replace(CONFIG.text, decoder="internlm2"), max_tiles=5, select_layer=-2)
    eyes, mind = make_model(config, seed=1).float(), make_model(config, seed=2).float()
    save_model(eyes, tmp_path / "eyes", layout)
    save_model(mind, tmp_path / "mind", layout)
    vocabulary = Vocabulary(num_known=96, new_ids=(), image_token_id=90)
    joined_as = join(tmp_path / "eyes", tmp_path / "mind", tmp_path / "new", vocabulary)
    joined = load_model(tmp_path / "new")
    for name, parameter in joined.named_parameters():
        source = eyes if name.startswith("vision_model") else mind
        if not name.startswith("connector"):
            assert torch.equal(parameter, source.get_parameter(name)), name
    assert (joined_as.text, joined_as.vision, joined_as.select_layer) == (config.text, config.vision, -2)
    assert (joined_as.max_tiles, joined_as.ps_version, joined_as.image_token_id) == (12, "v2", 90)


def test_new_rows_are_the_mean_of_the_known_ones(vit, tmp_path):
    theirs = write_llm(tmp_path / "llm", vocab_size=304, tie_word_embeddings=False)
    join(vit, tmp_path / "llm", tmp_path / "new", Vocabulary(num_known=300, new_ids=(301, 305), image_token_id=305))
    ours = load_model(tmp_path / "new").language_model
    for new, old in (
        (ours.embed_tokens.weight, theirs.model.embed_tokens.weight),
        (ours.lm_head.weight, theirs.lm_head.weight),
    ):
        assert len(new) == 306
        kept = [*range(301), 302, 303]
        assert torch.equal(new[kept], old[kept])
        mean = old[:300].mean(dim=0)
        for token_id in (301, 304, 305):
            torch.testing.assert_close(new[token_id], mean, rtol=0, atol=1e-6)


def test_the_connector_is_fresh_and_of_its_seed(vit, tmp_path):
    write_llm(tmp_path / "llm")
    torch.manual_seed(7)
    before = torch.get_rng_state()
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        join(vit, tmp_path / "llm", tmp_path / name, seed=seed)
    assert torch.equal(torch.get_rng_state(), before), "drawing it disturbs nobody's random numbers"
    a, b, c = (load_model(tmp_path / name).connector for name in "abc")
    assert all(torch.equal(x, y) for x, y in zip(a.parameters(), b.parameters(), strict=True))
    assert not torch.equal(a.fc1.weight, c.fc1.weight)
    assert torch.equal(a.norm.weight, torch.ones(4 * 64))
    assert torch.equal(a.norm.bias, torch.zeros(4 * 64))
    for linear in (a.fc1, a.fc2):
        bound = 1 / math.sqrt(linear.in_features)
        for parameter in (linear.weight, linear.bias):
            assert 0.8 * bound < float(parameter.detach().abs().max()) <= bound


def test_several_files_hold_the_same_model(vit, tmp_path):
    write_llm(tmp_path / "llm")
    join(vit, tmp_path / "llm", tmp_path / "one")
    join(vit, tmp_path / "llm", tmp_path / "many", file_bytes=100_000)
    assert len(list((tmp_path / "many").glob("*.safetensors"))) > 3
    one, many = load_model(tmp_path / "one"), load_model(tmp_path / "many")
    assert all(torch.equal(x, y) for x, y in zip(one.parameters(), many.parameters(), strict=True))


@pytest.mark.parametrize(("asked", "stored"), [(None, "BF16"), (torch.float32, "F32")])
def test_weights_are_of_the_language_models_type(vit, tmp_path, asked, stored):
    theirs = write_llm(tmp_path / "llm", dtype=torch.bfloat16)
    join(vit, tmp_path / "llm", tmp_path / "new", dtype=asked)
    with (tmp_path / "new" / "model.safetensors").open("rb") as file:
        header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
    assert {entry["dtype"] for name, entry in header.items() if name != "__metadata__"} == {stored}
    config = json.loads((tmp_path / "new" / "config.json").read_text())
    assert config["torch_dtype"] == ("bfloat16" if asked is None else "float32")
    ours = load_model(tmp_path / "new").language_model
    assert torch.equal(ours.layers[1].mlp.down_proj.weight, theirs.model.layers[1].mlp.down_proj.weight.float())


def test_positions_for_tiles_of_another_size(vit, whole, tmp_path):
    """The same as the vision model does by itself when it gets such tiles."""
    write_llm(tmp_path / "llm")
    config = join(vit, tmp_path / "llm", tmp_path / "new", image_size=112)
    assert (config.image_size, config.vision.image_size, config.tokens_per_tile) == (112, 112, 16)
    tiles = torch.randn(1, 3, 112, 112, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        expected = load_model(whole).vision_model(tiles)
        torch.testing.assert_close(load_model(tmp_path / "new").vision_model(tiles), expected, rtol=0, atol=1e-5)


def broken(vit: Path, tmp_path: Path, case: str) -> tuple[Path, Path]:
    """Folders of a vision and a language model, one of which has a fault."""
    write_llm(tmp_path / "llm")
    llm, vision = tmp_path / "llm", vit
    config = json.loads((llm / "config.json").read_text())
    if case == "swapped":
        return llm, vision
    if case == "no folder":
        return tmp_path / "nowhere", llm
    if case == "no config":
        (llm / "config.json").unlink()
    if case == "other decoder":
        (llm / "config.json").write_text(json.dumps(config | {"architectures": ["GemmaForCausalLM"]}))
    if case == "other rope":
        (llm / "config.json").write_text(json.dumps(config | {"rope_parameters": {"rope_type": "yarn"}}))
    if case == "no decoder":
        llm = write_vit(tmp_path / "llm2")
    if case == "other eyes":
        vision = write_vit(tmp_path / "vit", architectures=["CLIPVisionModel"], model_type="clip_vision_model")
    if case == "other size":
        vision = write_vit(tmp_path / "vit", image_size=448)
    if case == "odd size":
        vision = write_vit(tmp_path / "vit", image_size=70)
    if case == "weights of another":
        write_weights(llm, "tiny-internlm2", "language_model.")
    if case == "missing tensor":
        vision = write_vit(tmp_path / "vit", qk_normalization=True)
    if case == "pickle":
        (llm / "model.safetensors").rename(llm / "pytorch_model.bin")
    if case == "cut short":
        weights = llm / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-10])
    return vision, llm


@pytest.mark.parametrize(
    ("case", "kind", "named"),
    [
        ("swapped", ConfigError, "llm/config.json: architectures=['Qwen2ForCausalLM'] is no vision model"),
        ("no folder", ConfigError, "nowhere: no such folder"),
        ("no config", ConfigError, "llm has no config.json"),
        ("other decoder", ConfigError, "config.json: architectures=['GemmaForCausalLM'] is not allowed: "),
        ("other rope", ConfigError, "config.json: rope_parameters.rope_type='yarn' is not allowed"),
        ("no decoder", ConfigError, "architectures=['InternVisionModel'] is not allowed: "),
        ("other eyes", ConfigError, "architectures=['CLIPVisionModel'] is no vision model that can be joined"),
        ("other size", ConfigError, "image_size=448 makes 1025 positions of 14 pixels, but the position embedding"),
        ("other size", ConfigError, "has 17: it is for image_size=56"),
        ("odd size", ConfigError, "patches a side=5 is not a multiple of"),
        ("weights of another", CheckpointError, "weights and config.json do not belong together"),
        ("missing tensor", CheckpointError, "attn.q_norm.weight', is missing"),
        ("pickle", CheckpointError, "never opened"),
        ("cut short", CheckpointError, "is cut short"),
    ],
)
def test_what_cannot_be_joined_is_named(vit, tmp_path, case, kind, named):
    vision, llm = broken(vit, tmp_path, case)
    with pytest.raises(IvlError) as fault:
        join(vision, llm, tmp_path / "new")
    assert isinstance(fault.value, kind)
    assert named in str(fault.value)
    assert not (tmp_path / "new").exists()


def test_a_tokenizer_of_another_model_is_refused(vit, tmp_path):
    write_llm(tmp_path / "llm", vocab_size=299)
    with pytest.raises(ConfigError, match="ids up to 299, but the model's vocab_size is 299"):
        join(vit, tmp_path / "llm", tmp_path / "new")


def test_tiles_that_make_no_whole_tokens_are_refused(vit, tmp_path):
    write_llm(tmp_path / "llm")
    for size in (60, 70):
        with pytest.raises(ConfigError, match="is not a multiple of"):
            join(vit, tmp_path / "llm", tmp_path / "new", image_size=size)
