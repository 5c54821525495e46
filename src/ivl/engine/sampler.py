"""From logits to the next tokens, for all sequences of a step at once.

In: logits (S, V), and for each row the state of its request. Out: for each row a token or the error that ends its
request. What a row draws depends on its own logits, settings and seed alone. Knows no model, no cache and no text.

S rows, R the rows among them that are more than greedy, M those with a token mask, T prompt tokens, V vocabulary,
W words of 32 bits.
"""

import math
import secrets
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ivl.engine.drawing import draw, most_likely
from ivl.engine.request import SamplingParams, TokenMask
from ivl.errors import EngineError, IvlError
from ivl.types import TokenLogprob

NUM_LOGPROBS = 20
"""Most likely tokens that can be reported."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a row gets: a token, or an error that ends its request and no other."""

    token_id: int = -1
    logprob: TokenLogprob | None = None
    error: IvlError | None = None


class SamplingState:
    """What the sampler remembers of one request.

    prompt_ids: (T,) int64. token_mask: the request's own, at its beginning.
    """

    def __init__(self, params: SamplingParams, prompt_ids: Tensor, token_mask: TokenMask | None = None) -> None:
        self.params = params
        self.token_mask = token_mask
        self.generated: list[int] = []
        self._prompt_ids = prompt_ids
        self._seen: Tensor | None = None
        # The generator lives on the host: the same seed draws the same tokens on every device.
        self._generator = torch.Generator() if params.temperature > 0 else None
        if self._generator is not None:
            self._generator.manual_seed(secrets.randbits(63) if params.seed is None else params.seed)
        self._bad = [sequence[0] for sequence in params.bad_token_ids if len(sequence) == 1]
        self._bad_after: dict[int, list[tuple[int, ...]]] = defaultdict(list)
        for sequence in params.bad_token_ids:
            if len(sequence) > 1:
                self._bad_after[sequence[-2]].append(sequence)
        self._is_simple = params.temperature == 0 and params.repetition_penalty == 1.0
        self._is_simple &= token_mask is None and not params.bad_token_ids

    @property
    def is_greedy(self) -> bool:
        """Whether the next token is simply the most likely one."""
        return self._is_simple and not self._bars_stop

    def accept(self, token_id: int) -> None:
        """Take the chosen token in. Raises what the token mask raises."""
        self.generated.append(token_id)
        if self._seen is not None:
            self._seen[token_id] = True
        if self.token_mask is not None:
            self.token_mask.accept(token_id)

    def seen(self, vocab_size: int, device: torch.device) -> Tensor:
        """(V,) bool: the tokens of the prompt and the answer."""
        if self._seen is None:
            self._seen = torch.zeros(vocab_size, dtype=torch.bool, device=device)
            ids = torch.cat((self._prompt_ids.cpu(), torch.tensor(self.generated, dtype=torch.int64)))
            self._seen[ids[ids < vocab_size].to(device)] = True
        return self._seen

    def barred(self) -> list[int]:
        """Tokens that must not come next: end tokens too early, and what would complete a bad sequence."""
        barred = list(self._bad)
        if self._bars_stop:
            barred += self.params.stop_token_ids
        for sequence in self._bad_after.get(self.generated[-1], ()) if self.generated else ():
            if tuple(self.generated[1 - len(sequence) :]) == sequence[:-1]:
                barred.append(sequence[-1])
        return barred

    def uniform(self) -> float:
        """The request's next random number from [0, 1)."""
        assert self._generator is not None, "a greedy request draws no random number"
        return torch.rand((), generator=self._generator, dtype=torch.float64).item()

    @property
    def _bars_stop(self) -> bool:
        return len(self.generated) < self.params.min_new_tokens and bool(self.params.stop_token_ids)


@torch.inference_mode()
def choose(logits: Tensor, states: Sequence[SamplingState]) -> list[Choice]:
    """The next token of each row of logits (S, V), which are left as they are; the states take their tokens in.

    A row whose logits are not finite, or for which nothing is allowed, gets an error; so does one whose mask raises.
    """
    assert len(logits) == len(states), f"{len(logits)} rows of logits for {len(states)} requests"
    if not states:
        return []
    best, token_ids = logits.max(-1)  # (S,); NaN wins, so that it shows
    allowed = best
    errors: list[IvlError | None] = [None] * len(states)
    masks = {row: _bitmask(row, state, errors) for row, state in enumerate(states) if state.token_mask is not None}
    rows = [row for row, state in enumerate(states) if not state.is_greedy and errors[row] is None]
    if rows:
        index = torch.tensor(rows, device=logits.device)
        shaped = _shape(logits[index], [states[row] for row in rows], [masks.get(row) for row in rows])  # (R, V)
        top, chosen = shaped.max(-1)
        allowed = best.to(shaped.dtype).index_copy(0, index, top)
        token_ids[index] = _draw(shaped, chosen, [states[row] for row in rows])
    # The one transfer of a step; ids are exact in float64.
    table = torch.stack((best.double(), allowed.double(), token_ids.double()), dim=1).tolist()
    for row, (state, error, found) in enumerate(zip(states, errors, table, strict=True)):
        errors[row] = error or _accept(state, *found)
    logprobs = _logprobs(logits, token_ids, [row for row, error in enumerate(errors) if error is None], states)
    return [
        Choice(error=error) if error else Choice(token_id=int(token_id), logprob=logprobs.get(row))
        for row, (error, (_, _, token_id)) in enumerate(zip(errors, table, strict=True))
    ]


def _bitmask(row: int, state: SamplingState, errors: list[IvlError | None]) -> Tensor | None:
    """(W,) int32 on the host: the tokens that the request's mask lets through."""
    assert state.token_mask is not None, "only for requests with a mask"
    try:
        return state.token_mask.bitmask()
    except Exception as error:
        errors[row] = _own(error)
    return None


def _accept(state: SamplingState, best: float, allowed: float, token_id: float) -> IvlError | None:
    """Let the state take its token in; the error where there is none to take."""
    count = len(state.generated)
    if not math.isfinite(best):
        return EngineError(
            f"the model gave logits that are not finite at new token {count}: "
            "the weights are damaged or overflow in this dtype; try dtype='float32'"
        )
    if not math.isfinite(allowed):
        return EngineError(
            f"no token is allowed at new token {count}: the answer's form (choice, regex, response_format, "
            "allowed_token_ids), bad words and min_new_tokens together exclude every one; loosen one of them"
        )
    try:
        state.accept(int(token_id))
    except Exception as error:
        return _own(error)
    return None


def _own(error: Exception) -> IvlError:
    """An error of ours as it is, any other one as the cause of ours."""
    if isinstance(error, IvlError):
        return error
    own = EngineError(f"the request's token mask failed: {error}")
    own.__cause__ = error
    return own


def _shape(logits: Tensor, states: Sequence[SamplingState], masks: Sequence[Tensor | None]) -> Tensor:
    """Logits (R, V) after repetition penalty, bars and token masks: -inf for what must not come."""
    # A copy: bfloat16 would blur what the penalty and the temperature do.
    logits = logits.to(torch.promote_types(logits.dtype, torch.float32))
    size, device = logits.shape[1], logits.device
    rows = [row for row, state in enumerate(states) if state.params.repetition_penalty != 1.0]
    if rows:
        index = torch.tensor(rows, device=device)
        seen = torch.stack([states[row].seen(size, device) for row in rows])
        penalty = logits.new_tensor([[states[row].params.repetition_penalty] for row in rows])
        part = logits[index]
        logits[index] = torch.where(seen, torch.where(part > 0, part / penalty, part * penalty), part)
    pairs = [(row, token_id) for row, state in enumerate(states) for token_id in state.barred() if token_id < size]
    if pairs:
        at = torch.tensor(pairs, device=device)
        logits[at[:, 0], at[:, 1]] = -torch.inf
    given = [(row, mask) for row, mask in enumerate(masks) if mask is not None]
    if given:
        index = torch.tensor([row for row, _ in given], device=device)
        allowed = _unpack(torch.stack([mask for _, mask in given]).to(device), size)
        logits[index] = logits[index].masked_fill(~allowed, -torch.inf)
    return logits


def _unpack(words: Tensor, size: int) -> Tensor:
    """(M, V) bool from words (M, W) of 32 bits, the lowest first."""
    assert words.shape[1] == -(-size // 32), f"a token mask of {words.shape[1]} words for {size} tokens"
    bits = torch.arange(32, dtype=torch.int32, device=words.device)
    return (words[:, :, None] >> bits & 1).bool().flatten(1)[:, :size]


def _draw(logits: Tensor, best: Tensor, states: Sequence[SamplingState]) -> Tensor:
    """(R,) token ids: drawn, or the best (R,) for greedy rows; from shaped logits (R, V)."""
    rows = [row for row, state in enumerate(states) if state.params.temperature > 0]
    if not rows:
        return best
    index = torch.tensor(rows, device=logits.device)
    params = [states[row].params for row in rows]
    return best.index_copy(0, index, draw(logits[index], params, [states[row].uniform() for row in rows]))


def _logprobs(
    logits: Tensor, token_ids: Tensor, rows: Sequence[int], states: Sequence[SamplingState]
) -> dict[int, TokenLogprob]:
    """Log-probabilities of the rows that ask for them, under the model's own distribution: nothing is barred in it."""
    rows = [row for row in rows if states[row].params.logprobs is not None]
    if not rows:
        return {}
    index = torch.tensor(rows, device=logits.device)
    part = logits[index]
    logprobs = part.to(torch.promote_types(part.dtype, torch.float32)).log_softmax(-1)
    values, top_ids = most_likely(logprobs, min(NUM_LOGPROBS, logprobs.shape[1]))
    own = logprobs.gather(1, token_ids[index][:, None])
    found = torch.cat((token_ids[index][:, None].double(), own.double(), values.double(), top_ids.double()), 1).tolist()
    entries = {}
    for row, (token_id, logprob, *rest) in zip(rows, found, strict=True):
        count, half = states[row].params.logprobs, len(rest) // 2
        top = tuple((int(each), value) for value, each in zip(rest[:half], rest[half:], strict=True))
        entries[row] = TokenLogprob(token_id=int(token_id), logprob=logprob, top=top[:count])
    return entries
