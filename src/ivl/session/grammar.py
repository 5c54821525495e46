"""Answers of a given form: a choice, a regular expression or a JSON schema becomes a mask of tokens.

In: a GenerationConfig and a model's tokenizer. Out: a token mask for the engine, or None where the form is free.
A form is compiled and tried here, on the caller's thread: what cannot be compiled or satisfied never reaches the
engine. Knows no engine and no model. The grammars are llguidance's: its automata take bounded time and memory, fetch
nothing, and refuse what they cannot do exactly.

V vocabulary, W = ceil(V / 32) words.
"""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from collections.abc import Iterable
from functools import cached_property
from hashlib import sha256
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import torch
from torch import Tensor

from ivl.errors import InputError, MissingExtraError, SettingsError, shown
from ivl.processing.tokenizer import Tokenizer
from ivl.session.schema import check_schema
from ivl.session.vocabulary import Vocabulary
from ivl.types import GenerationConfig

if TYPE_CHECKING:
    import llguidance

MAX_GRAMMARS = 64
"""Forms that are remembered as compiled and found good, or found bad."""
MAX_SCHEMA_CHARACTERS = 2**18
"""Characters of a JSON schema."""
_MAX_LEXER_STATES = 50_000
"""About 16 MB; ordinary schemas need some hundreds."""
_COMPILE_FUEL, _STEP_FUEL = 100_000, 50_000
"""llguidance's measure of work: for a form some 10 ms, for a step some ms, before it is given up."""
_WHITESPACE = r"[ \n\t]{0,16}"
"""Between JSON's tokens; unbounded, a model may write nothing else until its answer ends."""
_NUM_PROBES = 3


class Form(NamedTuple):
    """What an answer must look like."""

    kind: Literal["choice", "regex", "json"]
    field: str
    """The setting that it comes from, for messages."""
    text: str
    """The choices as JSON, the regular expression, or the schema as JSON."""


class GrammarMask:
    """Which tokens may come next in one answer; an engine's token mask."""

    def __init__(self, matcher: llguidance.LLMatcher, num_words: int, barred_first: Tensor | None) -> None:
        self._matcher = matcher
        self._num_words = num_words
        self._barred_first = barred_first

    def bitmask(self) -> Tensor:
        """(W,) int32 on the host; raises InputError where the form has become too complex to go on."""
        # llguidance counts one token more: a word too many where V is a multiple of 32.
        words = torch.frombuffer(bytearray(self._matcher.compute_bitmask()), dtype=torch.int32)[: self._num_words]
        self._check()
        return words if self._barred_first is None else words & ~self._barred_first

    def accept(self, token_id: int) -> None:
        """Take a token in. A finished answer stays finished: only end tokens follow it."""
        if not self._matcher.is_stopped():
            self._matcher.consume_token(token_id)
        self._check()
        self._barred_first = None

    def copy(self) -> GrammarMask:
        """Another answer's mask from here on, in microseconds; both share one automaton and its bound."""
        return GrammarMask(self._matcher.deep_copy(), self._num_words, self._barred_first)

    def _check(self) -> None:
        if self._matcher.is_error():
            raise InputError(f"the answer's form cannot be followed any further: {_reason(self._matcher.get_error())}")


class Grammars:
    """Makes the token masks of one model; may be called from any thread.

    vocab_size: V of the model's logits, which may be more than the tokenizer's. stop_token_ids: what ends an answer.
    """

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, stop_token_ids: Iterable[int]) -> None:
        self._tokenizer = tokenizer
        self._vocab_size = vocab_size
        self._stop_token_ids = sorted(token_id for token_id in stop_token_ids if 0 <= token_id < vocab_size)
        self._lock = threading.Lock()
        self._known: OrderedDict[str, str | SettingsError] = OrderedDict()

    def token_mask(self, gen_config: GenerationConfig) -> GrammarMask | None:
        """A mask at its beginning; None where the answer's form is free.

        Raises SettingsError for a form that cannot be compiled, is too complex or that nothing satisfies, and
        MissingExtraError where llguidance is not installed.
        """
        form = form_of(gen_config)
        if form is None:
            return None
        if not self._stop_token_ids:
            raise SettingsError(f"{form.field} needs an end token, and this model's files name none")
        key = sha256("\0".join(form).encode()).hexdigest()
        with self._lock:
            # Built once, whoever comes first; the others wait for it.
            tokenizer, barred_first = self._prepared
            known = self._known.get(key)
            if known is not None:
                self._known.move_to_end(key)
        if known is None:
            known = self._compile(form, tokenizer, barred_first)
            with self._lock:
                self._known[key] = known
                while len(self._known) > MAX_GRAMMARS:
                    self._known.popitem(last=False)
        if isinstance(known, SettingsError):
            raise SettingsError(str(known))
        # A matcher of its own: copies would share its automaton, whose bound one answer could use up for all.
        return GrammarMask(_matcher(tokenizer, known), -(-self._vocab_size // 32), barred_first)

    def _compile(
        self, form: Form, tokenizer: llguidance.LLTokenizer, barred_first: Tensor | None
    ) -> str | SettingsError:
        """The form as a grammar's text, tried for some tokens; or why it cannot be used."""
        try:
            grammar = _grammar(form)
            matcher = _matcher(tokenizer, grammar)
            reason = _probe(matcher, -(-self._vocab_size // 32), barred_first, set(self._stop_token_ids))
        except ValueError as error:
            reason = str(error)
        if reason:
            return SettingsError(f"{form.field}={shown(form.text)} cannot be used: {_reason(reason)}")
        return grammar

    @cached_property
    def _prepared(self) -> tuple[llguidance.LLTokenizer, Tensor | None]:
        """The vocabulary as llguidance reads it, and the tokens (W,) that an answer cannot begin with.

        A tokenizer that puts a space before a text drops it again when it decodes an answer: a first token with a
        space would not be the text that the grammar saw.
        """
        try:
            import llguidance
        except ImportError:
            raise MissingExtraError(
                'choice, regex and response_format need llguidance: pip install "ivl[structured]"'
            ) from None
        vocabulary = Vocabulary(self._tokenizer, self._vocab_size, self._stop_token_ids)
        wrapper = llguidance.TokenizerWrapper(vocabulary)
        tokenizer = llguidance.LLTokenizer(wrapper, n_vocab=self._vocab_size, eos_token=self._stop_token_ids)
        if self._tokenizer.space_rule == "keep":
            return tokenizer, None
        return tokenizer, _words([token.startswith(b" ") for token in vocabulary.tokens])


def form_of(gen_config: GenerationConfig) -> Form | None:
    """The form that the settings ask for; None for a free one. Raises SettingsError for a schema that is no JSON."""
    if gen_config.choice is not None:
        return Form("choice", "choice", json.dumps(gen_config.choice, ensure_ascii=False))
    if gen_config.regex is not None:
        return Form("regex", "regex", gen_config.regex)
    given = gen_config.response_format or {"type": "text"}
    if given["type"] == "regex_schema":
        return Form("regex", "response_format", given["regex_schema"])
    if given["type"] == "json_object":
        return Form("json", "response_format", '{"type": "object"}')
    if given["type"] == "json_schema":
        return Form("json", "response_format", _schema_text(given["json_schema"]["schema"]))
    return None


def _schema_text(schema: Any) -> str:
    try:
        text = json.dumps(schema, ensure_ascii=False, allow_nan=False)
        text.encode()
    except (TypeError, ValueError, RecursionError):
        # Not the cause's words: they may hold the whole value.
        raise SettingsError(
            "response_format's schema is no JSON: only objects, lists, texts, finite numbers, true, false and null "
            "in it, none within itself"
        ) from None
    if len(text) > MAX_SCHEMA_CHARACTERS:
        raise SettingsError(
            f"response_format's schema has {len(text)} characters of JSON: at most {MAX_SCHEMA_CHARACTERS} are read"
        )
    check_schema(schema)
    return text


def _grammar(form: Form) -> str:
    """The form in llguidance's own words."""
    from llguidance import LLMatcher, regex_to_lark

    if form.kind == "json":
        return LLMatcher.grammar_from_json_schema(form.text, overrides={"whitespace_pattern": _WHITESPACE})
    pattern = form.text
    if form.kind == "choice":
        pattern = "|".join(_escaped(choice) for choice in json.loads(form.text))
    # \d is 0 to 9, as people mean it, not the digits of every script.
    return LLMatcher.grammar_from_lark(f"start: /{regex_to_lark(pattern, 'd')}/")


def _escaped(text: str) -> str:
    """A regular expression for just this text."""
    return "".join(char if char.isalnum() else f"\\x{{{ord(char):x}}}" for char in text)


def _matcher(tokenizer: llguidance.LLTokenizer, grammar: str) -> llguidance.LLMatcher:
    import llguidance

    limits = llguidance.LLParserLimits(
        initial_lexer_fuel=_COMPILE_FUEL,
        step_lexer_fuel=_STEP_FUEL,
        max_lexer_states=_MAX_LEXER_STATES,
        verbose_errors=False,
    )
    return llguidance.LLMatcher(tokenizer, grammar, log_level=0, limits=limits)


def _probe(matcher: llguidance.LLMatcher, num_words: int, barred_first: Tensor | None, stop_token_ids: set[int]) -> str:
    """Begin an answer: why there is none, or why its first steps are too much; empty where all is well."""
    mask = GrammarMask(matcher, num_words, barred_first)
    try:
        for _ in range(_NUM_PROBES):
            words = mask.bitmask()
            if not words.any():
                return "every answer begins with a space, which this model's tokenizer drops"
            token_id = _first(words, stop_token_ids)
            if token_id is None:
                break
            mask.accept(token_id)
    except InputError:
        return str(matcher.get_error())
    return ""


def _first(words: Tensor, without: set[int]) -> int | None:
    """The first allowed token that is none of some."""
    for index in words.nonzero()[:, 0].tolist():
        word = int(words[index])
        allowed = [32 * index + bit for bit in range(32) if word >> bit & 1]
        for token_id in allowed:
            if token_id not in without:
                return int(token_id)
    return None


def _words(flags: list[bool]) -> Tensor:
    """(W,) int32 from V flags, the first in the lowest bit."""
    bits = torch.tensor(flags + [False] * (-len(flags) % 32), dtype=torch.int64).view(-1, 32)
    words = (bits << torch.arange(32)).sum(1)
    return (words - (words >> 31 << 32)).to(torch.int32)


def _reason(message: str) -> str:
    """What llguidance says, in one line: the regular expression's error where there is one, never the whole of it."""
    lines = [line.strip() for line in message.splitlines() if line.strip() and not line.startswith("<")]
    if "coerce_one_of" in message:
        return "oneOf is not supported: anyOf is"
    if any(line in {"NoExtension", "NoExtensionBias"} for line in lines):
        return "nothing satisfies it"
    found = [line.removeprefix("error: ") for line in lines if line.startswith("error: ")]
    return (found or lines or ["unknown"])[0][:200]
