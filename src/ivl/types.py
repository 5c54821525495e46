"""What the rooms hand to each other: plain frozen dataclasses, no behaviour beyond checking their own values.

Knows no torch at import time, so that `import ivl` and `ivl --help` stay quick.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from ivl.errors import SettingsError, shown

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
    """Frames taken, evenly spaced, one tile each, from start_s to end_s in seconds (None: all; not for a folder)."""
    start_s: float | None = None
    end_s: float | None = None


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
    image_digests: tuple[str, ...] = ()
    """SHA-256 of each image's content and options, aligned with tile_counts; empty for training samples."""
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
    index: int = 0
    """Which of the n answers to a prompt this is."""


_INT_MAX = 2**31 - 1
_NUMBER = (int, float)
_RESPONSE_FORMATS = {"text": None, "json_object": None, "json_schema": dict, "regex_schema": str}
"""Each type of response_format, and what stands under the key of the same name."""


def _check(name: str, value: object, kind: type | tuple[type, ...], low: float, high: float, say: str) -> None:
    """Raise SettingsError unless `value` is a number of `kind` in [low, high], which NaN is not."""
    good = isinstance(value, kind) and not isinstance(value, bool)
    if not good or not low <= value <= high:  # type: ignore[operator]
        raise SettingsError(f"{name}={shown(value)} is not allowed: {say}")


def _check_flag(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise SettingsError(f"{name}={shown(value)} is not allowed: True or False")


def _items(name: str, value: object, most: int) -> tuple[Any, ...]:
    """A list as a tuple, one string as a tuple of it; raises SettingsError for anything else and for too many."""
    items = (value,) if isinstance(value, str) else value
    if not isinstance(items, list | tuple):
        raise SettingsError(f"{name}={shown(value)} is not allowed: a list is needed")
    if len(items) > most:
        raise SettingsError(f"{name} holds {len(items)} entries: at most {most:,} are allowed")
    return tuple(items)


def _check_text(name: str, value: object, most: int) -> None:
    """Raise SettingsError unless `value` is a non-empty string of valid Unicode and at most `most` characters."""
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        raise SettingsError(
            f"{name} holds {shown(value)}: it must be a non-empty string of at most {most:,} characters"
        )
    if any("\ud800" <= char <= "\udfff" for char in value):
        raise SettingsError(f"{name} holds {shown(value)}: half of a surrogate pair is no valid Unicode")


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
    """Answers for each prompt, 1 to 128."""
    logprobs: int | None = None
    """Return the log-probability of each token and of this many most likely ones (0 to 20)."""
    stop_token_ids: tuple[int, ...] | None = None
    """The answer ends at any of these tokens too."""
    bad_words: tuple[str, ...] | None = None
    """Words whose tokens, at the beginning of a text or after a space, must not follow one another in the answer."""
    bad_token_ids: tuple[int, ...] | None = None
    """Tokens that must not appear in the answer."""
    choice: tuple[str, ...] | None = None
    """The answer is one of these texts."""
    regex: str | None = None
    """The whole answer matches this regular expression (in Rust's syntax; \\d is 0 to 9)."""
    response_format: dict[str, Any] | None = field(default=None, hash=False)
    """OpenAI's and LMDeploy's form: {"type": "json_object"}, {"type": "json_schema", "json_schema": {"schema": ...}},
    {"type": "regex_schema", "regex_schema": ...} or {"type": "text"}, which is off."""

    def __post_init__(self) -> None:
        for name, most in {"stop_words": 64, "bad_words": 1024, "choice": 1024}.items():
            if self._make_tuple(name, most):
                for word in getattr(self, name):
                    _check_text(name, word, 1000)
        for name in ("stop_token_ids", "bad_token_ids"):
            if self._make_tuple(name, 1024):
                for token_id in getattr(self, name):
                    _check(f"a token of {name}", token_id, int, 0, _INT_MAX, "a whole number of at least 0")
        self._check_values()
        self._check_structure()

    def _make_tuple(self, name: str, most: int) -> bool:
        """Whether the field holds anything; a list, as JSON gives it, becomes a tuple; an empty one is off."""
        value = getattr(self, name)
        items = None if value is None or (isinstance(value, list | tuple) and not value) else _items(name, value, most)
        object.__setattr__(self, name, items)
        return items is not None

    def _check_values(self) -> None:
        if self.do_sample is not None:
            _check_flag("do_sample", self.do_sample)
        _check_flag("ignore_eos", self.ignore_eos)
        _check("max_new_tokens", self.max_new_tokens, int, 1, _INT_MAX, "a whole number of at least 1")
        _check("repetition_penalty", self.repetition_penalty, _NUMBER, 1e-3, 1e3, "a number from 0.001 to 1000")
        _check("n", self.n, int, 1, 128, "1 to 128 answers are given for a prompt; ask again for more")
        ranges: dict[str, tuple[type | tuple[type, ...], float, float, str]] = {
            "temperature": (_NUMBER, 0, 100, "a number from 0 to 100"),
            "top_p": (_NUMBER, 1e-9, 1, "a number above 0, at most 1"),
            "top_k": (int, 0, _INT_MAX, "a whole number of at least 0"),
            "min_p": (_NUMBER, 0, 1, "a number from 0 to 1"),
            "random_seed": (int, 0, 2**63 - 1, "a whole number from 0 to 2**63 - 1"),
            "min_new_tokens": (int, 0, self.max_new_tokens, "a whole number from 0 to max_new_tokens"),
            "logprobs": (int, 0, 20, "a whole number from 0 to 20"),
        }
        for name, (kind, low, high, say) in ranges.items():
            if getattr(self, name) is not None:
                _check(name, getattr(self, name), kind, low, high, say)

    def _check_structure(self) -> None:
        """The answer's form is given at most once and in a known shape; `session` compiles it."""
        if self.regex is not None:
            _check_text("regex", self.regex, 10_000)
        if self.response_format is not None:
            _check_response_format(self.response_format)
        given = [name for name in ("choice", "regex", "response_format") if getattr(self, name) is not None]
        if len(given) > 1:
            raise SettingsError(f"{' and '.join(given)} are given: each says what the answer looks like; give one")

    @property
    def samples(self) -> bool:
        """Whether tokens are drawn rather than the most likely one taken."""
        if self.temperature == 0:
            return False
        if self.do_sample is not None:
            return self.do_sample
        return any(getattr(self, name) is not None for name in ("temperature", "top_p", "top_k", "min_p"))


def _check_response_format(value: object) -> None:
    kind = value.get("type") if isinstance(value, dict) else None
    if not isinstance(value, dict) or not isinstance(kind, str) or kind not in _RESPONSE_FORMATS:
        raise SettingsError(f"response_format={shown(value)} needs a 'type': one of {', '.join(_RESPONSE_FORMATS)}")
    inner = _RESPONSE_FORMATS[kind]
    for key in value.keys() - {"type", kind if inner else "type"}:
        raise SettingsError(f"response_format has the unknown key {shown(key)}: {kind} has none of that name")
    if inner is str:
        _check_text("response_format's regex_schema", value.get(kind), 10_000)
    elif inner is dict and not (isinstance(value.get(kind), dict) and isinstance(value[kind].get("schema"), dict)):
        raise SettingsError('response_format of type json_schema needs "json_schema": {"name": ..., "schema": {...}}')


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
    """Share of the free GPU memory that the key-value cache may take. On a CPU its blocks are made when they are
    needed, up to a quarter of the free memory."""
    enable_prefix_caching: bool = True
    """Share the cache of equal beginnings between requests."""
    block_size: int = 64
    """Tokens in a cache block; on a GPU a power of two."""
    max_prefill_token_num: int | None = None
    """Prompt tokens in one step, at most; None: 8192 on a GPU, 1024 on a CPU."""
    tp: int = 1
    """GPUs that share one model (tensor parallel)."""
    quantization: str | None = None
    """None: the weights as they are; "int8": the language model's in 8 bits."""
    vision_cache_bytes: int = 256 * 2**20
    """Memory for the features of pictures seen before."""

    def __post_init__(self) -> None:
        for name in ("session_len", "max_batch_size", "block_size", "max_prefill_token_num"):
            if getattr(self, name) is not None or name != "max_prefill_token_num":
                _check(name, getattr(self, name), int, 1, _INT_MAX, "a whole number of at least 1")
        _check("tp", self.tp, int, 1, 1, "only tp=1 is supported")
        _check("cache_max_entry_count", self.cache_max_entry_count, _NUMBER, 1e-6, 1, "a share above 0, at most 1")
        _check("vision_cache_bytes", self.vision_cache_bytes, int, 0, 2**63, "a number of bytes, at least 0")
        if not isinstance(self.device, str):
            raise SettingsError(f"device={shown(self.device)} is not allowed: auto, cpu, cuda or cuda:N")
        _check_flag("enable_prefix_caching", self.enable_prefix_caching)
        if self.dtype not in ("auto", "float32", "bfloat16", "float16"):
            raise SettingsError(f"dtype={shown(self.dtype)} is not allowed: auto, float32, bfloat16 or float16")
        if self.quantization not in (None, "int8"):
            raise SettingsError(f"quantization={shown(self.quantization)} is not allowed: None or 'int8'")
