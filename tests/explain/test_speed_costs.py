"""Operations and bytes: the figures that were published beside the measured ones, and the model counted by torch."""

import pytest
import torch
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

from ivl.explain.costs import decode_flop, decode_weight_bytes, kv_bytes_per_token, prefill_flop, tile_flop
from ivl.model.family import FAMILY
from random_model import CONFIG, make_model, random_ids, random_tiles

TWO_B = FAMILY["InternVL2-2B"]


def test_the_2b_has_the_published_costs():
    assert tile_flop(TWO_B) / 1e12 == pytest.approx(0.730, abs=5e-4)
    assert prefill_flop(TWO_B, 13 * 256 + 50) / 1e12 == pytest.approx(11.3, abs=0.05)
    assert decode_weight_bytes(TWO_B, 2) / 1e9 == pytest.approx(3.40, abs=5e-3)
    assert kv_bytes_per_token(TWO_B, 2) == 98_304


def test_an_answer_of_the_2b_has_the_published_floors():
    """788 TFLOP/s and 3,051 GB/s: one request, then 64 of 1,856 prompt tokens and 128 new ones,
    the first of which comes with the prompt.
    """
    first = (13 * tile_flop(TWO_B) + prefill_flop(TWO_B, 3378)) / 788e12
    assert first == pytest.approx(26.4e-3, abs=5e-5)
    prompts = 64 * (7 * tile_flop(TWO_B) + prefill_flop(TWO_B, 1856)) / 788e12
    steps = 127 * (decode_weight_bytes(TWO_B, 2) + 64 * (1856 + 64) * kv_bytes_per_token(TWO_B, 2)) / 3051e9
    assert prompts + steps == pytest.approx(1.54, abs=5e-3)


def counted(run) -> int:
    plain = sdpa_kernel(SDPBackend.MATH)  # whose products are counted
    with FlopCounterMode(display=False) as counter, torch.inference_mode(), plain:
        run()
    return counter.get_total_flops()


def test_torch_counts_the_same_for_a_tile():
    assert counted(lambda: make_model().encode_tiles(random_tiles(1))) == tile_flop(CONFIG)


def test_torch_counts_the_same_for_a_prompt():
    """torch counts all scores where causal attention needs half of them, and logits at every token."""
    text, tokens = CONFIG.text, 20
    spare = 2 * text.num_layers * tokens**2 * text.num_heads * text.head_dim
    spare += 2 * (tokens - 1) * text.hidden_size * text.vocab_size
    assert counted(lambda: make_model()(random_ids(tokens))) == prefill_flop(CONFIG, tokens) + spare


def test_a_step_costs_what_the_prompt_grows_by():
    grown = prefill_flop(TWO_B, 1001) - prefill_flop(TWO_B, 1000)
    head = 2 * TWO_B.text.hidden_size * TWO_B.text.vocab_size
    assert decode_flop(TWO_B, 1000) == pytest.approx(grown + head, rel=1e-4)


def test_int8_products_read_half_of_their_bytes():
    saved = decode_weight_bytes(TWO_B, 2) - decode_weight_bytes(TWO_B, 2, product_itemsize=1)
    assert saved == 24 * (2 * 2048**2 + 2 * 2048 * 1024 + 3 * 2048 * 8192) + 92553 * 2048
    assert decode_weight_bytes(TWO_B, 2) == pytest.approx(2 * saved, rel=1e-3)
