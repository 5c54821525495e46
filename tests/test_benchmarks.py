"""The benchmark scripts measure what they say: the same work, in turns, with their circumstances."""

import json
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).parents[1] / "benchmarks"))

import cpu_concurrent
import cpu_vs_transformers as script
import gpu_course
import gpu_workloads
from contestants import Answer, Contestant, transformers_model
from gpu_course import Course
from measuring import circumstances, pairwise_ratio, take_turns, write_result
from stand_in import Prompt, make_config, make_model, make_prompt

from ivl.explain.ceilings import Ceilings
from ivl.model.config import InternVLConfig
from ivl.model.family import FAMILY
from ivl.model.internvl import InternVL


def small(decoder: str = "internlm2") -> InternVLConfig:
    config = make_config(decoder)  # type: ignore[arg-type]
    vision = replace(config.vision, hidden_size=32, num_layers=1, num_heads=2, intermediate_size=48, image_size=56)
    text = replace(config.text, hidden_size=48, num_layers=2, head_dim=8, intermediate_size=64)
    return replace(config, vision=vision, text=text, image_size=56)


@pytest.mark.slow
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


@pytest.mark.slow
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


@pytest.mark.slow
def test_many_at_once_beside_many_in_a_row(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cpu_concurrent, "make_large_config", small)
    words = ["--models", "287M", "--requests", "3", "--new-tokens", "4", "--rounds", "2", "--repeats", "1", "--threads"]
    result = cpu_concurrent.main([*words, "2", "--out", str(tmp_path / "result.json")])
    (model,) = result.models
    many = model.concurrent
    assert (many.requests, many.new_tokens, many.different_answers) == (3, 4, 0)
    ratios = [theirs / ours for theirs, ours in zip(many.theirs_s, many.ours_s, strict=True)]
    assert many.speedup == sum(ratios) / 2
    assert model.single.prompt_tokens == 4 + 50
    assert model.quantized is not None
    assert len(model.quantized.int8_tokens_per_s) == len(model.quantized.float32_tokens_per_s) == 1
    written = json.loads((tmp_path / "result.json").read_text("utf-8"))
    assert written["models"][0]["concurrent"]["speedup"] == many.speedup
    assert written["circumstances"]["commit"]


@pytest.mark.slow
def test_other_answers_are_counted_and_many_are_no_comparison() -> None:
    prompts = [make_prompt(small(), tiles=1, text_tokens=2, seed=seed) for seed in range(8)]

    def side(wrong: int) -> cpu_concurrent.Batch:
        return lambda prompts, new_tokens: [[int(number < wrong)] for number in range(len(prompts))]

    assert cpu_concurrent.compare_batches(side(0), side(1), prompts, 1, rounds=2).different_answers == 2
    with pytest.raises(RuntimeError, match="4 of 16 answers differ"):
        cpu_concurrent.compare_batches(side(0), side(2), prompts, 1, rounds=2)


TINY = ["--shape", "tiny", "--device", "cpu", "--dtype", "float32", "--new-tokens", "3", "--limit-s", "0"]


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Ceilings are measured in no time, pictures are as small as the tiles, and threads do not wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    rates = Ceilings(product_flop_per_s=1e12, read_bytes_per_s=1e12, copy_bytes_per_s=1e12)
    monkeypatch.setattr(gpu_workloads, "measure_ceilings", lambda device, dtype: rates)
    monkeypatch.setattr(gpu_course, "LARGE", (224, 168))
    monkeypatch.setattr(gpu_course, "MEDIUM", (168, 112))
    yield
    torch.set_num_threads(threads)


@pytest.mark.slow
def test_every_workload_runs_for_both(quick: None, tmp_path: Path) -> None:
    out = tmp_path / "gpu.json"
    result = gpu_workloads.main([*TINY, "--requests", "2", "3", "--out", str(out)])
    assert result.failures == []
    names = {name: [done.workload for done in result.measured if done.contestant == name] for name in BOTH}
    starts = [f"first token, {tiles} tiles, from {start}" for tiles in (13, 1) for start in STARTS]
    common = ["vision 13", "vision 52", *starts, "decode, context 102", "throughput 2, from tensors"]
    assert set(names["transformers"]) == {*common, "throughput 2, from pictures"}
    assert set(names["ivl"]) == {*names["transformers"], "throughput 3, from tensors", "throughput 3, from pictures"}
    for done in result.measured:
        assert done.floor_s > 0
        assert done.share == done.floor_s / done.median_s
        assert done.best_s <= done.median_s
    written = json.loads(out.read_text("utf-8"))
    assert len(written["measured"]) == len(result.measured)
    assert written["ceilings"]["read_bytes_per_s"] == 1e12


BOTH, STARTS = ("ivl", "transformers"), ("tensors", "picture", "jpeg")


def test_one_failure_does_not_lose_the_others(quick: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> float:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(gpu_workloads.Ivl, "answer_all", fail)
    words = ["--contestant", "ivl", "--only", "throughput", "--requests", "2", "--out", str(tmp_path / "gpu.json")]
    result = gpu_workloads.main([*TINY, *words])
    assert [failure.workload for failure in result.failures] == ["throughput 2, from tensors"]
    assert "RuntimeError" in result.failures[0].error
    assert "out of memory" in result.failures[0].error
    assert [done.workload for done in result.measured] == ["throughput 2, from pictures"]


def test_the_workloads_are_the_published_ones() -> None:
    ceilings = Ceilings(product_flop_per_s=788e12, read_bytes_per_s=3051e9, copy_bytes_per_s=3000e9)
    course = Course(
        contestant=None, config=FAMILY["InternVL2-2B"], ceilings=ceilings, device="cpu", dtype=torch.bfloat16,
        new_tokens=128, requests=(64, 256), is_quick=False,
    )  # fmt: skip
    floors = {workload.name: workload for workload in course.workloads()}
    assert floors["vision 13"].floor_s == pytest.approx(12.05e-3, rel=2e-3)
    assert floors["vision 52"].floor_s == pytest.approx(48.2e-3, rel=2e-3)
    assert floors["first token, 13 tiles, from tensors"].floor_s == pytest.approx(26.4e-3, rel=2e-3)
    assert floors["first token, 1 tiles, from jpeg"].floor_s == pytest.approx(2.11e-3, rel=1e-2)
    decode = floors["decode, context 3378"]
    assert decode.floor_s / decode.amount == pytest.approx(1.225e-3, rel=2e-3)
    assert floors["throughput 64, from tensors"].floor_s == pytest.approx(1.54, rel=5e-3)
    assert floors["throughput 256, from pictures"].floor_s == pytest.approx(5.75, rel=5e-3)
