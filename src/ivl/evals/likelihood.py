"""The most likely letter as the answer to a question with choices.

In: a model's tokenizer, a question in a prompt's words, its letters. Out: settings under which the pipeline answers
with the letter that the model finds most likely. Knows no weights: the pipeline computes the logits as it always does.
"""

from typing import Protocol

from ivl.errors import TokenizerError
from ivl.evals.item import Asked
from ivl.types import GenerationConfig, TextPart

# Behind these a word is set off by a space; behind a bracket, a quotation mark, a line break or a Chinese
# character it is not.
_SET_OFF = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789:;,.!?"


class LetterTokenizer(Protocol):
    """As much of a pipeline's `processor.tokenizer` as is needed."""

    def encode(self, text: str, add_bos: bool = False) -> list[int]:
        """Ids of a text."""
        ...

    def token_bytes(self, token_id: int) -> bytes:
        """UTF-8 bytes of a token."""
        ...


def letter_config(tokenizer: LetterTokenizer, asked: Asked, letters: str) -> GenerationConfig:
    """Settings under which the answer to `asked` is the most likely of `letters`, in one step of the model.

    One new token is generated, greedily, and only the letters' tokens are allowed, as they follow the prompt: it ends
    with the answer that `asked` begins, or with the bare opening of one. Behind "（", "(" or nothing that is "A",
    behind "The answer is" it is " A" where the vocabulary has it; `Response.text` is just that. A beginning that is
    one token with the letter when both are written at once ("(A" in Qwen2's vocabulary) is no obstacle: the model has
    read its "(" and goes on from there. Equal letters with alike beginnings give equal settings, so that items can be
    asked in batches.
    Raises TokenizerError where a letter is no single token.
    """
    begun = _begun(asked)
    if begun.endswith(tuple(_SET_OFF)):
        ids = [_single_token(tokenizer, f" {letter}") for letter in letters]
        if None not in ids:
            return _config(ids)
    ids = [_single_token(tokenizer, letter) for letter in letters]
    for letter, token_id in zip(letters, ids, strict=True):
        if token_id is None:
            raise TokenizerError(
                f"the letter {letter!r} is not a single token behind the prompt: likelihood cannot score this model; "
                "score generated answers instead"
            )
    return _config(ids)


def _begun(asked: Asked) -> str:
    """The text that the asker gives the answer to begin with; empty where there is none."""
    last = asked.messages[-1]
    if last.role != "assistant":
        return ""
    return "".join(part.text for part in last.parts if isinstance(part, TextPart))


def _single_token(tokenizer: LetterTokenizer, text: str) -> int | None:
    """The token that adds just this text to a text before it; None where it takes several."""
    # Behind a line break: at the very beginning a tokenizer may put a space of its own, and no vocabulary joins a
    # letter to a line break.
    for last in tokenizer.encode(f"\n{text}")[-1:]:
        if tokenizer.token_bytes(last) == text.encode():
            return last
    return None


def _config(token_ids: list[int | None]) -> GenerationConfig:
    allowed = tuple(token_id for token_id in token_ids if token_id is not None)
    return GenerationConfig(max_new_tokens=1, do_sample=False, allowed_token_ids=allowed)
