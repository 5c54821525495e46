"""Sixteen requests at once through ivl's engine beside sixteen in a row through transformers, on a CPU.

    python benchmarks/cpu_concurrent.py

Also one request by itself (time to first token, decoding), and decoding with int8 weights beside float32 in ours. On
the small model in the package and on a model of 287 million parameters; each request has a picture of one tile and 50
text tokens, all different, and gets 64 new tokens. Everything in one run, in turns, medians. Writes
benchmarks/results/cpu-concurrent.json; takes about twenty minutes on two quiet cores.
"""

import argparse
import gc
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import torch
from contestants import (
    Answer,
    Contestant,
    engine_contestant,
    make_core,
    request,
    token_of,
    transformers_generate,
    transformers_model,
)
from cpu_vs_transformers import Case, compare
from cpu_vs_transformers import report as case_report
from measuring import Circumstances, circumstances, pairwise_ratio, write_result
from stand_in import Prompt, make_large_config, make_model, make_prompt

from ivl.engine import EngineCore
from ivl.model import load_model
from ivl.model.internvl import InternVL
from ivl.zoo import nano_folder

TILES, TEXT_TOKENS = 1, 50
RESULT = Path(__file__).parent / "results" / "cpu-concurrent.json"
SMALL = nano_folder().name
Batch = Callable[[list[Prompt], int], list[list[int]]]
"""Prompts and a number of new tokens -> the new tokens of each."""


@dataclass(frozen=True, kw_only=True)
class Concurrent:
    """Many requests, at once and in a row."""

    requests: int
    new_tokens: int
    ours_s: list[float]
    theirs_s: list[float]
    speedup: float
    """Theirs / ours, the median of the rounds: above 1, ours finish sooner."""
    different_answers: int
    """Of all rounds: rounding may turn a token whose rival is as likely."""


@dataclass(frozen=True, kw_only=True)
class Quantized:
    """One request at a time through ours, with float32 and with int8 weights."""

    float32_tokens_per_s: list[float]
    int8_tokens_per_s: list[float]
    tokens_per_s_ratio: float
    """int8 / float32, the median of the rounds."""
    float32_first_token_s: list[float]
    int8_first_token_s: list[float]


@dataclass(frozen=True, kw_only=True)
class Model:
    """Everything about one model."""

    name: str
    parameters: int
    single: Case
    concurrent: Concurrent
    quantized: Quantized | None


@dataclass(kw_only=True)
class Result:
    """A whole run, as far as it has come."""

    circumstances: Circumstances
    models: list[Model] = field(default_factory=list)


def main(argv: list[str] | None = None) -> Result:
    """Measure, print, write."""
    args = arguments(argv)
    torch.set_num_threads(args.threads)
    result = Result(circumstances=circumstances())
    makers = {SMALL: lambda: load_model(nano_folder()), "287M": lambda: make_model(make_large_config())}
    for name in args.models:
        result.models.append(measure(name, makers[name], args))
        write_result(args.out, result)
        print(report(result.models[-1]), flush=True)
    where = result.circumstances
    print(f"{where.processor}, {where.threads} threads, load before {where.load_before}; {args.out}")
    return result


def measure(name: str, make: Callable[[], InternVL], args: argparse.Namespace) -> Model:
    """All figures of one model."""
    model = make()
    parameters = sum(parameter.numel() for parameter in model.parameters())
    prompts = [make_prompt(model.config, TILES, TEXT_TOKENS, seed) for seed in range(1, args.requests + 1)]
    twin = transformers_model(model)
    theirs = {f"transformers, {cache} cache": transformers_generate(twin, cache) for cache in ("dynamic", "static")}
    core = make_core(model)
    ours = engine_contestant(core)
    for contestant in (ours, *theirs.values()):
        contestant(prompts[0], min(4, args.new_tokens))  # warm up
    single = compare(ours, theirs, prompts[0], args.new_tokens, args.repeats)
    print(f"{name}\n{case_report(single)}", flush=True)
    row = in_a_row(theirs[single.theirs])
    concurrent = compare_batches(at_once(core), row, prompts, args.new_tokens, args.rounds)
    del twin, theirs, row
    gc.collect()
    quantized = compare_int8(ours, make(), prompts[0], args) if name in args.int8 else None
    return Model(name=name, parameters=parameters, single=single, concurrent=concurrent, quantized=quantized)


def at_once(core: EngineCore) -> Batch:
    """All prompts together through our engine."""

    def answer(prompts: list[Prompt], new_tokens: int) -> list[list[int]]:
        tokens: dict[int, list[int]] = {core.add(request(prompt, new_tokens)): [] for prompt in prompts}
        while core.has_work:
            for request_id, output in core.step():
                tokens[request_id].append(token_of(output))
        return list(tokens.values())

    return answer


def in_a_row(contestant: Contestant) -> Batch:
    """One prompt after another."""
    return lambda prompts, new_tokens: [contestant(prompt, new_tokens).token_ids for prompt in prompts]


def compare_batches(ours: Batch, theirs: Batch, prompts: list[Prompt], new_tokens: int, rounds: int) -> Concurrent:
    """Both in turns. Raises RuntimeError when more than one answer in eight differs: then the work was another."""
    ours(prompts[:2], 2)  # warm up
    seconds: dict[Batch, list[float]] = {ours: [], theirs: []}
    different = 0
    for _ in range(rounds):
        answers = []
        for side in (ours, theirs):
            gc.collect()
            begun = time.perf_counter()
            answers.append(side(prompts, new_tokens))
            seconds[side].append(time.perf_counter() - begun)
        different += sum(a != b for a, b in zip(*answers, strict=True))
    if 8 * different > rounds * len(prompts):
        raise RuntimeError(f"{different} of {rounds * len(prompts)} answers differ: there is nothing to compare")
    return Concurrent(
        requests=len(prompts),
        new_tokens=new_tokens,
        ours_s=seconds[ours],
        theirs_s=seconds[theirs],
        speedup=pairwise_ratio(seconds[theirs], seconds[ours]),
        different_answers=different,
    )


def compare_int8(float32: Contestant, model: InternVL, prompt: Prompt, args: argparse.Namespace) -> Quantized:
    """Ours with float32 and with int8 weights, in turns; `model` becomes the latter."""
    int8 = engine_contestant(make_core(model, quantization="int8"))
    int8(prompt, min(4, args.new_tokens))  # warm up
    answers: dict[str, list[Answer]] = {"float32": [], "int8": []}
    for _ in range(args.repeats):
        for name, contestant in (("float32", float32), ("int8", int8)):
            gc.collect()
            answers[name].append(contestant(prompt, args.new_tokens))
    rates = {name: [answer.tokens_per_s for answer in each] for name, each in answers.items()}
    return Quantized(
        float32_tokens_per_s=rates["float32"],
        int8_tokens_per_s=rates["int8"],
        tokens_per_s_ratio=pairwise_ratio(rates["int8"], rates["float32"]),
        float32_first_token_s=[answer.first_token_s for answer in answers["float32"]],
        int8_first_token_s=[answer.first_token_s for answer in answers["int8"]],
    )


def report(model: Model) -> str:
    """A few lines for people; the single request was told before."""
    many = model.concurrent
    ours, theirs = statistics.median(many.ours_s), statistics.median(many.theirs_s)
    lines = [
        f"  {many.requests} at once {ours:.2f} s, in a row {theirs:.2f} s: ratio {many.speedup:.2f} "
        f"({many.different_answers} answers differ)",
        f"  single: theirs / ours first token {1 / model.single.first_token_ratio:.2f}, "
        f"ours / theirs decoding {model.single.tokens_per_s_ratio:.2f}",
    ]
    if model.quantized:
        both = [model.quantized.float32_tokens_per_s, model.quantized.int8_tokens_per_s]
        rates = " and ".join(f"{statistics.median(each):.1f}" for each in both)
        lines.append(f"  float32 and int8: {rates} tokens/s, ratio {model.quantized.tokens_per_s_ratio:.2f}")
    return "\n".join(lines)


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--models", nargs="+", choices=(SMALL, "287M"), default=[SMALL, "287M"])
    parser.add_argument("--int8", nargs="*", choices=(SMALL, "287M"), default=["287M"], help="also with int8")
    parser.add_argument("--requests", type=int, default=16)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3, help="rounds of all requests")
    parser.add_argument("--repeats", type=int, default=5, help="rounds of a single request")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of each engine")
    parser.add_argument("--out", type=Path, default=RESULT, help="the results file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
