"""The tiny official checkpoints: what the official code computed with them, ours must compute too.

Tolerances are those of the goldens' README: 1e-4 on float32 logits whose standard deviation is about 3.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import ivl
from ivl.model.connector import pixel_shuffle
from ivl.model.internvl import InternVL
from ivl.model.names import stored_tensors
from parity import tiny

CASES = (
    "gen_1img_1tile",
    "gen_1img_3tiles_thumb",
    "gen_2img",
    "gen_text",
    "gen_history",
    "gen_noplaceholder",
)


@pytest.fixture(scope="module", params=tiny.NAMES)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture(scope="module")
def model(name: str, tiny_folder: Callable[[str], Path]) -> InternVL:
    return ivl.load_model(tiny_folder(name))


def assert_close(ours: torch.Tensor, golden: torch.Tensor, atol: float = 1e-4) -> None:
    assert ours.shape == golden.shape
    assert (ours.detach() - golden).abs().max() < atol


def tiles_of(keys: list[str]) -> torch.Tensor | None:
    return torch.cat([tiny.pixels(key) for key in keys]) if keys else None


def test_vision(name: str, model: InternVL) -> None:
    golden, vision = tiny.goldens(name, "vision"), model.vision_model
    tiles, other_size = tiny.pixels("rand3"), tiny.pixels("rand_84")
    assert_close(vision(tiles), golden["last_hidden_state"])
    assert_close(vision(tiles)[:, 0], golden["pooler_output"])
    assert_close(pixel_shuffle(vision(tiles)[:, 1:], 2, "v2"), golden["pixel_shuffle_v2"].flatten(1, 2))
    assert_close(model.encode_tiles(tiles), golden["extract_feature"])
    assert_close(vision(other_size), golden["last_hidden_state_84"])
    assert_close(model.encode_tiles(other_size), golden["extract_feature_84"])
    # Inputs this small show the epsilon of the connector's norm.
    assert_close(model.connector(golden["mlp1_small_in"]), golden["mlp1_small_out"])


def test_vision_with_the_first_releases_settings(name: str, model: InternVL) -> None:
    golden, tiles = tiny.goldens(name, "vision"), tiny.pixels("rand3")
    version_1 = model.connector(pixel_shuffle(model.vision_model(tiles)[:, 1:], 2, "v1"))
    assert_close(version_1, golden["extract_feature_ps_v1"])
    earlier = model.connector(pixel_shuffle(model.vision_model(tiles, -2)[:, 1:], 2, "v2"))
    assert_close(earlier, golden["extract_feature_select_layer_m2"])


def test_every_vision_layer(tiny_folder: Callable[[str], Path]) -> None:
    golden = tiny.goldens("tiny-internlm2", "vision")
    vision = ivl.load_model(tiny_folder("tiny-internlm2")).vision_model
    for layer, expected in enumerate(golden["hidden_states"]):
        assert_close(vision(tiny.pixels("rand3"), layer), expected)


def test_logits(name: str, model: InternVL) -> None:
    golden, tiles = tiny.goldens(name, "forward"), tiny.pixels("rand3")
    assert_close(model(golden["a_input_ids"], tiles).logits, golden["a_logits"])
    assert_close(model(golden["a_input_ids"][0], tiles).logits, golden["a_logits"][0])
    assert_close(model(golden["c_input_ids"], tiles).logits, golden["c_logits"])
    real = golden["d_image_flags"].flatten() == 1
    assert_close(model(golden["d_input_ids"], tiles[real]).logits, golden["d_logits"])


def test_logits_of_a_padded_batch(name: str, model: InternVL) -> None:
    golden = tiny.goldens(name, "forward")
    mask = golden["b_attention_mask"].bool()
    logits = model(golden["b_input_ids"], tiny.pixels("rand3")).logits
    assert_close(logits[mask], golden["b_logits"][mask])


def test_logits_of_packed_sequences(name: str, model: InternVL) -> None:
    golden = tiny.goldens(name, "forward")
    mask = golden["b_attention_mask"].bool()
    lengths = mask.sum(1)
    offsets = torch.cat((torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)))
    logits = model(golden["b_input_ids"][mask], tiny.pixels("rand3"), cu_seqlens=offsets).logits
    assert_close(logits, golden["b_logits"][mask])


@pytest.mark.parametrize("case", CASES)
def test_greedy_tokens(name: str, model: InternVL, case: str) -> None:
    golden = tiny.golden_json(name, "generate")[case]
    tokens = model.generate_greedy(
        torch.tensor(golden["input_ids"]),
        tiles_of(golden["images"]),
        max_new_tokens=len(golden["generated_ids"]),
    )
    assert tokens == golden["generated_ids"]


def test_greedy_tokens_end_at_an_end_token(name: str, model: InternVL) -> None:
    cases = tiny.golden_json(name, "generate")
    golden, base = cases["stop_on_eos"], cases[cases["stop_on_eos"]["base"]]
    ids, tiles = torch.tensor(base["input_ids"]), tiles_of(base["images"])
    tokens = model.generate_greedy(ids, tiles, max_new_tokens=24, eos_ids=(golden["eos_token_id"],))
    assert tokens == golden["generated_ids"]


@pytest.mark.parametrize("which", ["tiny-internlm2", "tiny-6b-style", "tiny-phi3"])
def test_beyond_the_trained_length(which: str, tiny_folder: Callable[[str], Path]) -> None:
    model, golden = ivl.load_model(tiny_folder(which)), tiny.goldens(which, "longrope")
    logits = model(golden["input_ids"][0]).logits
    assert_close(logits[golden["positions"]], golden["logits_at_positions"])
    length = int(golden["gen_prompt_len"])
    whole = torch.cat((golden["input_ids"][0, :length], golden["gen_ids"]))
    assert_close(model(whole).logits[length - 1 : -1], golden["gen_rescored_full_forward"])


def test_loss_and_gradients(name: str, model: InternVL) -> None:
    golden, numbers = tiny.goldens(name, "loss"), tiny.golden_json(name, "loss")
    loss = model(golden["input_ids"], tiny.pixels("rand3"), labels=golden["labels"]).loss
    assert abs(loss.item() - numbers["loss"]) < 1e-5 * numbers["loss"]
    gradients = official_gradients(model, loss)
    assert gradients.keys() == numbers["grad_norm_l2"].keys()
    for key, norm in numbers["grad_norm_l2"].items():
        assert abs(gradients[key].norm().item() - norm) < 1e-3 * norm, key
    shown = [key.removeprefix("grad/") for key in golden if key.startswith("grad/")]
    assert shown
    for key in shown:
        expected = golden[f"grad/{key}"]
        assert (gradients[key][: len(expected)] - expected).norm() < 1e-3 * expected.norm(), key


def test_loss_of_a_batch(name: str, model: InternVL) -> None:
    golden = tiny.golden_json(name, "loss")["batch"]
    ids = tiny.goldens(name, "forward")["b_input_ids"]
    loss = model(ids, tiny.pixels("rand3"), labels=torch.tensor(golden["labels"])).loss
    assert abs(loss.item() - golden["loss"]) < 1e-5 * golden["loss"]


def official_gradients(model: InternVL, loss: torch.Tensor) -> dict[str, torch.Tensor]:
    """Gradients in the official layout, made of ours by the same table that reads and writes weights."""
    named = dict(model.named_parameters())
    ours = dict(zip(named, torch.autograd.grad(loss, list(named.values())), strict=True))
    return {
        name: torch.cat([ours[rows.name][rows.start : rows.stop].flatten() for rows in stored.rows]).view(stored.shape)
        for name, stored in stored_tensors(model.config, "official").items()
    }
