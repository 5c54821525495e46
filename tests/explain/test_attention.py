"""The explicit attention is the model's own, looks where it must, and finds adapters."""

from dataclasses import replace

import pytest
import torch

from ivl.engine import EngineCore, EngineWorker
from ivl.explain.attention import WatchedAttention, attended, attention_shares, gaze, gaze_in
from ivl.explain.on_engine import encode, on_engine
from ivl.model.attention import PackedAttention, causal_attention
from ivl.model.fused import apply_fused
from ivl.model.lora import AdapterSet, merge
from ivl.processing import load_processor
from ivl.session import Pipeline
from ivl.types import EngineConfig, ModelInputs
from random_adapter import make_adapter
from random_model import CONFIG, make_model, prompt_with_tiles, random_ids, random_tiles


def inputs(tiles: int = 2) -> ModelInputs:
    return ModelInputs(input_ids=prompt_with_tiles(tiles), pixel_values=random_tiles(tiles), tile_counts=(tiles,))


@pytest.mark.parametrize("kv_heads", [1, 2, 6])
def test_the_explicit_attention_is_the_models_own(kv_heads: int) -> None:
    generator = torch.Generator().manual_seed(kv_heads)
    q = 3 * torch.randn(70, 6, 8, generator=generator)
    k, v = (3 * torch.randn(70, kv_heads, 8, generator=generator) for _ in range(2))
    rows = torch.tensor([0, 7, 8, 69])
    shares = attention_shares(q[rows], k, rows)
    assert shares.shape == (4, 6, 70)
    assert torch.allclose(shares.sum(-1), torch.ones(4, 6))
    assert all(not shares[at, :, row + 1 :].any() for at, row in enumerate(rows)), "a row sees what comes after it"
    own = causal_attention(q[None], k[None], v[None])[0][rows]
    assert (attended(shares, v) - own).abs().max() < 1e-5


def test_shares_lie_where_the_key_answers_the_query() -> None:
    k = torch.zeros(20, 1, 4)
    k[13, 0], q = 30.0, torch.ones(1, 2, 4)
    shares = attention_shares(q, k, torch.tensor([19]))
    assert (shares[0, :, 13] > 0.999).all()
    assert attention_shares(q, k, torch.tensor([12]))[0, :, :13] == pytest.approx(1 / 13), "13 comes after the row"


def test_half_precision_is_looked_at_in_float32() -> None:
    q = torch.randn(1, 2, 8).bfloat16()
    assert attention_shares(q, q.expand(5, 2, 8), torch.tensor([4])).dtype == torch.float32


def test_watching_changes_nothing() -> None:
    model, given = make_model(), inputs()
    features = model.encode_tiles(given.pixel_values)
    embeds, offsets = model.embed(given.input_ids, features), [0, len(given.input_ids)]
    watched = WatchedAttention(torch.tensor([5, 9]))
    seen = model.hidden_states(embeds, offsets, watched)
    assert torch.equal(seen, model.hidden_states(embeds, offsets, PackedAttention(offsets)))
    assert len(watched.shares) == CONFIG.text.num_layers
    assert watched.deviation < 1e-12


@pytest.mark.parametrize("fused", [False, True])
def test_the_gaze_of_a_word_is_that_of_the_rows_that_wrote_it(fused: bool) -> None:
    model, given, answer = make_model(), inputs(), (3, 4, 5, 6)
    if fused:
        apply_fused(model)
    found = gaze(model, given, answer, 1, 3)
    num = len(given.input_ids)
    assert found.shares.shape == (CONFIG.text.num_layers, num + 2), "tokens behind the word are left out"
    assert torch.allclose(found.shares.sum(-1), torch.ones(CONFIG.text.num_layers))
    assert found.deviation < 1e-5
    alone = [gaze(model, given, answer, at, at + 1, bound=num + 4).shares for at in (1, 2)]
    mean = found.shares * 2 - alone[1]
    assert torch.allclose(mean[:, : num + 1], alone[0], atol=1e-6), "a word's shares are the mean of its tokens'"
    assert mean[:, num + 1 :].abs().max() < 1e-6
    assert torch.allclose(found.late, found.mean(1))


def test_the_first_token_is_written_by_the_prompts_last_row() -> None:
    given = inputs()
    found = gaze(make_model(), given, (3,), 0, 1)
    assert found.shares.shape[1] == found.num_prompt == len(given.input_ids)


def test_the_rope_is_that_of_the_request() -> None:
    given = ModelInputs(input_ids=random_ids(40))
    short, long = (gaze(make_model(), given, (3, 4), 1, 2, bound=bound).shares for bound in (50, 500))
    assert not torch.allclose(short, long), "dynamic rope depends on how long the answer may become"


def test_a_few_tiles_at_once_are_all_tiles() -> None:
    model, tiles = make_model(), random_tiles(9)
    assert torch.allclose(encode(model, tiles), model.encode_tiles(tiles))


def test_an_adapter_has_a_gaze_of_its_own() -> None:
    given, adapter = inputs(5), make_adapter()
    base, merged = make_model(), make_model()
    merge(merged, adapter)
    wanted = gaze(merged, given, (3, 4), 0, 2).shares
    adapters = AdapterSet(base)
    plain = gaze(base, given, (3, 4), 0, 2).shares
    adapters.load("own", adapter)
    found = gaze(base, given, (3, 4), 0, 2, route=lambda rows: adapters.route([("own", rows)])).shares
    assert torch.allclose(found, wanted, atol=1e-6)
    assert not torch.allclose(found, plain, atol=1e-3)


def test_a_running_pipeline_is_looked_into(tiny_folder) -> None:
    folder = tiny_folder("tiny-qwen2")
    processor = load_processor(folder)
    config = replace(CONFIG, image_token_id=processor.image_token_id)
    core = EngineCore(apply_fused(make_model(config)), EngineConfig(device="cpu"), blocks=16)
    with Pipeline(folder, processor, EngineWorker(core), EngineConfig(device="cpu")) as pipe:
        given = ModelInputs(input_ids=random_ids(20))
        own = gaze(make_model(), given, (3, 4), 1, 2, bound=60)
        assert torch.allclose(gaze_in(pipe, given, (3, 4), 1, 2, bound=60).shares, own.shares, atol=1e-6)
        assert on_engine(pipe, None, lambda model, route: model.config) == config
