"""What the rooms hand to each other: plain frozen dataclasses, no behaviour beyond checking their own values.

Knows no torch at import time, so that `import ivl` and `ivl --help` stay quick.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeAlias

from ivl.errors import SettingsError

if TYPE_CHECKING:
    import PIL.Image
    import torch

ImageSource: TypeAlias = "str | Path | bytes | PIL.Image.Image"
Role: TypeAlias = Literal["system", "user", "assistant"]
FinishReason: TypeAlias = Literal["stop", "length", "abort"]


@dataclass(frozen=True, kw_only=True)
class TextPart:
    """A piece of a message's text. `<image>` in it marks the place of one of the message's images."""

    text: str


@dataclass(frozen=True, kw_only=True)
class ImagePart:
    """A picture in a message: a path, URL, data URI, encoded bytes or PIL image."""

    source: ImageSource
    max_tiles: int | None = None
    """Upper bound of tiles for this picture; None: the model's own."""


@dataclass(frozen=True, kw_only=True)
class VideoPart:
    """A video in a message: a file that PyAV reads, an animated picture, or a folder of frames."""

    source: str | Path | bytes
    num_frames: int = 8
    """Frames taken, evenly spaced, one tile each."""


Part: TypeAlias = TextPart | ImagePart | VideoPart


@dataclass(frozen=True, kw_only=True)
class Message:
    """One turn of a conversation."""

    role: Role
    parts: tuple[Part, ...]


@dataclass(frozen=True, kw_only=True, eq=False)
class ModelInputs:
    """What the model reads: token ids, tiles, and for training the labels.

    T tokens, N tiles of all images, S pixels a side.
    """

    input_ids: torch.Tensor
    """(T,) int64."""
    pixel_values: torch.Tensor | None = None
    """(N, 3, S, S) float32, normalised; None without images."""
    tile_counts: tuple[int, ...] = ()
    """Tiles of each image, thumbnail included, in the order of the text."""
    labels: torch.Tensor | None = None
    """(T,) int64, aligned with input_ids, -100 where nothing is trained; None for a prompt."""


@dataclass(frozen=True, kw_only=True)
class TokenLogprob:
    """Log-probabilities at one generated position."""

    token_id: int
    logprob: float
    top: tuple[tuple[int, float], ...] = ()
    """The most likely tokens as (token id, log-probability), best first."""


@dataclass(frozen=True, kw_only=True)
class Response:
    """An answer; while streaming, `text` and `token_ids` hold only what is new."""

    text: str
    token_ids: tuple[int, ...] = ()
    finish_reason: FinishReason | None = None
    """"stop": an end token or stop word; "length": max_new_tokens or the session's end; None: goes on."""
    input_token_len: int = 0
    generate_token_len: int = 0
    logprobs: tuple[TokenLogprob, ...] | None = None


def _check(name: str, value: object, kind: type | tuple[type, ...], low: float, high: float, say: str) -> None:
    """Raise SettingsError unless `value` is a finite number of `kind` in [low, high]."""
    good = isinstance(value, kind) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type,operator]
        raise SettingsError(f"{name}={value!r} is not allowed: {say}")


_INT_MAX = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class GenerationConfig:
    """How an answer is generated. Fields that are not given are off."""

    max_new_tokens: int = 512
    """Tokens generated at most."""
    do_sample: bool | None = None
    """None: sample when any of temperature, top_p, top_k, min_p is given, else greedy."""
    temperature: float | None = None
    """Divides the logits before sampling; 0 is greedy; None is 1."""
    top_p: float | None = None
    """Sample from the smallest set of tokens whose probabilities add up to this."""
    top_k: int | None = None
    """Sample from this many most likely tokens; 0 is off."""
    min_p: float | None = None
    """Drop tokens less likely than this share of the most likely one."""
    repetition_penalty: float = 1.0
    """Above 1 makes tokens of the prompt and the answer less likely to come again (CTRL, Keskar et al. 2019)."""
    stop_words: tuple[str, ...] | None = None
    """The answer ends before the first of these strings."""
    random_seed: int | None = None
    """The same seed, prompt and settings give the same answer."""
    min_new_tokens: int | None = None
    """No end token before this many tokens."""
    ignore_eos: bool = False
    """Go on after end tokens (for benchmarks)."""
    n: int = 1
    """Answers for each prompt."""
    logprobs: int | None = None
    """Return the log-probability of each token and of this many most likely ones (0 to 20)."""

    def __post_init__(self) -> None:
        if isinstance(self.stop_words, str):
            object.__setattr__(self, "stop_words", (self.stop_words,))
        elif self.stop_words is not None:
            object.__setattr__(self, "stop_words", tuple(self.stop_words))
        self._check_values()

    def _check_values(self) -> None:
        _check("max_new_tokens", self.max_new_tokens, int, 1, _INT_MAX, "a whole number of at least 1")
        _check("repetition_penalty", self.repetition_penalty, (int, float), 1e-3, 1e3, "a number above 0")
        _check("n", self.n, int, 1, 1, "only n=1 is supported")
        ranges: dict[str, tuple[type | tuple[type, ...], float, float, str]] = {
            "temperature": ((int, float), 0, 100, "a number from 0 to 100"),
            "top_p": ((int, float), 1e-9, 1, "a number above 0, at most 1"),
            "top_k": (int, 0, _INT_MAX, "a whole number of at least 0"),
            "min_p": ((int, float), 0, 1, "a number from 0 to 1"),
            "random_seed": (int, 0, 2**63 - 1, "a whole number from 0 to 2**63 - 1"),
            "min_new_tokens": (int, 0, self.max_new_tokens, "a whole number from 0 to max_new_tokens"),
            "logprobs": (int, 0, 20, "a whole number from 0 to 20"),
        }
        for name, (kind, low, high, say) in ranges.items():
            if getattr(self, name) is not None:
                _check(name, getattr(self, name), kind, low, high, say)
        for word in self.stop_words or ():
            if not isinstance(word, str) or not word:
                raise SettingsError(f"stop_words holds {word!r}: every stop word must be a non-empty string")

    @property
    def samples(self) -> bool:
        """Whether tokens are drawn rather than the most likely one taken."""
        if self.temperature == 0:
            return False
        if self.do_sample is not None:
            return self.do_sample
        return any(getattr(self, name) is not None for name in ("temperature", "top_p", "top_k", "min_p"))


@dataclass(frozen=True, kw_only=True)
class EngineConfig:
    """Where and how the engine runs."""

    device: str = "auto"
    """"auto": a GPU where there is one, else the CPU; or "cpu", "cuda", "cuda:1"."""
    dtype: str = "auto"
    """"auto": float32 on a CPU, bfloat16 on a GPU; or "float32", "bfloat16", "float16"."""
    session_len: int = 8192
    """Tokens of prompt and answer together, at most."""
    max_batch_size: int = 128
    """Requests that run at once, at most."""
    cache_max_entry_count: float = 0.8
    """Share of the free GPU memory that the key-value cache may take."""
    enable_prefix_caching: bool = True
    """Share the cache of equal beginnings between requests."""
    block_size: int = 16
    """Tokens in a cache block."""
    max_prefill_token_num: int = 8192
    """Prompt tokens in one step, at most."""
    tp: int = 1
    """GPUs that share one model (tensor parallel)."""
    quantization: str | None = None
    """None: the weights as they are."""
    vision_cache_bytes: int = 256 * 2**20
    """Memory for the features of pictures seen before."""

    def __post_init__(self) -> None:
        for name in ("session_len", "max_batch_size", "block_size", "max_prefill_token_num"):
            _check(name, getattr(self, name), int, 1, _INT_MAX, "a whole number of at least 1")
        _check("tp", self.tp, int, 1, 1, "only tp=1 is supported")
        _check("cache_max_entry_count", self.cache_max_entry_count, float, 1e-6, 1, "a share above 0, at most 1")
        _check("vision_cache_bytes", self.vision_cache_bytes, int, 0, 2**63, "a number of bytes, at least 0")
        if self.dtype not in {"auto", "float32", "bfloat16", "float16"}:
            raise SettingsError(f"dtype={self.dtype!r} is not allowed: auto, float32, bfloat16 or float16")
        if self.quantization is not None:
            raise SettingsError(f"quantization={self.quantization!r} is not supported: leave it None")


def field_help(config: type) -> dict[str, str]:
    """The docstring of each field of a dataclass of this package, for the command line's help."""
    import ast
    import inspect
    import textwrap

    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(config))).body
    assert isinstance(tree, ast.ClassDef), f"{config} is not a class"
    help_by_name: dict[str, str] = {}
    for line, after in zip(tree.body, tree.body[1:], strict=False):
        if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name) and isinstance(after, ast.Expr):
            help_by_name[line.target.id] = str(ast.literal_eval(after.value))
    return {f.name: help_by_name.get(f.name, "") for f in fields(config)}
