"""On a GPU, through CUDA graphs, allowed tokens and begun answers give what they give on a CPU."""

from collections.abc import Iterator

import pytest
import torch

import ivl
from ivl.session import Pipeline

pytestmark = pytest.mark.gpu

PROMPTS = [
    [{"role": "user", "content": f"Which of these {number}? A, B, C or D"}, {"role": "assistant", "content": begun}]
    for number in range(8)
    for begun in ("", "The answer is ", "为（")
]


def made(device: str) -> Pipeline:
    return ivl.pipeline(engine_config=ivl.EngineConfig(device=device, dtype="float32"))


@pytest.fixture(scope="module")
def on_gpu() -> Iterator[Pipeline]:
    torch.backends.cuda.matmul.allow_tf32 = False
    with made("cuda") as pipe:
        yield pipe


@pytest.fixture(scope="module")
def on_cpu() -> Iterator[Pipeline]:
    with made("cpu") as pipe:
        yield pipe


@pytest.mark.parametrize("count", [1, 12])
def test_allowed_tokens_and_begun_answers(on_gpu: Pipeline, on_cpu: Pipeline, count: int) -> None:
    letters = on_gpu.processor.tokenizer.encode("\nABCD")[1:]
    config = ivl.GenerationConfig(max_new_tokens=count, do_sample=False, allowed_token_ids=tuple(letters))
    got = [response.token_ids for response in on_gpu(PROMPTS, gen_config=config)]
    assert got == [response.token_ids for response in on_cpu(PROMPTS, gen_config=config)]
    assert {len(ids) for ids in got} == {count}
    assert set().union(*got) <= set(letters)
