"""The engine on a GPU says what the plain loop says: kernels, CUDA graphs, preemption, prefix hits and adapters.

Run on a GPU with `pytest -m gpu`. The model is in float32 and the plain loop in float64 on the CPU; a first difference
is excused only where the plain loop's two most likely tokens are within 1e-4, and such cases are counted.
"""

import gc
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from ivl.engine import EngineCore, Request, SamplingParams, TokenOutput
from ivl.model.fused import apply_fused
from ivl.model.internvl import InternVL
from ivl.model.lora import merge
from ivl.types import EngineConfig
from random_adapter import make_adapter
from random_model import CONFIG, make_model, prompt_with_tiles, random_ids, random_tiles

pytestmark = pytest.mark.gpu

HEADS = {"num_heads": 6, "num_kv_heads": 2, "head_dim": 32}
NEW_TOKENS = 40


@pytest.fixture(scope="module")
def plain() -> InternVL:
    return make_model(CONFIG, **HEADS)


@pytest.fixture(scope="module")
def on_gpu() -> InternVL:
    torch.backends.cuda.matmul.allow_tf32 = False
    return apply_fused(make_model(CONFIG, **HEADS).float().cuda())


def prompts() -> list[tuple[Tensor, Tensor | None]]:
    """Texts and pictures of many lengths, some with a common beginning."""
    made: list[tuple[Tensor, Tensor | None]] = []
    for index in range(20):
        tiles = index % 4
        text = 3 + 5 * (index % 7)
        ids = prompt_with_tiles(tiles, text) if tiles else random_ids(8 + 11 * index, seed=index % 5)
        made.append((ids, random_tiles(tiles, seed=index).float() if tiles else None))
    return made


def run(core: EngineCore, requests: list[Request]) -> list[list[int]]:
    """The tokens of each request, half of them arriving later."""
    ids = [core.add(request) for request in requests[::2]]
    answers: dict[int, list[int]] = {}
    steps = 0
    while core.has_work or steps < 3:
        for request_id, outcome in core.step() if core.has_work else []:
            assert isinstance(outcome, TokenOutput), outcome
            answers.setdefault(request_id, []).append(outcome.token_id)
        steps += 1
        if steps == 3:
            ids += [core.add(request) for request in requests[1::2]]
    core.check_idle()
    core.scheduler.pool.check()
    ordered = [answers[request_id] for request_id in ids]
    half = len(requests[::2])
    return [ordered[index // 2 + (half if index % 2 else 0)] for index in range(len(requests))]


def excused(plain: InternVL, ids: Tensor, pixels: Tensor | None, got: list[int], want: list[int]) -> bool:
    """Whether the first difference is at a place where the plain loop itself is undecided."""
    at = next(index for index, (a, b) in enumerate(zip(got, want, strict=True)) if a != b)
    whole = torch.cat((ids, torch.tensor(want[:at], dtype=ids.dtype)))
    pixels = None if pixels is None else pixels.double()
    with torch.inference_mode():
        logits = plain(whole, pixels).logits[-1] if pixels is not None else plain(whole).logits[-1]
    top = logits.topk(2).values
    return bool(top[0] - top[1] < 1e-4)


@pytest.mark.parametrize("chunk", [16, 100, 4096])
@pytest.mark.parametrize("blocks", [40, 400])
@pytest.mark.parametrize("block_size", [16, 64])
def test_the_gpu_engine_says_what_the_plain_loop_says(
    plain: InternVL, on_gpu: InternVL, chunk: int, blocks: int, block_size: int
) -> None:
    config = EngineConfig(
        device="cuda", session_len=512, block_size=block_size, max_prefill_token_num=chunk, max_batch_size=13
    )
    core = EngineCore(on_gpu, config, blocks=blocks * 16 // block_size)
    sampling = SamplingParams(max_new_tokens=NEW_TOKENS)
    given = prompts()
    answers = run(core, [Request(input_ids=i, pixel_values=p, sampling=sampling) for i, p in given])
    num_excused = 0
    for (ids, pixels), answer in zip(given, answers, strict=True):
        want = plain.generate_greedy(ids, None if pixels is None else pixels.double(), NEW_TOKENS)
        if answer != want:
            assert excused(plain, ids, pixels, answer, want), f"{answer} instead of {want}"
            num_excused += 1
    assert num_excused <= 1, f"{num_excused} of {len(given)} answers differ where the plain loop is undecided"
    assert core.stats.preemptions > 0 or blocks > 40
    core.close()
    gc.collect()


def test_graphs_and_eager_steps_agree(on_gpu: InternVL) -> None:
    config = EngineConfig(device="cuda", session_len=512, block_size=16, max_batch_size=16)
    answers = []
    for graphs in (True, False):
        core = EngineCore(on_gpu, config, blocks=600)
        if not graphs:
            core.runner.backend.decode = lambda *_: None  # type: ignore[method-assign]
        sampling = SamplingParams(max_new_tokens=NEW_TOKENS, temperature=0.8, top_p=0.9, seed=5)
        requests = [Request(input_ids=i, pixel_values=p, sampling=sampling) for i, p in prompts()]
        answers.append(run(core, requests))
        core.close()
    assert answers[0] == answers[1]


def test_adapters_in_one_batch_answer_as_if_merged(plain: InternVL) -> None:
    config = replace(CONFIG, text=replace(CONFIG.text, **HEADS))
    adapters = {"one": make_adapter(1, config), "two": make_adapter(2, config, parts=("language_model",))}
    loops: dict[str | None, InternVL] = {None: plain}
    for name, adapter in adapters.items():
        loops[name] = make_model(CONFIG, **HEADS)
        merge(loops[name], adapter)
    model = apply_fused(make_model(CONFIG, **HEADS).float().cuda())
    core = EngineCore(model, EngineConfig(device="cuda", session_len=512, block_size=16), blocks=600)
    for name, adapter in adapters.items():
        core.load_adapter(name, adapter)
    names = [[None, "one", "two"][index % 3] for index in range(20)]
    sampling = SamplingParams(max_new_tokens=NEW_TOKENS)
    given = prompts()
    requests = [
        Request(input_ids=ids, pixel_values=pixels, sampling=sampling, adapter=name)
        for (ids, pixels), name in zip(given, names, strict=True)
    ]
    num_excused = 0
    for (ids, pixels), name, answer in zip(given, names, run(core, requests), strict=True):
        want = loops[name].generate_greedy(ids, None if pixels is None else pixels.double(), NEW_TOKENS)
        if answer != want:
            assert excused(loops[name], ids, pixels, answer, want), f"{name}: {answer} instead of {want}"
            num_excused += 1
    assert num_excused <= 1, f"{num_excused} of {len(given)} answers differ where the plain loop is undecided"
    core.close()


def test_bfloat16_runs(on_gpu: InternVL) -> None:
    model = apply_fused(make_model(replace(CONFIG), **HEADS).bfloat16().cuda())
    core = EngineCore(model, EngineConfig(device="cuda", session_len=512, block_size=64), blocks=100)
    sampling = SamplingParams(max_new_tokens=NEW_TOKENS)
    answers = run(core, [Request(input_ids=i, pixel_values=p, sampling=sampling) for i, p in prompts()])
    assert all(len(answer) == NEW_TOKENS for answer in answers)
    core.close()
