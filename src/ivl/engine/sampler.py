"""From logits to the next token.

In: logits (V,) of one position. Out: a token id, and log-probabilities where asked for. Each request owns its sampler,
so what it draws depends on its own seed alone.
"""

import secrets

import torch
from torch import Tensor

from ivl.engine.request import SamplingParams
from ivl.errors import EngineError
from ivl.types import TokenLogprob


class Sampler:
    """Chooses the tokens of one request."""

    def __init__(self, params: SamplingParams, prompt_ids: Tensor, vocab_size: int) -> None:
        self.params = params
        self.num_generated = 0
        self._seen = torch.zeros(vocab_size, dtype=torch.bool, device=prompt_ids.device)
        if params.repetition_penalty != 1.0:
            self._seen[prompt_ids] = True
        seed = secrets.randbits(63) if params.seed is None else params.seed
        # The generator lives on the host: the same seed draws the same tokens on every device.
        self._generator = torch.Generator().manual_seed(seed)

    def choose(self, logits: Tensor) -> tuple[int, TokenLogprob | None]:
        """The next token, and its log-probabilities under the model's own distribution."""
        logits = logits.float()
        if not torch.isfinite(logits).all():
            raise EngineError(
                f"the model gave logits that are not finite at new token {self.num_generated}: "
                "the weights are damaged or overflow in this dtype; try dtype='float32'"
            )
        shaped = self._shape(logits)
        token_id = int(shaped.argmax()) if self.params.temperature == 0 else self._draw(shaped)
        self.num_generated += 1
        if self.params.repetition_penalty != 1.0:
            self._seen[token_id] = True
        return token_id, self._logprob(logits, token_id)

    def _shape(self, logits: Tensor) -> Tensor:
        """Logits after the repetition penalty and the bar on early end tokens."""
        params = self.params
        if params.repetition_penalty != 1.0:
            factor = torch.where(logits > 0, 1 / params.repetition_penalty, params.repetition_penalty)
            logits = torch.where(self._seen, logits * factor, logits)
        if self.num_generated < params.min_new_tokens and params.stop_token_ids:
            logits = logits.clone()
            logits[list(params.stop_token_ids)] = -torch.inf
        return logits

    def _draw(self, logits: Tensor) -> int:
        """One draw after temperature, top-k, top-p and min-p, in this order, as transformers does."""
        params = self.params
        logits = logits / params.temperature
        if not 0 < params.top_k < len(logits) and params.top_p >= 1 and params.min_p == 0:
            return self._pick(logits.softmax(-1))
        count = params.top_k if 0 < params.top_k < len(logits) else len(logits)
        values, token_ids = logits.topk(count)  # most likely first
        probs = values.softmax(-1)
        # The first token whose predecessors already make up top_p is one too many.
        keep = probs.cumsum(-1) - probs < params.top_p
        keep &= probs >= params.min_p * probs[0]
        keep[0] = True
        return int(token_ids[self._pick(torch.where(keep, probs, 0))])

    def _pick(self, probs: Tensor) -> int:
        """An index drawn by inverting the cumulated probabilities with one uniform number."""
        cumulated = probs.double().cumsum(-1)
        uniform = torch.rand((), generator=self._generator, dtype=torch.float64).to(cumulated.device)
        index = torch.searchsorted(cumulated, uniform * cumulated[-1], right=True)
        return min(int(index), len(probs) - 1)

    def _logprob(self, logits: Tensor, token_id: int) -> TokenLogprob | None:
        if self.params.logprobs is None:
            return None
        logprobs = logits.log_softmax(-1)
        values, token_ids = logprobs.topk(self.params.logprobs)
        top = tuple(zip(token_ids.tolist(), values.tolist(), strict=True))
        return TokenLogprob(token_id=token_id, logprob=float(logprobs[token_id]), top=top)
