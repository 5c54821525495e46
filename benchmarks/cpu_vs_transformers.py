"""Time to first token and decoding speed of ivl beside transformers on a CPU: the same weights, one process.

    python benchmarks/cpu_vs_transformers.py

Both continue the same prompts (a picture of 1 and of 7 tiles, 50 text tokens) by 64 tokens, in float32 with
the same number of threads, in turns; the tokens must be equal. transformers runs at its best plain setting:
`generate` with SDPA attention and the faster of its dynamic and static caches for the prompt at hand. Writes
benchmarks/results/cpu-vs-transformers.json; takes about five minutes on two cores.
"""

import argparse
from dataclasses import dataclass
from pathlib import Path

import torch
from contestants import Contestant, ivl_engine, transformers_generate, transformers_model
from measuring import Circumstances, Timings, circumstances, pairwise_ratio, spread, take_turns, write_result
from stand_in import Prompt, make_config, make_model, make_prompt

from ivl.model.config import InternVLConfig

OURS = "ivl"
TEXT_TOKENS, NEW_TOKENS = 50, 64
RESULT = Path(__file__).parent / "results" / "cpu-vs-transformers.json"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One prompt's figures."""

    tiles: int
    prompt_tokens: int
    new_tokens: int
    theirs: str
    """Which setting of transformers took part."""
    timings: dict[str, Timings]
    first_token_ratio: float
    """Ours / theirs, seconds: below 1 is faster."""
    tokens_per_s_ratio: float
    """Ours / theirs, tokens per second: above 1 is faster."""


@dataclass(frozen=True, kw_only=True)
class Result:
    """A whole run."""

    circumstances: Circumstances
    parameters: int
    config: InternVLConfig
    cases: list[Case]


def main() -> None:
    """Measure, print, write."""
    args = arguments()
    torch.set_num_threads(args.threads)
    measured = circumstances()
    config = make_config(args.decoder)
    ours, theirs = contestants(config)
    take_turns({OURS: ours} | theirs, make_prompt(config, 1, TEXT_TOKENS), NEW_TOKENS, repeats=1)  # warm up
    cases = []
    for tiles in args.tiles:
        prompt = make_prompt(config, tiles, TEXT_TOKENS)
        cases.append(compare(ours, theirs, prompt, NEW_TOKENS, args.repeats))
        print(report(cases[-1]), flush=True)
    parameters = sum(p.numel() for p in make_model(config).parameters())
    write_result(args.out, Result(circumstances=measured, parameters=parameters, config=config, cases=cases))
    print(f"{measured.processor}, {measured.threads} threads; {parameters / 1e6:.1f}M parameters; {args.out}")


def contestants(config: InternVLConfig) -> tuple[Contestant, dict[str, Contestant]]:
    """Ours, and transformers' settings by name, on the same weights."""
    model = make_model(config)
    twin = transformers_model(model)
    caches = ("dynamic", "static")
    theirs = {f"transformers, {cache} cache": transformers_generate(twin, cache) for cache in caches}
    return ivl_engine(model), theirs


def compare(ours: Contestant, theirs: dict[str, Contestant], prompt: Prompt, new_tokens: int, repeats: int) -> Case:
    """Choose transformers' faster setting in one round, then let it and ours take turns."""
    trial = take_turns({OURS: ours} | theirs, prompt, new_tokens, repeats=1)
    best = max(theirs, key=lambda name: trial[name].tokens_per_s[-1])
    timings = take_turns({OURS: ours, best: theirs[best]}, prompt, new_tokens, repeats)
    return Case(
        tiles=len(prompt.pixel_values),
        prompt_tokens=len(prompt.input_ids),
        new_tokens=new_tokens,
        theirs=best,
        timings=timings,
        first_token_ratio=pairwise_ratio(timings[OURS].first_token_s, timings[best].first_token_s),
        tokens_per_s_ratio=pairwise_ratio(timings[OURS].tokens_per_s, timings[best].tokens_per_s),
    )


def report(case: Case) -> str:
    """A few lines for people."""
    ours, theirs = case.timings[OURS], case.timings[case.theirs]
    rows = [
        ("first token, s", ours.first_token_s, theirs.first_token_s, case.first_token_ratio),
        ("decode, tokens/s", ours.tokens_per_s, theirs.tokens_per_s, case.tokens_per_s_ratio),
    ]
    lines = [
        f"tiles {case.tiles}, prompt tokens {case.prompt_tokens}, new {case.new_tokens}: median (min, max)",
        f"  {'':18}{OURS:26}{case.theirs:30}ratio",
    ]
    for label, *figures, ratio in rows:
        texts = ["{median:.3g} ({least:.3g}, {most:.3g})".format(**spread(values)) for values in figures]
        lines.append(f"  {label:18}{texts[0]:26}{texts[1]:30}{ratio:.3f}")
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--tiles", type=int, nargs="+", default=[1, 7], help="tiles of the picture, a case each")
    parser.add_argument("--repeats", type=int, default=7, help="rounds of each case")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of each engine")
    parser.add_argument("--decoder", choices=("internlm2", "qwen2"), default="internlm2")
    parser.add_argument("--out", type=Path, default=RESULT, help="the results file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
