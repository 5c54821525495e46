"""ivl and transformers behind one small interface, for `gpu_workloads.py`: the same questions asked of both.

In: a configuration, a device, a dtype; prompts and pictures. Out: seconds, each read when the last token's id is in
Python's hands. Both have random weights of their own: speed does not depend on their values. Knows no medians.
"""

import hashlib
import io
import json
import os
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import torch
from contestants import token_of
from PIL import Image
from torch import Tensor

from ivl.engine import EngineCore, Request, SamplingParams
from ivl.explain.speed import Prompt, random_model, run_at_once
from ivl.model.config import InternVLConfig
from ivl.model.config_export import to_transformers
from ivl.model.fused import apply_fused
from ivl.processing.tiling import split_tiles, tiles_to_tensor
from ivl.types import EngineConfig


@dataclass(frozen=True, kw_only=True, eq=False)
class Picture:
    """A picture as it comes, not yet cut."""

    image: Image.Image
    max_tiles: int
    text_ids: Tensor
    """The text around it, in two equal parts."""


class GpuContestant(Protocol):
    """One engine under test."""

    def encode(self, pixel_values: Tensor) -> None:
        """Tiles (N, 3, S, S) on the device through vision model and connector; may return before they are done."""
        ...

    def answer(self, prompt: Prompt, new_tokens: int) -> list[float]:
        """When each token of one answer came, in seconds from the call."""
        ...

    def prepare(self, picture: Picture) -> Prompt:
        """Cut a picture."""
        ...

    def answer_all(self, prompts: Sequence[Prompt], new_tokens: int) -> float:
        """Seconds until all answers are there."""
        ...

    def answer_pictures(self, pictures: Sequence[Picture], new_tokens: int) -> float:
        """The same, from pictures."""
        ...


class Ivl:
    """Our engine: the synchronous core, and as many threads that cut pictures as there are cores."""

    def __init__(
        self, config: InternVLConfig, device: str, dtype: torch.dtype, session_len: int, max_requests: int
    ) -> None:
        self.config = config
        self.model = apply_fused(random_model(config, device, dtype))
        settings = EngineConfig(
            device=device,
            session_len=session_len,
            max_batch_size=max_requests,
            enable_prefix_caching=False,
            vision_cache_bytes=0,
        )
        if device != "cpu":
            torch.cuda.empty_cache()  # the engine takes a share of what is free
        self.core = EngineCore(self.model, settings)
        # One thread of torch for each of ours: together they fill the cores.
        self.pool = ThreadPoolExecutor(os.cpu_count(), initializer=lambda: torch.set_num_threads(1))

    @torch.inference_mode()
    def encode(self, pixel_values: Tensor) -> None:
        self.model.encode_tiles(pixel_values)

    def answer(self, prompt: Prompt, new_tokens: int) -> list[float]:
        return list(run_at_once(self.core, [request(prompt, new_tokens)], new_tokens).token_s[0])

    def prepare(self, picture: Picture) -> Prompt:
        image, size = picture.image, self.config.image_size
        tiles = split_tiles(image, 1, picture.max_tiles, size, True)
        digest = hashlib.sha256(image.tobytes()).digest()
        prompt = around(self.config, tiles_to_tensor(tiles), picture.text_ids)
        return replace(prompt, tile_digests=tuple(digest + bytes([number]) for number in range(len(tiles))))

    def answer_all(self, prompts: Sequence[Prompt], new_tokens: int) -> float:
        return run_at_once(self.core, [request(prompt, new_tokens) for prompt in prompts], new_tokens).seconds

    def answer_pictures(self, pictures: Sequence[Picture], new_tokens: int) -> float:
        """The engine works on what is cut while the rest is being cut."""
        begun = time.perf_counter()
        waiting: list[Future[Prompt]] = [self.pool.submit(self.prepare, picture) for picture in pictures]
        added: list[int] = []
        count = 0
        try:
            while waiting or self.core.has_work:
                ready = [future for future in waiting if future.done()]
                waiting = [future for future in waiting if future not in ready]
                added += [self.core.add(request(future.result(), new_tokens)) for future in ready]
                if self.core.has_work:
                    count += sum(token_of(output) >= 0 for _, output in self.core.step())
                elif waiting:
                    waiting[0].result()
        finally:
            for request_id in added:
                self.core.abort(request_id)
        seconds = time.perf_counter() - begun
        assert count == len(pictures) * new_tokens, f"{count} tokens of {len(pictures)} answers of {new_tokens}"
        return seconds

    def close(self) -> None:
        self.pool.shutdown()
        self.core.close()


class Transformers:
    """transformers' `generate` with its dynamic cache, SDPA, all rows of one length; it cuts pictures on the GPU."""

    def __init__(self, config: InternVLConfig, device: str, dtype: torch.dtype) -> None:
        from transformers import AutoConfig, AutoModelForImageTextToText

        self.config, self.device, self.dtype = config, device, dtype
        with tempfile.TemporaryDirectory() as folder:
            written = to_transformers(config, str(dtype).removeprefix("torch."))
            Path(folder, "config.json").write_text(json.dumps(written), "utf-8")
            theirs = AutoConfig.from_pretrained(folder)
        with torch.device(device):
            model = AutoModelForImageTextToText.from_config(theirs, dtype=dtype, attn_implementation="sdpa")
        self.model = model.to(device).eval()
        self.model.generation_config.eos_token_id = None
        self.model.generation_config.pad_token_id = 0
        self.cutter: Any = None

    @torch.inference_mode()
    def encode(self, pixel_values: Tensor) -> None:
        self.model.get_image_features(pixel_values=pixel_values)

    def answer(self, prompt: Prompt, new_tokens: int) -> list[float]:
        clock = Stamps()
        self._generate(prompt.input_ids[None], prompt.pixel_values, new_tokens, clock)
        begun, *times = clock.times
        return [each - begun for each in times]

    def prepare(self, picture: Picture) -> Prompt:
        size = self.config.image_size
        self.cutter = self.cutter or image_processor(size)
        cut = self.cutter(
            picture.image,
            crop_to_patches=picture.max_tiles > 1,
            min_patches=1,
            max_patches=picture.max_tiles,
            return_tensors="pt",
            **({"device": self.device} if self.device != "cpu" else {}),
        )
        return around(self.config, cut["pixel_values"], picture.text_ids)

    def answer_all(self, prompts: Sequence[Prompt], new_tokens: int) -> float:
        begun = time.perf_counter()
        input_ids = torch.stack([prompt.input_ids for prompt in prompts])
        pixels = [prompt.pixel_values for prompt in prompts if prompt.pixel_values is not None]
        out = self._generate(input_ids, torch.cat(pixels), new_tokens, None)
        assert out.shape[1] == input_ids.shape[1] + new_tokens, f"{out.shape} is not {new_tokens} new tokens a row"
        out.cpu()
        return time.perf_counter() - begun

    def answer_pictures(self, pictures: Sequence[Picture], new_tokens: int) -> float:
        begun = time.perf_counter()
        prompts = [self.prepare(picture) for picture in pictures]
        prepared = time.perf_counter() - begun
        return prepared + self.answer_all(prompts, new_tokens)

    def close(self) -> None:
        del self.model

    @torch.inference_mode()
    def _generate(self, input_ids: Tensor, pixels: Tensor | None, new_tokens: int, streamer: Any) -> Tensor:
        input_ids = input_ids.to(self.device)
        out: Tensor = self.model.generate(
            input_ids=input_ids,
            attention_mask=torch.ones_like(input_ids),
            pixel_values=None if pixels is None else pixels.to(self.device, self.dtype),
            max_new_tokens=new_tokens,
            do_sample=False,
            streamer=streamer,
        )
        return out


class Stamps:
    """A streamer that notes when each token came; the first time is its own making, before the prompt is sent."""

    def __init__(self) -> None:
        self.times = [time.perf_counter()]

    def put(self, token_ids: Tensor) -> None:
        if token_ids.dim() == 1:  # the prompt comes as (1, T)
            self.times.append(time.perf_counter())

    def end(self) -> None:
        """Nothing is held back."""


def image_processor(size: int) -> Any:
    """transformers' own for InternVL: on torchvision where that is installed, else on Pillow."""
    settings = {
        "size": {"height": size, "width": size},
        "image_mean": [0.485, 0.456, 0.406],
        "image_std": [0.229, 0.224, 0.225],
    }
    try:
        import torchvision  # noqa: F401
        from transformers import GotOcr2ImageProcessor

        return GotOcr2ImageProcessor(**settings)
    except ImportError:
        from transformers.models.got_ocr2.image_processing_pil_got_ocr2 import GotOcr2ImageProcessorPil

        return GotOcr2ImageProcessorPil(**settings)


def request(prompt: Prompt, new_tokens: int) -> Request:
    """Greedy, with no end token."""
    return Request(
        input_ids=prompt.input_ids,
        pixel_values=prompt.pixel_values,
        tile_digests=prompt.tile_digests,
        sampling=SamplingParams(max_new_tokens=new_tokens),
    )


def around(config: InternVLConfig, pixel_values: Tensor, text_ids: Tensor) -> Prompt:
    """A prompt of tiles (N, 3, S, S) with half of the text before them and half after."""
    image = torch.full((len(pixel_values) * config.tokens_per_tile,), config.image_token_id)
    half = len(text_ids) // 2
    return Prompt(input_ids=torch.cat((text_ids[:half], image, text_ids[half:])), pixel_values=pixel_values)


def decoded(jpeg: bytes) -> Image.Image:
    """A JPEG as a picture."""
    return Image.open(io.BytesIO(jpeg)).convert("RGB")
