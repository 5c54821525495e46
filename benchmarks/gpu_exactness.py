"""The GPU engine against itself on InternVL2-2B's exact shape: graphs against eager steps, paged against packed.

    python benchmarks/gpu_exactness.py --out benchmarks/results/gpu-exactness.json

Random bf16 weights, prompts of one to seven tiles, eight requests at once. Every engine is made to say the same tokens
(a mask allows only the next token of a script), so that logits can be compared position by position:

- packed: one forward of the model over the whole sequence, SDPA, no cache: the reference
- eager: the engine without graphs; graphs: the engine as it is; chunked: prompts in pieces of 512 tokens
- reference in float32, on the same weights: how far bf16 itself is from the truth
"""

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import torch
from measuring import Circumstances, circumstances, write_result
from torch import Tensor

from ivl.engine import EngineCore, Request, SamplingParams
from ivl.engine.sequence import Chunk
from ivl.explain.speed import random_model
from ivl.model.config import InternVLConfig
from ivl.model.family import FAMILY
from ivl.model.fused import apply_fused
from ivl.model.internvl import InternVL
from ivl.types import EngineConfig

NEW_TOKENS = 24
TILES = (1, 2, 7, 0, 1, 3, 0, 5)


@dataclass(frozen=True, kw_only=True)
class Result:
    """Relative errors (norm of the difference / norm of the reference) of all logits, and the largest difference."""

    circumstances: Circumstances
    device: str
    shape: str
    sequences: int
    positions: int
    graphs_vs_eager: dict[str, float]
    graphs_vs_packed: dict[str, float]
    eager_vs_packed: dict[str, float]
    chunked_vs_packed: dict[str, float]
    packed_vs_float32: dict[str, float]
    graphs_vs_float32: dict[str, float]
    greedy_equal: float
    """Share of positions at which the engine's most likely token is that of the packed forward."""
    largest_margin_of_difference: float
    """Where they differ: the packed forward's largest gap between its first two logits."""


class Script:
    """A `TokenMask` that allows one prepared token after another."""

    def __init__(self, tokens: list[int], vocab_size: int) -> None:
        self.tokens = iter(tokens)
        self.words = -(-vocab_size // 32)

    def bitmask(self) -> Tensor:
        token = next(self.tokens)
        mask = torch.zeros(self.words, dtype=torch.int64)
        mask[token // 32] = 1 << (token % 32)
        return torch.where(mask >= 2**31, mask - 2**32, mask).to(torch.int32)

    def accept(self, token_id: int) -> None:
        """The script knows already."""


@torch.inference_mode()
def main() -> None:
    """Compare, print, write."""
    args = arguments()
    config = FAMILY[args.shape]
    torch.manual_seed(0)  # of prompts and scripts
    model = random_model(config, args.device, torch.bfloat16)
    prompts = list(make_prompts(config, args.device))
    scripts = [torch.randint(0, config.text.vocab_size, (NEW_TOKENS,)).tolist() for _ in prompts]
    packed = [forward(model, *prompt, script) for prompt, script in zip(prompts, scripts, strict=True)]
    model.float()
    exact = [forward(model, *prompt, script) for prompt, script in zip(prompts, scripts, strict=True)]
    apply_fused(model.bfloat16())
    graphs = engine_logits(model, prompts, scripts, chunk=8192, graphs=True)
    eager = engine_logits(model, prompts, scripts, chunk=8192, graphs=False)
    chunked = engine_logits(model, prompts, scripts, chunk=512, graphs=True)
    top = torch.cat(packed).float().topk(2).values
    margins = (top[:, 0] - top[:, 1])[torch.cat(packed).argmax(-1) != torch.cat(graphs).argmax(-1)]
    result = Result(
        circumstances=circumstances(),
        device=torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu",
        shape=args.shape,
        sequences=len(prompts),
        positions=sum(map(len, packed)),
        graphs_vs_eager=differ(graphs, eager),
        graphs_vs_packed=differ(graphs, packed),
        eager_vs_packed=differ(eager, packed),
        chunked_vs_packed=differ(chunked, packed),
        packed_vs_float32=differ(packed, exact),
        graphs_vs_float32=differ(graphs, exact),
        greedy_equal=1 - len(margins) / sum(map(len, packed)),
        largest_margin_of_difference=float(margins.max()) if len(margins) else 0.0,
    )
    write_result(args.out, result)
    for name, value in vars(result).items():
        print(f"{name:30} {value}")


def make_prompts(config: InternVLConfig, device: str) -> Iterator[tuple[Tensor, Tensor | None]]:
    """Ids and tiles; lengths differ."""
    image_token = config.image_token_id
    assert image_token is not None, "the shape names no image token"
    for index, tiles in enumerate(TILES):
        text = torch.randint(0, image_token, (40 + 97 * index,))
        ids = torch.cat((text[:20], torch.full((tiles * config.tokens_per_tile,), image_token), text[20:]))
        size = config.image_size
        yield ids.to(device), torch.randn(tiles, 3, size, size).to(device) if tiles else None


def forward(model: InternVL, ids: Tensor, pixels: Tensor | None, script: list[int]) -> Tensor:
    """(NEW_TOKENS, V) logits of one packed forward over the prompt and the script."""
    whole = torch.cat((ids, ids.new_tensor(script[:-1])))
    logits = model(whole, pixels).logits if pixels is not None else model(whole).logits
    out: Tensor = logits[-NEW_TOKENS:].float().cpu()
    return out


def engine_logits(
    model: InternVL,
    prompts: list[tuple[Tensor, Tensor | None]],
    scripts: list[list[int]],
    chunk: int,
    graphs: bool,
) -> list[Tensor]:
    """(NEW_TOKENS, V) logits for each prompt, all in one batch, the engine being made to follow the scripts."""
    config = EngineConfig(
        session_len=8192, max_prefill_token_num=chunk, enable_prefix_caching=False, vision_cache_bytes=0, block_size=64
    )
    core = EngineCore(model, config, blocks=1024)
    if not graphs:
        core.runner.backend.decode = lambda *_: None  # type: ignore[method-assign]
    seen: dict[int, list[Tensor]] = {}
    ids = []
    vocab_size = model.config.text.vocab_size
    for (input_ids, pixels), script in zip(prompts, scripts, strict=True):
        mask = Script(script, vocab_size)
        sampling = SamplingParams(max_new_tokens=NEW_TOKENS)
        ids.append(
            core.add(Request(input_ids=input_ids.cpu(), pixel_values=pixels, sampling=sampling, token_mask=mask))
        )
    run = core.runner.run

    def spying(chunks: list[Chunk]) -> tuple[list[Chunk], Tensor]:
        due, logits = run(chunks)
        for each, row in zip(due, logits, strict=True):
            seen.setdefault(each.sequence.id, []).append(row.float().cpu())
        return due, logits

    core.runner.run = spying  # type: ignore[method-assign]
    while core.has_work:
        for _, outcome in core.step():
            if isinstance(outcome, Exception):
                raise outcome
    core.close()
    return [torch.stack(seen[request_id]) for request_id in ids]


def differ(ours: list[Tensor], theirs: list[Tensor]) -> dict[str, float]:
    """Relative norm of the difference, and its largest entry."""
    a, b = torch.cat(ours), torch.cat(theirs)
    return {"relative": float((a - b).norm() / b.norm()), "largest": float((a - b).abs().max())}


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--shape", default="InternVL2-2B", choices=sorted(FAMILY))
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "gpu-exactness.json")
    return parser.parse_args()


if __name__ == "__main__":
    main()
