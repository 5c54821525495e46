"""What training writes answers in a pipeline as the merged model does: beside the base, or merged where it must be."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import ivl
from ivl.errors import AdapterError
from ivl.model.adapter_io import Adapter
from ivl.model.adapter_merge import merge
from ivl.model.adapter_write import LoraSettings, TrainedAdapter, write_adapter
from random_adapter import make_adapter

GREEDY = ivl.GenerationConfig(max_new_tokens=16, ignore_eos=True, logprobs=0)
QUESTION = "What is in this image?"
CPU = ivl.EngineConfig(device="cpu")
KINDS: dict[str, dict[str, Any]] = {
    "connector": {"parts": ("language_model",), "replaced": ("connector.",)},
    "dora": {"dora": True, "replaced": ("connector.",)},
    "vision": {"parts": ("language_model",), "replaced": ("connector.", "vision_model.")},
    "vocabulary": {
        "ends": ("q_proj",),
        "dora": True,
        "replaced": ("language_model.embed_tokens", "language_model.lm_"),
    },
}


@pytest.fixture(scope="module")
def base(tiny_folder: Callable[[str], Path]) -> Path:
    return tiny_folder("tiny-internlm2")


def make(base: Path, kind: str, folder: Path) -> Adapter:
    """An adapter as a run writes it, in float32; and the same in memory."""
    config = ivl.load_config(base)
    adapter = make_adapter(1, config, scale=2.0, **KINDS[kind])
    adapter = replace(
        adapter,
        weights={
            path: replace(
                w, a=w.a.float(), b=w.b.float(), magnitude=w.magnitude if w.magnitude is None else w.magnitude.float()
            )
            for path, w in adapter.weights.items()
        },
        replaced={name: tensor.float() for name, tensor in adapter.replaced.items()},
    )
    trained = TrainedAdapter(
        lora={path: (weight.a, weight.b) for path, weight in adapter.weights.items()},
        magnitudes={path: w.magnitude for path, w in adapter.weights.items() if w.magnitude is not None},
        replaced=adapter.replaced,
    )
    write_adapter(folder, trained, LoraSettings(r=3, lora_alpha=6), config)
    return adapter


def merged_folder(base: Path, adapter: Adapter, folder: Path) -> Path:
    """The model that the adapter makes, as a folder of its own."""
    model = ivl.load_model(base)
    merge(model, adapter)
    ivl.save_model(model, folder)
    for path in base.iterdir():
        if not (folder / path.name).exists() and path.suffix != ".safetensors":
            shutil.copy(path, folder)
    return folder


def answers(pipe: Any, image: Image.Image, **call: str) -> list[tuple[int, ...]]:
    return [response.token_ids for response in pipe(["Hello", (QUESTION, image)], GREEDY, **call)]


@pytest.mark.parametrize("kind", KINDS)
def test_a_trained_adapter_answers_as_the_merged_model(kind: str, base: Path, tmp_path: Path) -> None:
    image = Image.linear_gradient("L").resize((56, 56)).convert("RGB")
    adapter = make(base, kind, tmp_path / "adapter")
    with ivl.pipeline(merged_folder(base, adapter, tmp_path / "merged"), engine_config=CPU) as pipe:
        wanted = answers(pipe, image)
    with ivl.pipeline(base, engine_config=CPU) as pipe:
        alone = answers(pipe, image)
    with ivl.pipeline(base, adapter=tmp_path / "adapter", engine_config=CPU) as pipe:
        assert answers(pipe, image) == wanted
        is_beside = kind in ("connector", "dora")
        assert pipe.adapter == ("adapter" if is_beside else None)
        assert pipe.engine.call(lambda core: core.runner.adapters.names) == (("adapter",) if is_beside else ())
    assert all(one != other for one, other in zip(wanted, alone, strict=True)), "the adapter changes nothing"


def test_the_base_is_still_there_beside_a_trained_connector(base: Path, tmp_path: Path) -> None:
    image = Image.linear_gradient("L").resize((56, 56)).convert("RGB")
    make(base, "connector", tmp_path / "adapter")
    with ivl.pipeline(base, engine_config=CPU) as pipe:
        alone = answers(pipe, image)
        pipe.load_adapter("menu", tmp_path / "adapter")
        assert answers(pipe, image) == alone
        changed = answers(pipe, image, adapter="menu")
        assert changed[0] != alone[0]
        assert changed[1] != alone[1]
        assert answers(pipe, image) == alone
        assert answers(pipe, image, adapter="menu") == changed


def test_what_must_be_merged_cannot_be_one_of_several(base: Path, tmp_path: Path) -> None:
    make(base, "vocabulary", tmp_path / "adapter")
    with pytest.raises(
        AdapterError, match=r"cannot run beside the base: merge it first, or give it as the pipeline's only"
    ):
        ivl.pipeline(base, adapter={"words": tmp_path / "adapter"}, engine_config=CPU)


def test_an_adapter_meets_int8_weights(base: Path, tmp_path: Path) -> None:
    """DoRA needs the weights in floats: it is merged before they are quantised."""
    int8 = replace(CPU, quantization="int8")
    for kind, beside in (("connector", ("adapter",)), ("dora", ())):
        make(base, kind, tmp_path / kind / "adapter")
        with ivl.pipeline(base, adapter=tmp_path / kind / "adapter", engine_config=int8) as pipe:
            assert pipe.engine.call(lambda core: core.runner.adapters.names) == beside
            assert pipe("Hello", GREEDY).generate_token_len == 16
    torch.set_num_threads(2)
