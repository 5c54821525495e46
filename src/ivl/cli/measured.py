"""What `ivl bench` measures: an engine made for it, its workloads, and the report.

In: the command's options. Out: a `SpeedReport`. Here the engine, which `explain` does not know, meets its clock.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivl.cli.options import build
from ivl.cli.terminal import status
from ivl.errors import SettingsError, nearest
from ivl.types import EngineConfig

if TYPE_CHECKING:
    from ivl.engine import EngineCore, Request
    from ivl.explain.speed import Prompt
    from ivl.explain.speed_figures import Load
    from ivl.explain.speed_report import SpeedReport
    from ivl.model.config import InternVLConfig


def measure(model: str | None, shape: str | None, workloads: Sequence[str], given: Mapping[str, Any]) -> "SpeedReport":
    """Make the engine, run the workloads, say on stderr how it goes. Raises SettingsError, EngineError and others."""
    from ivl.cli.subject import find_folder
    from ivl.explain.ceilings import as_dtype, measure_ceilings
    from ivl.explain.speed_bench import Bench
    from ivl.explain.speed_figures import Load, Shape
    from ivl.explain.speed_report import SpeedReport, circumstances
    from ivl.model import load_config

    folder = find_folder(model) if shape is None else None
    config = load_config(folder) if folder else _published(str(shape))
    load = Load(**{name: given[name] for name in ("requests", "tiles", "text_tokens", "new_tokens")})
    engine_config = _engine_config(load, config, given)
    device, dtype = engine_config.device, as_dtype(engine_config.dtype)
    status("making the engine ...")
    core = _make_core(folder, config, engine_config, given["seed"])
    status("measuring what this device can do ...")
    ceilings = measure_ceilings(device, dtype)
    is_int8 = engine_config.quantization is not None
    bench = Bench(
        core=core,
        encode=core.runner.model.encode_tiles,
        to_request=to_request,
        shape=Shape(config=config, itemsize=dtype.itemsize, product_itemsize=1 if is_int8 else dtype.itemsize),
        load=load,
        ceilings=ceilings,
        device=device,
        dtype=dtype,
        batch=engine_config.max_batch_size,
        repeats=given["repeats"],
        warmup=given["warmup"],
        seed=given["seed"],
        tell=status,
    )
    figures = tuple(bench.figures(workloads))
    core.close()
    return SpeedReport(
        model=_title(model, shape, folder),
        dtype=engine_config.dtype,
        quantization=engine_config.quantization,
        load=load,
        prompt_tokens=load.prompt_tokens(config),
        repeats=given["repeats"],
        has_caches=given["keep_caches"],
        ceilings=ceilings,
        figures=figures,
        circumstances=circumstances(device),
    )


def to_request(prompt: "Prompt", new_tokens: int) -> "Request":
    """Greedy, with no end token."""
    from ivl.engine import Request, SamplingParams

    return Request(
        input_ids=prompt.input_ids,
        pixel_values=prompt.pixel_values,
        tile_digests=prompt.tile_digests,
        sampling=SamplingParams(max_new_tokens=new_tokens),
    )


def _engine_config(load: "Load", config: "InternVLConfig", given: Mapping[str, Any]) -> EngineConfig:
    """Device and dtype as they are chosen; sessions long enough for the requests, unless told otherwise."""
    from ivl.session.loading import place

    asked = build(EngineConfig, given)
    device, dtype = place(asked, config)
    length = given["session_len"] or max(asked.session_len, load.prompt_tokens(config) + load.new_tokens)
    made = replace(asked, device=device, dtype=dtype, session_len=length)
    return made if given["keep_caches"] else replace(made, enable_prefix_caching=False, vision_cache_bytes=0)


def _make_core(folder: Path | None, config: "InternVLConfig", engine_config: EngineConfig, seed: int) -> "EngineCore":
    """An engine for a folder's model, or for random weights of a shape."""
    from ivl.explain.ceilings import as_dtype
    from ivl.explain.speed import random_model
    from ivl.session.loading import load_engine_core, make_engine_core

    if folder is not None:
        return load_engine_core(folder, engine_config)[0]
    model = random_model(config, engine_config.device, as_dtype(engine_config.dtype), seed)
    return make_engine_core(model, engine_config)


def _published(shape: str) -> "InternVLConfig":
    from ivl.model.family import FAMILY

    name = shape.removeprefix("OpenGVLab/")
    if name not in FAMILY:
        raise SettingsError(f"--shape {shape} is not a published model: {nearest(name, FAMILY)}")
    return FAMILY[name]


def _title(model: str | None, shape: str | None, folder: Path | None) -> str:
    if folder is None:
        return f"{shape}, random weights"
    return folder.resolve().name if model else f"the small model in the package ({folder.name})"
