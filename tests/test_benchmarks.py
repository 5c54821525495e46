"""The benchmark scripts measure what they say: the same work, in turns, with their circumstances."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import cpu_vs_transformers as script
from contestants import Answer, Contestant, transformers_model
from measuring import circumstances, pairwise_ratio, take_turns, write_result
from stand_in import Prompt, make_config, make_model, make_prompt

from ivl.model.config import InternVLConfig
from ivl.model.internvl import InternVL


def small(decoder: str = "internlm2") -> InternVLConfig:
    config = make_config(decoder)  # type: ignore[arg-type]
    vision = replace(config.vision, hidden_size=32, num_layers=1, num_heads=2, intermediate_size=48, image_size=56)
    text = replace(config.text, hidden_size=48, num_layers=2, head_dim=8, intermediate_size=64)
    return replace(config, vision=vision, text=text, image_size=56)


@pytest.mark.parametrize("decoder", ["internlm2", "qwen2"])
def test_ours_and_theirs_give_the_same_tokens(decoder: str, tmp_path: Path) -> None:
    config = small(decoder)
    ours, theirs = script.contestants(config)
    case = script.compare(ours, theirs, make_prompt(config, tiles=2, text_tokens=5), new_tokens=6, repeats=2)
    assert (case.tiles, case.prompt_tokens, case.new_tokens) == (2, 2 * 4 + 5, 6)
    assert set(case.timings) == {"ivl", case.theirs}
    for timings in case.timings.values():
        assert len(timings.first_token_s) == len(timings.tokens_per_s) == 2
        assert min(timings.first_token_s + timings.tokens_per_s) > 0
    assert case.theirs in script.report(case)
    result = script.Result(circumstances=circumstances(), parameters=1, config=config, cases=[case])
    write_result(tmp_path / "new" / "result.json", result)
    written = json.loads((tmp_path / "new" / "result.json").read_text("utf-8"))
    assert written["cases"][0]["timings"]["ivl"]["tokens_per_s"] == case.timings["ivl"].tokens_per_s
    assert written["config"]["text"]["decoder"] == decoder
    needed = ("processor", "cores", "threads", "versions", "command", "commit")
    assert all(written["circumstances"][name] for name in needed)


def test_transformers_has_the_very_weights_and_sdpa() -> None:
    model = make_model(small())
    theirs = transformers_model(model)
    assert theirs.config._attn_implementation == "sdpa"
    assert theirs.dtype == torch.float32
    table = theirs.get_input_embeddings().weight
    assert torch.equal(table, model.language_model.embed_tokens.weight)
    assert sum(p.numel() for p in theirs.parameters()) == sum(p.numel() for p in model.parameters())


def test_the_stand_in_is_what_the_tables_say() -> None:
    with torch.device("meta"):
        model = InternVL(make_config())
    assert 49e6 < sum(p.numel() for p in model.parameters()) < 52e6
    prompt = make_prompt(small(), tiles=3, text_tokens=7)
    assert prompt.input_ids.tolist().count(small().image_token_id) == 3 * small().tokens_per_tile
    assert prompt.pixel_values.shape == (3, 3, 56, 56)


def fake(name: str, log: list[str], tokens: list[int], first_token_s: float) -> Contestant:
    def answer(prompt: Prompt, new_tokens: int) -> Answer:
        log.append(name)
        return Answer(token_ids=tokens, first_token_s=first_token_s, tokens_per_s=1.0)

    return answer


def test_contestants_take_turns() -> None:
    log: list[str] = []
    prompt = make_prompt(small(), tiles=1, text_tokens=2)
    timings = take_turns({"a": fake("a", log, [1], 2.0), "b": fake("b", log, [1], 3.0)}, prompt, 1, repeats=3)
    assert log == ["a", "b"] * 3
    assert timings["a"].first_token_s == [2.0] * 3
    assert timings["b"].first_token_s == [3.0] * 3


@pytest.mark.parametrize(("theirs", "place"), [([1, 3], "token 1"), ([1], "token 1")])
def test_other_tokens_are_no_comparison(theirs: list[int], place: str) -> None:
    prompt = make_prompt(small(), tiles=1, text_tokens=2)
    contestants = {"a": fake("a", [], [1, 2], 1.0), "b": fake("b", [], theirs, 1.0)}
    with pytest.raises(RuntimeError, match=f"a and b differ at new {place}"):
        take_turns(contestants, prompt, 2, repeats=1)


def test_pairs_outweigh_a_busy_moment() -> None:
    assert pairwise_ratio([1.0, 8.0, 1.0], [2.0, 16.0, 2.0]) == 0.5
