"""GenerationConfig: how an answer is generated, every field checked by itself and against its neighbours.

In: what a person gives. Out: the same, lists as tuples; SettingsError for what cannot be. Knows no model: whether
tokens are in its vocabulary is found where the answer is asked for.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from ivl.errors import SettingsError, shown
from ivl.types.checks import INT_MAX, NUMBER, as_items, check_flag, check_number, check_text

MAX_ALLOWED_TOKENS = 2**18
"""Entries of allowed_token_ids; more than the largest vocabulary has."""
_RESPONSE_FORMATS = {"text": None, "json_object": None, "json_schema": dict, "regex_schema": str}
"""Each type of response_format, and what stands under the key of the same name."""


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
    """Return the log-probability of each token and of this many most likely ones (0 to 20), as the model gives them:
    before settings change it or bar tokens."""
    stop_token_ids: tuple[int, ...] | None = None
    """The answer ends at any of these tokens too."""
    bad_words: tuple[str, ...] | None = None
    """Words whose tokens, at the beginning of a text or after a space, must not follow one another in the answer."""
    bad_token_ids: tuple[int, ...] | None = None
    """Tokens that must not appear in the answer."""
    allowed_token_ids: tuple[int, ...] | None = None
    """Only these tokens may be generated; an end token too only where it is one of them."""
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
                    check_text(name, word, 1000)
        if isinstance(self.allowed_token_ids, list | tuple) and not self.allowed_token_ids:
            raise SettingsError("allowed_token_ids=() is not allowed: no token could come; leave it out to allow all")
        most_ids = {"stop_token_ids": 1024, "bad_token_ids": 1024, "allowed_token_ids": MAX_ALLOWED_TOKENS}
        for name, most in most_ids.items():
            if self._make_tuple(name, most):
                for token_id in getattr(self, name):
                    check_number(f"a token of {name}", token_id, int, 0, INT_MAX, "a whole number of at least 0")
        self._check_values()
        self._check_structure()

    def _make_tuple(self, name: str, most: int) -> bool:
        """Whether the field holds anything; a list, as JSON gives it, becomes a tuple; an empty one is off."""
        value = getattr(self, name)
        items = (
            None if value is None or (isinstance(value, list | tuple) and not value) else as_items(name, value, most)
        )
        object.__setattr__(self, name, items)
        return items is not None

    def _check_values(self) -> None:
        if self.do_sample is not None:
            check_flag("do_sample", self.do_sample)
        check_flag("ignore_eos", self.ignore_eos)
        check_number("max_new_tokens", self.max_new_tokens, int, 1, INT_MAX, "a whole number of at least 1")
        check_number("repetition_penalty", self.repetition_penalty, NUMBER, 1e-3, 1e3, "a number from 0.001 to 1000")
        check_number("n", self.n, int, 1, 128, "1 to 128 answers are given for a prompt; ask again for more")
        ranges: dict[str, tuple[type | tuple[type, ...], float, float, str]] = {
            "temperature": (NUMBER, 0, 100, "a number from 0 to 100"),
            "top_p": (NUMBER, 1e-9, 1, "a number above 0, at most 1"),
            "top_k": (int, 0, INT_MAX, "a whole number of at least 0"),
            "min_p": (NUMBER, 0, 1, "a number from 0 to 1"),
            "random_seed": (int, 0, 2**63 - 1, "a whole number from 0 to 2**63 - 1"),
            "min_new_tokens": (int, 0, self.max_new_tokens, "a whole number from 0 to max_new_tokens"),
            "logprobs": (int, 0, 20, "a whole number from 0 to 20"),
        }
        for name, (kind, low, high, say) in ranges.items():
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), kind, low, high, say)

    def _check_structure(self) -> None:
        """The answer's form is given at most once and in a known shape; `session` compiles it."""
        if self.regex is not None:
            check_text("regex", self.regex, 10_000)
        if self.response_format is not None:
            _check_response_format(self.response_format)
        forms = ("choice", "regex", "response_format", "allowed_token_ids")
        given = [name for name in forms if getattr(self, name) is not None]
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
        check_text("response_format's regex_schema", value.get(kind), 10_000)
    elif inner is dict and not (isinstance(value.get(kind), dict) and isinstance(value[kind].get("schema"), dict)):
        raise SettingsError('response_format of type json_schema needs "json_schema": {"name": ..., "schema": {...}}')
