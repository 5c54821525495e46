"""The paged kernels equal plain attention over each sequence, whatever lies in the cache around it.

Run on a GPU with `pytest -m gpu`. Where there is none, `TRITON_INTERPRET=1 pytest -m gpu tests/gpu/test_kernels.py`
runs the same tests, smaller, on the CPU; importing the kernels needs Triton, so only tests and fixtures do.

Tolerances: norm of the error / norm of the reference, which is float64: 1e-5 in float32, 1e-2 in 16 bits.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

pytestmark = pytest.mark.gpu

ON_GPU = torch.cuda.is_available()
DEVICE = "cuda" if ON_GPU else "cpu"
FP16, FP32 = torch.float16, torch.float32
# Triton's interpreter (3.6) multiplies the bits of bfloat16 as whole numbers: there, float16 takes its place.
BF16 = torch.bfloat16 if ON_GPU else FP16
TOLERANCE = {FP32: 1e-5, FP16: 1e-2, BF16: 1e-2}
# Lengths of contexts: around a tile's and a block's edge, one long, one empty.
LENGTHS = [1, 15, 16, 17, 1003, 64, 63, 65, 128, 3378] if ON_GPU else [1, 16, 17, 70]
# (queries, context): fresh prompts, later chunks, a single query, a chunk longer than a tile.
CHUNKS = [(1, 1), (16, 16), (17, 90), (1, 77), (130, 131)]
CHUNKS += [(15, 15), (128, 128), (1003, 1003), (300, 2000), (64, 64), (63, 500)] if ON_GPU else []
NAN = float("nan")


@pytest.fixture
def kernels(monkeypatch: pytest.MonkeyPatch) -> Any:
    """The kernels, a seed, and memory that is never zero by luck: whatever is allocated is full of NaN."""
    torch.manual_seed(0)
    empty = torch.empty

    def poisoned(*args: Any, **kwargs: Any) -> Tensor:
        out = empty(*args, **kwargs)
        return out.fill_(NAN) if out.is_floating_point() else out

    monkeypatch.setattr(torch, "empty", poisoned)
    return import_module("ivl.engine.kernels")


@dataclass(frozen=True, kw_only=True)
class Cache:
    """One layer's cache: NaN but where a sequence's positions are."""

    keys: Tensor
    values: Tensor
    tables: Tensor
    lens: Tensor
    kept: list[tuple[Tensor, Tensor]]
    """Of each sequence, keys and values (length, K, Dh) as they are in the cache."""


def fill_cache(
    lengths: list[int], num_kv_heads: int, head_dim: int, block_size: int, dtype: torch.dtype, spare: int = 3
) -> Cache:
    """Sequences of `lengths` positions in blocks drawn at random; table entries past them point outside the cache."""
    counts = [-(-length // block_size) for length in lengths]
    num_blocks = sum(counts) + spare
    shape = (num_blocks, block_size, num_kv_heads, head_dim)
    keys, values = (torch.full(shape, NAN, dtype=dtype, device=DEVICE) for _ in range(2))
    blocks = torch.randperm(num_blocks, device=DEVICE)
    tables = torch.full((len(lengths), max(counts) + 2), num_blocks + 10**6, dtype=torch.int32, device=DEVICE)
    kept, at = [], 0
    for row, (length, count) in enumerate(zip(lengths, counts, strict=True)):
        own = blocks[at : at + count]
        at += count
        tables[row, :count] = own.int()
        k, v = (torch.randn(length, num_kv_heads, head_dim, device=DEVICE).to(dtype) for _ in range(2))
        positions = torch.arange(length, device=DEVICE)
        keys[own[positions // block_size], positions % block_size] = k
        values[own[positions // block_size], positions % block_size] = v
        kept.append((k, v))
    return Cache(keys=keys, values=values, tables=tables, lens=whole(lengths), kept=kept)


def whole(numbers: list[int]) -> Tensor:
    return torch.tensor(numbers, dtype=torch.int32, device=DEVICE)


def queries(count: int, num_heads: int, head_dim: int, dtype: torch.dtype) -> Tensor:
    """(count, H, Dh), a view with gaps, as a fused projection gives it."""
    wide = torch.randn(count, num_heads + 3, head_dim, device=DEVICE).to(dtype)
    return wide[:, 1 : num_heads + 1]


def reference(q: Tensor, k: Tensor, v: Tensor, scale: float) -> Tensor:
    """q (L, H, Dh) at the end of k, v (C, K, Dh) -> (L, H, Dh) in float64."""
    group = q.shape[1] // k.shape[1]
    k, v = (x.double().repeat_interleave(group, dim=1) for x in (k, v))
    scores = torch.einsum("lhd,chd->hlc", q.double(), k) * scale
    position = torch.arange(len(k) - len(q), len(k), device=q.device)
    later = torch.arange(len(k), device=q.device)[None] > position[:, None]
    return torch.einsum("hlc,chd->lhd", scores.masked_fill(later, -torch.inf).softmax(-1), v)


def assert_near(got: Tensor, wanted: Tensor) -> None:
    assert got.shape == wanted.shape
    assert not got.isnan().any(), "NaN from outside a sequence reached the result"
    error = ((got.double() - wanted).norm() / wanted.norm()).item()
    assert error < TOLERANCE[got.dtype], f"relative error {error:.2e} in {got.dtype}"


def check_decode(kernels: Any, cache: Cache, q: Tensor, num_splits: int) -> None:
    scale = q.shape[-1] ** -0.5
    out = torch.full(q.shape, NAN, dtype=q.dtype, device=DEVICE)
    got = kernels.paged_decode(q, cache.keys, cache.values, cache.tables, cache.lens, scale, num_splits, out)
    assert got is out
    for row, (k, v) in enumerate(cache.kept):
        if len(k):
            assert_near(got[row : row + 1], reference(q[row : row + 1], k, v, scale))
        else:
            assert torch.equal(got[row], torch.zeros_like(got[row]))


@pytest.mark.parametrize("group", [1, 2, 4, 6, 8])
@pytest.mark.parametrize("num_splits", [1, 3, 8])
def test_decode_for_every_group(kernels: Any, group: int, num_splits: int) -> None:
    for dtype in (FP32, BF16):
        cache = fill_cache([*LENGTHS, 0], 2, 64, 16, dtype)
        check_decode(kernels, cache, queries(len(cache.kept), 2 * group, 64, dtype), num_splits)


@pytest.mark.parametrize("head_dim", [32, 64, 96, 128])
@pytest.mark.parametrize("dtype", [FP32, FP16, BF16])
def test_decode_for_every_head_width_and_type(kernels: Any, head_dim: int, dtype: torch.dtype) -> None:
    cache = fill_cache([*LENGTHS, 0], 3, head_dim, 32, dtype)
    check_decode(kernels, cache, queries(len(cache.kept), 6, head_dim, dtype), 4)


@pytest.mark.parametrize("block_size", [16, 32, 64, 128, 256])
def test_decode_for_every_block_size(kernels: Any, block_size: int) -> None:
    for dtype in (FP32, BF16):
        cache = fill_cache([*LENGTHS, 0], 2, 64, block_size, dtype)
        for num_splits in (1, 2, 128 if ON_GPU else 5):
            check_decode(kernels, cache, queries(len(cache.kept), 4, 64, dtype), num_splits)


def test_decode_of_empty_rows_alone_gives_zeros(kernels: Any) -> None:
    cache = fill_cache([0, 0], 2, 64, 16, BF16)
    for num_splits in (1, 5):
        check_decode(kernels, cache, queries(2, 4, 64, BF16), num_splits)


def test_nan_in_a_context_shows_in_that_row_alone(kernels: Any) -> None:
    cache = fill_cache([40, 40, 90], 2, 64, 16, FP32)
    q = queries(3, 4, 64, FP32)
    cache.keys[cache.tables[1, 0].item(), 3] = NAN
    for num_splits in (1, 3):
        out = kernels.paged_decode(q, cache.keys, cache.values, cache.tables, cache.lens, 0.125, num_splits)
        assert out[1].isnan().all()
        for row in (0, 2):
            assert_near(out[row : row + 1], reference(q[row : row + 1], *cache.kept[row], 0.125))


def test_scores_far_apart_do_not_overflow(kernels: Any) -> None:
    cache = fill_cache([200], 1, 64, 16, FP32)
    # Whole numbers: scores are equal or at least 12.5 apart, so that rounding them cannot change their order.
    cache.keys.round_()
    cache.kept[0][0].round_()
    q = queries(1, 2, 64, FP32).round() * 100
    for num_splits in (1, 4):
        check_decode(kernels, cache, q, num_splits)


def check_prefill(kernels: Any, chunks: list[tuple[int, int]], cache: Cache, q: Tensor) -> None:
    starts = [sum(length for length, _ in chunks[:i]) for i in range(len(chunks) + 1)]
    scale, longest = q.shape[-1] ** -0.5, max(length for length, _ in chunks)
    out = torch.full(q.shape, NAN, dtype=q.dtype, device=DEVICE)
    tables = (cache.keys, cache.values, cache.tables, whole(starts), cache.lens)
    assert kernels.paged_prefill(q, *tables, longest, scale, out) is out
    for row, (k, v) in enumerate(cache.kept):
        own = slice(starts[row], starts[row + 1])
        if len(q[own]):
            assert_near(out[own], reference(q[own], k, v, scale))
    assert out[starts[-1] :].isnan().all(), "rows of no sequence were written"


def prefill_case(
    kernels: Any, chunks: list[tuple[int, int]], group: int, head_dim: int, block_size: int, dtype: torch.dtype
) -> None:
    cache = fill_cache([context for _, context in chunks], 2, head_dim, block_size, dtype)
    check_prefill(kernels, chunks, cache, queries(sum(n for n, _ in chunks) + 2, 2 * group, head_dim, dtype))


@pytest.mark.parametrize("group", [1, 2, 4, 6, 8])
def test_prefill_for_every_group(kernels: Any, group: int) -> None:
    for dtype in (FP32, BF16):
        prefill_case(kernels, CHUNKS, group, 64, 16, dtype)


@pytest.mark.parametrize("head_dim", [32, 64, 96, 128])
@pytest.mark.parametrize("dtype", [FP32, FP16, BF16])
def test_prefill_for_every_head_width_and_type(kernels: Any, head_dim: int, dtype: torch.dtype) -> None:
    prefill_case(kernels, CHUNKS, 2, head_dim, 64, dtype)


@pytest.mark.parametrize("block_size", [16, 32, 64, 128, 256])
def test_prefill_for_every_block_size(kernels: Any, block_size: int) -> None:
    prefill_case(kernels, CHUNKS, 2, 128, block_size, BF16)


@pytest.mark.parametrize("longest", [1, 5, 16, 17, 40, 64, 65])
def test_prefill_of_short_chunks(kernels: Any, longest: int) -> None:
    chunks = [(longest, longest), (0, 9), (1, 300), (longest, 70 + longest), (min(3, longest), 64)]
    for dtype in (FP32, BF16):
        prefill_case(kernels, chunks, 2, 128, 64, dtype)


def test_a_prompt_in_chunks_equals_the_prompt_at_once(kernels: Any) -> None:
    length = 1200 if ON_GPU else 150
    cache = fill_cache([length], 2, 64, 16, FP32)
    q = queries(length, 4, 64, FP32)
    wanted = reference(q, *cache.kept[0], 0.125)
    bounds = [0, 1, 17, 100, length - 1, length]
    for start, stop in pairwise(bounds):
        own = q[start:stop]
        tables = (cache.keys, cache.values, cache.tables, whole([0, stop - start]), whole([stop]))
        assert_near(kernels.paged_prefill(own, *tables, stop - start, 0.125), wanted[start:stop])


@pytest.mark.parametrize("shape", [(2, 64), (3, 96), (1, 32), (8, 128), (14, 128)])
@pytest.mark.parametrize("dtype", [FP32, BF16])
def test_write_cache_changes_its_slots_and_nothing_else(
    kernels: Any, shape: tuple[int, int], dtype: torch.dtype
) -> None:
    (num_heads, head_dim), num_blocks, block_size = shape, 9, 16
    k = queries(40, num_heads, head_dim, dtype)
    v = torch.randn(num_heads, 40, head_dim, device=DEVICE).to(dtype).transpose(0, 1)  # heads outermost
    slots = torch.randperm(num_blocks * block_size, device=DEVICE)[:40]
    slots[::7] = -1
    caches = torch.randn(2, num_blocks, block_size, num_heads, head_dim, device=DEVICE).to(dtype)
    wanted = caches.clone().view(2, -1, num_heads, head_dim)
    wanted[0, slots[slots >= 0]], wanted[1, slots[slots >= 0]] = k[slots >= 0], v[slots >= 0]
    kernels.write_cache(k, v, caches[0], caches[1], slots)
    assert torch.equal(caches, wanted.view_as(caches))
    kernels.write_cache(k[:0], v[:0], caches[0], caches[1], slots[:0])
    assert torch.equal(caches, wanted.view_as(caches))


def test_caches_past_2_to_the_31_elements(kernels: Any) -> None:
    """A sequence in the last blocks; an index in 32 bits would read and write elsewhere."""
    block_size, num_heads, head_dim, length = 64, 8, 128, 333
    num_blocks = (2**31 // (block_size * num_heads * head_dim) + 200) if ON_GPU else 20
    shape = (num_blocks, block_size, num_heads, head_dim)
    keys, values = (torch.full(shape, NAN, dtype=BF16, device=DEVICE) for _ in range(2))
    assert keys.numel() > 2**31 or not ON_GPU
    own = torch.arange(num_blocks - 1, num_blocks - 7, -1, device=DEVICE)
    k, v = (torch.randn(length, num_heads, head_dim, device=DEVICE).to(BF16) for _ in range(2))
    positions = torch.arange(length, device=DEVICE)
    slots = own[positions // block_size] * block_size + positions % block_size
    kernels.write_cache(k, v, keys, values, slots)
    assert torch.equal(keys.view(-1, num_heads, head_dim)[slots], k)
    assert keys[: num_blocks - 6].isnan().all(), "another block was written"
    q, scale = queries(length, 16, head_dim, BF16), head_dim**-0.5
    wanted = reference(q, k, v, scale)
    tables, lens = own[None].int(), whole([length])
    for num_splits in (1, 4):
        got = kernels.paged_decode(q[-1:], keys, values, tables, lens, scale, num_splits)
        assert_near(got, wanted[-1:])
    assert_near(kernels.paged_prefill(q, keys, values, tables, whole([0, length]), lens, length, scale), wanted)


@pytest.mark.parametrize("dtype", [FP32, BF16])
@pytest.mark.parametrize("block_size", [16, 64])
def test_a_step_mixes_decoding_and_chunks(kernels: Any, dtype: torch.dtype, block_size: int) -> None:
    attention = import_module("ivl.engine.gpu_attention").TritonAttention
    chunks = [(1, 30), (1, 65), (1, 1), (40, 40), (17, 100), (1, 5)]
    cache = fill_cache([context for _, context in chunks], 2, 64, block_size, dtype)
    both = torch.full((2, 2, *cache.keys.shape), NAN, dtype=dtype, device=DEVICE)
    both[0, 1], both[1, 1] = cache.keys, cache.values  # layer 1 of 2
    new = [(k[-n:], v[-n:]) for (n, _), (k, v) in zip(chunks, cache.kept, strict=True)]
    slots = []
    for row, (length, context) in enumerate(chunks):
        positions = torch.arange(context - length, context, device=DEVICE)
        slots.append(cache.tables[row, positions // block_size].long() * block_size + positions % block_size)
    both.view(2, 2, -1, 2, 64)[:, 1, torch.cat(slots)] = NAN  # the step itself writes them
    step = attention(
        key_cache=both[0], value_cache=both[1], slots=torch.cat(slots), block_tables=cache.tables,
        context_lens=cache.lens, num_decodes=3, cu_seqlens=whole([0, 40, 57, 58]), max_query_len=40, num_splits=2,
    )  # fmt: skip
    q = queries(61, 4, 64, dtype)
    out = step(1, q, torch.cat([k for k, _ in new]), torch.cat([v for _, v in new]))
    at = 0
    for (length, _), (k, v) in zip(chunks, cache.kept, strict=True):
        assert_near(out[at : at + length], reference(q[at : at + length], k, v, 64**-0.5))
        at += length
    assert both[:, 0].isnan().all(), "another layer was written"


def test_a_replayed_step_takes_new_lengths(kernels: Any) -> None:
    """What a CUDA graph keeps is the grid: with other lengths, blocks and padding rows the result is right again."""
    attention = import_module("ivl.engine.gpu_attention").TritonAttention
    caches = torch.full((2, 1, 64, 16, 2, 64), NAN, dtype=BF16, device=DEVICE)
    tables = torch.zeros(4, 60, dtype=torch.int32, device=DEVICE)
    step = attention(
        key_cache=caches[0], value_cache=caches[1], slots=torch.full((4,), -1, device=DEVICE), block_tables=tables,
        context_lens=whole([0] * 4), num_decodes=4, cu_seqlens=None, max_query_len=0, num_splits=4,
    )  # fmt: skip
    q, k, v = (queries(4, heads, 64, BF16) for heads in (4, 2, 2))
    replay = record(lambda: step(0, q, k, v))
    for lengths in ([50, 7, 0, 0], [9, 333, 65, 0]):
        cache = fill_cache(lengths, 2, 64, 16, BF16, spare=64 - sum(-(-length // 16) for length in lengths))
        caches[0, 0], caches[1, 0] = cache.keys, cache.values
        tables[:, : cache.tables.shape[1]] = cache.tables
        step.context_lens.copy_(cache.lens)
        out = replay()
        for row, (keys, values) in enumerate(cache.kept):
            if len(keys):
                assert_near(out[row : row + 1], reference(q[row : row + 1], keys, values, 0.125))
            else:
                assert not out[row].any()


def record(step: Callable[[], Tensor]) -> Callable[[], Tensor]:
    """What runs the step again and gives its output: a CUDA graph's replay on a GPU."""
    out = step()
    if not ON_GPU:
        return step
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        out = step()

    def replay() -> Tensor:
        graph.replay()
        return out

    return replay


@pytest.mark.parametrize(
    ("rows", "context", "splits"), [(1, 3378, 64), (64, 1900, 1), (8, 1900, 8), (1, 1, 1), (0, 0, 1), (64, 16384, 4)]
)
def test_splits_fill_the_gpu(kernels: Any, rows: int, context: int, splits: int) -> None:
    assert kernels.choose_splits(rows, 8, context, 132) == splits


def test_splits_stay_in_bounds(kernels: Any) -> None:
    for rows in range(1, 300, 7):
        for context in (1, 63, 64, 65, 1000, 200_000):
            splits = kernels.choose_splits(rows, 2, context, 132)
            assert splits in [1, 2, 4, 8, 16, 32, 64, 128]
