"""Attention through block tables equals attention over whole sequences, whatever the chunks, blocks and heads."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from engine_driver import one_thread
from ivl.engine.paged_attention import KVCache, PagedSDPA, Span
from ivl.model.attention import PackedAttention
from random_model import CONFIG

LAYERS, DH = CONFIG.text.num_layers, CONFIG.text.head_dim


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


def random_qkv(lengths: list[int], heads: int, kv_heads: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """q (T, H, Dh), k and v (T, K, Dh) of packed sequences."""
    generator = torch.Generator().manual_seed(seed)
    make = [
        torch.randn(sum(lengths), n, DH, generator=generator, dtype=torch.float64) for n in (heads, kv_heads, kv_heads)
    ]
    return make[0], make[1], make[2]


def nan_cache(kv_heads: int, num_blocks: int, size: int) -> KVCache:
    """A cache in which whatever was not written would show."""
    cache = KVCache(
        replace(CONFIG.text, num_heads=kv_heads, num_kv_heads=kv_heads),
        num_blocks,
        size,
        torch.zeros(0, dtype=torch.float64),
    )
    cache.keys.fill_(torch.nan)
    cache.values.fill_(torch.nan)
    return cache


def steps_of(lengths: list[int], chunk: int) -> list[list[tuple[int, int, int]]]:
    """(sequence, start, stop) of each step: sequences advance by different amounts."""
    done, steps = [0] * len(lengths), []
    while any(at < length for at, length in zip(done, lengths, strict=True)):
        step = []
        for index, length in enumerate(lengths):
            stop = min(length, done[index] + 1 + (chunk + index) % (chunk + 1))
            if done[index] < stop:
                step.append((index, done[index], stop))
                done[index] = stop
        steps.append(step)
    return steps


@given(
    lengths=st.lists(st.integers(1, 40), min_size=1, max_size=5),
    heads=st.sampled_from([(6, 2), (4, 4), (4, 1)]),
    size=st.integers(1, 17),
    chunk=st.integers(0, 40),
    seed=st.integers(0, 5),
)
@settings(max_examples=40, deadline=None, derandomize=True, database=None)
def test_chunks_through_blocks_equal_whole_sequences(
    lengths: list[int], heads: tuple[int, int], size: int, chunk: int, seed: int
) -> None:
    q, k, v = random_qkv(lengths, *heads, seed)
    offsets = [0, *torch.tensor(lengths).cumsum(0).tolist()]
    expected = PackedAttention(offsets)(0, q, k, v)
    counts = [-(-length // size) for length in lengths]
    order = torch.randperm(sum(counts) + 2, generator=torch.Generator().manual_seed(seed)).tolist()
    if seed < 3:
        order.sort()  # neighbouring blocks are read as one run
    tables = [[order.pop(0) for _ in range(count)] for count in counts]
    cache = nan_cache(heads[1], sum(counts) + 2, size)
    out = torch.full_like(expected, torch.nan)
    for step in steps_of(lengths, chunk):
        spans = [Span(blocks=tables[index], start=start, stop=stop) for index, start, stop in step]
        rows = torch.cat([torch.arange(offsets[i] + start, offsets[i] + stop) for i, start, stop in step])
        slots = [tables[i][t // size] * size + t % size for i, start, stop in step for t in range(start, stop)]
        attention = PagedSDPA(cache, spans, torch.tensor(slots))
        out[rows] = attention(LAYERS - 1, q[rows], k[rows], v[rows])
    torch.testing.assert_close(out, expected, rtol=0, atol=1e-12)
    written = cache.keys[LAYERS - 1].flatten(0, 1)
    for index, table in enumerate(tables):
        stored = torch.stack([written[table[t // size] * size + t % size] for t in range(lengths[index])])
        torch.testing.assert_close(stored, k[offsets[index] : offsets[index + 1]], rtol=0, atol=0)
    assert cache.keys[: LAYERS - 1].isnan().all(), "another layer was written to"
    assert cache.keys[LAYERS - 1].isnan().any(-1).sum() == heads[1] * (cache.num_blocks * size - sum(lengths))


def test_sequences_that_share_blocks_read_the_same_beginning() -> None:
    q, k, v = random_qkv([12], 6, 2, seed=1)
    cache = nan_cache(2, 8, 4)
    whole = PagedSDPA(
        cache, [Span(blocks=[2, 5, 1], start=0, stop=12)], torch.tensor([8, 9, 10, 11, 20, 21, 22, 23, 4, 5, 6, 7])
    )
    expected = whole(0, q, k, v)
    twins = [Span(blocks=[2, 5, 6], start=8, stop=12), Span(blocks=[2, 5, 7], start=8, stop=12)]
    tail = torch.cat((torch.arange(8, 12), torch.arange(8, 12)))
    slots = torch.tensor([24, 25, 26, 27, 28, 29, 30, 31])
    out = PagedSDPA(cache, twins, slots)(0, q[tail], k[tail], v[tail])
    torch.testing.assert_close(out, torch.cat((expected[8:], expected[8:])), rtol=0, atol=1e-12)


def test_the_cache_takes_as_much_as_it_says() -> None:
    cache = nan_cache(2, 8, 4)
    text = replace(CONFIG.text, num_heads=2)
    assert cache.keys.nbytes + cache.values.nbytes == 8 * 4 * text.kv_numbers_per_token * torch.float64.itemsize
