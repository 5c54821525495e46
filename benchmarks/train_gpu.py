"""A LoRA run of `ivl train` on InternVL2-2B's shape, beside transformers + PEFT on the same work.

    python benchmarks/train_gpu.py --out results.json [--steps 12] [--quick]

Random weights in an official folder, JPEG pictures of 1344 x 896 (7 tiles), about 260 text tokens a sample, batch 4,
r = 128 on all linear maps of the language model, vision and connector frozen, bfloat16 with float32 adapters. Ours is
the whole command: pictures are decoded and cut while it trains. transformers has its tensors on the GPU already.
tokens/s counts tokens of samples; nothing is padded.
"""

import argparse
import gc
import json
import shutil
import statistics
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from measuring import Circumstances, circumstances, write_result
from PIL import Image

from ivl.explain.speed import random_model
from ivl.model.config import InternVLConfig
from ivl.model.config_export import to_transformers
from ivl.model.config_io import load_config
from ivl.model.weights import save_model
from ivl.train.config import TrainConfig
from ivl.train.metrics import read_metrics
from ivl.train.run import run

PARITY = Path(__file__).parents[1] / "tests" / "parity"
BATCH, TILES, RANK = 4, 7, 128
"""Samples of a step, tiles of a sample, rank."""
WARM = 4
TARGETS = r".*language_model.*\.(q_proj|k_proj|v_proj|o_proj|gate_proj|up_proj|down_proj)"


@dataclass(frozen=True, kw_only=True)
class Result:
    """The results file."""

    device: str
    circumstances: Circumstances
    rows: list[dict[str, Any]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--steps", type=int, default=14)
    parser.add_argument("--commit", help="where git cannot tell it")
    parser.add_argument("--quick", action="store_true", help="a tiny model, to see that everything works")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        config = write_model(root / "model", args.quick)
        write_data(root / "data", BATCH * args.steps)
        rows: list[dict[str, Any]] = []
        for checkpointing in ("all", "none"):
            rows.append(ours(root, checkpointing, args.steps))
            print(json.dumps(rows[-1]), flush=True)
        for checkpointing in (True, False):
            for adapters in ("float32", "bfloat16"):
                rows.append(theirs(config, checkpointing, adapters, args.steps - WARM, rows[0]["tokens_per_step"]))
                print(json.dumps(rows[-1]), flush=True)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    write_result(Path(args.out), Result(device=device, circumstances=circumstances(args.commit), rows=rows))


def write_model(folder: Path, quick: bool) -> InternVLConfig:
    """An official folder with random weights. Its tokenizer is a tiny one of the same kind: about 260 text tokens."""
    config = replace(load_config(PARITY / "InternVL2-2B"), image_token_id=None)  # the tokenizer beside it names it
    if quick:
        vision = replace(config.vision, hidden_size=64, num_heads=2, num_layers=2, intermediate_size=64)
        text = replace(config.text, hidden_size=64, num_layers=2, num_heads=4, num_kv_heads=2, intermediate_size=64)
        config = replace(config, vision=vision, text=replace(text, head_dim=16))
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = random_model(config, device, torch.bfloat16)
    save_model(model, folder)
    for name in ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json"):
        shutil.copyfile(PARITY / "models" / "tiny-internlm2" / name, folder / name)
    del model
    gc.collect()
    return load_config(folder)


def write_data(folder: Path, count: int) -> None:
    """A LLaVA JSON file and its pictures: smooth noise, which compresses as photographs do."""
    (folder / "images").mkdir(parents=True)
    generator = np.random.default_rng(0)
    records = []
    for number in range(count):
        small = Image.fromarray(generator.integers(0, 256, (28, 42, 3), dtype=np.uint8))
        small.resize((1344, 896), Image.Resampling.BICUBIC).save(folder / "images" / f"{number}.jpg", quality=90)
        words = " ".join(f"{each}" for each in generator.integers(100, 999, 14))
        turns = [{"from": "human", "value": f"<image>\nWhat is it? {words}"}, {"from": "gpt", "value": words}]
        records.append({"id": number, "image": f"images/{number}.jpg", "conversations": turns})
    (folder / "train.json").write_text(json.dumps(records))


def ours(root: Path, checkpointing: str, steps: int) -> dict[str, Any]:
    """A whole run; the medians of its steps after the first few."""
    from ivl.data.settings import DataSource

    work = root / f"run-{checkpointing}"
    config = TrainConfig(
        path=str(root / "model"),
        data_root=str(root / "data"),
        data_path=(DataSource(path="train.json"),),
        max_dynamic_patch=6,
        batch_size=BATCH,
        r=RANK,
        lora_alpha=2 * RANK,
        work_dir=str(work),
        activation_checkpointing=checkpointing,
        save_steps=10**6,
        max_steps=steps,
        eval_samples=0,
    )
    torch.cuda.reset_peak_memory_stats()
    begun = time.perf_counter()
    code = run(config)
    all_seconds = time.perf_counter() - begun
    steps_done = [each for each in read_metrics(work / "metrics.jsonl") if each["kind"] == "step"][WARM:]
    median = statistics.median(each["seconds"] for each in steps_done)
    tokens = statistics.median(each["num_tokens"] for each in steps_done)
    return {
        "who": "ivl",
        "checkpointing": checkpointing == "all",
        "adapters": "float32",
        "step_s": median,
        "min_s": min(each["seconds"] for each in steps_done),
        "max_s": max(each["seconds"] for each in steps_done),
        "tokens_per_step": tokens,
        "tokens_per_s": tokens / median,
        "data_wait_s": statistics.median(each["data_seconds"] for each in steps_done),
        "mfu_989": statistics.median(each["flops"] for each in steps_done) / median / 989.4e12,
        "model_tflop": statistics.median(each["flops"] for each in steps_done) / 1e12,
        "peak_gb": max(each["memory_bytes"] for each in steps_done) / 1e9,
        "losses": [each["loss"] for each in steps_done],
        "whole_command_s": all_seconds,
        "exit_code": code,
    }


def theirs(config: InternVLConfig, checkpointing: bool, adapters: str, repeats: int, tokens: float) -> dict[str, Any]:
    """transformers + PEFT: the same shapes, sdpa, fused AdamW; tensors made beforehand, on the GPU."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoConfig, InternVLForConditionalGeneration

    device = "cuda" if torch.cuda.is_available() else "cpu"
    table = to_transformers(config, "bfloat16")
    settings = AutoConfig.for_model(**table)
    with torch.device(device):
        torch.set_default_dtype(torch.bfloat16)
        model = InternVLForConditionalGeneration._from_config(settings, attn_implementation="sdpa")
        torch.set_default_dtype(torch.float32)
    lora = LoraConfig(r=RANK, lora_alpha=2 * RANK, lora_dropout=0.05, target_modules=TARGETS)
    model = get_peft_model(model, lora, autocast_adapter_dtype=adapters == "float32")
    model.train()
    if checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    length = round(tokens / BATCH)
    ids = torch.randint(100, 9000, (BATCH, length), device=device)
    assert config.image_token_id is not None
    ids[:, 20 : 20 + TILES * config.tokens_per_tile] = config.image_token_id
    labels = ids.clone()
    labels[:, :-60] = -100
    size = config.image_size
    pixels = torch.randn(BATCH * TILES, 3, size, size, device=device, dtype=torch.bfloat16)
    trained = [each for each in model.parameters() if each.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=1e-5, fused=True)
    torch.cuda.reset_peak_memory_stats()
    seconds = []
    for number in range(WARM + repeats):
        torch.cuda.synchronize()
        begun = time.perf_counter()
        with torch.autocast(device, torch.bfloat16, enabled=adapters == "float32"):
            loss = model(input_ids=ids, pixel_values=pixels, labels=labels, use_cache=False).loss
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        torch.cuda.synchronize()
        if number >= WARM:
            seconds.append(time.perf_counter() - begun)
    peak = torch.cuda.max_memory_allocated() / 1e9
    del model, optimizer, trained, loss
    gc.collect()
    torch.cuda.empty_cache()
    median = statistics.median(seconds)
    return {
        "who": "transformers + PEFT",
        "checkpointing": checkpointing,
        "adapters": adapters,
        "step_s": median,
        "min_s": min(seconds),
        "max_s": max(seconds),
        "tokens_per_step": ids.numel(),
        "tokens_per_s": ids.numel() / median,
        "peak_gb": peak,
    }


if __name__ == "__main__":
    main()
