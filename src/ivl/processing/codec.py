"""What every kind of tokenizer can do for `tokenizer.py`: ordinary text to ids, an id to bytes.

In: text without any added token. Out: ids of the vocabulary file. Knows no added tokens, so that nothing
typed by a person can become one. `codec_bpe.py` and `codec_sentencepiece.py` are the two kinds.
"""

from collections.abc import Callable
from typing import Literal, Protocol, TypeVar

from ivl.errors import TokenizerError

Result = TypeVar("Result")

SpaceRule = Literal["keep", "start", "each"]
"""Where decoding drops a space that encoding put there: nowhere, at the start, or after added tokens too."""


class Codec(Protocol):
    """A vocabulary and its way of cutting text."""

    @property
    def size(self) -> int:
        """Ids of this vocabulary are below it."""

    @property
    def space_rule(self) -> SpaceRule:
        """Where decoding drops a space."""

    @property
    def unknown_id(self) -> int | None:
        """The id that stands for what the vocabulary does not have."""

    def prepare(self, text: str) -> str:
        """What the official class makes of a text before it looks for added tokens; the length stays."""

    def encode(self, text: str, first: bool) -> list[int]:
        """Ids of the text between two added tokens; `first` where none stands before it."""

    def encode_rest(self, text: str) -> list[int]:
        """Ids of a text that goes on from an earlier one, so that no space is put before it."""

    def lead(self, is_special: bool) -> list[int]:
        """Ids that come before an added token at the very beginning."""

    def piece(self, token_id: int) -> str | None:
        """How the vocabulary file writes an id; None where it has none."""

    def find(self, piece: str) -> int | None:
        """The id of a piece, as the vocabulary file writes it; None where it has none."""

    def token_bytes(self, token_id: int) -> bytes:
        """UTF-8 bytes, perhaps part of a character, that an id stands for."""


def guarded(doing: str, call: Callable[[], Result]) -> Result:
    """The result of a call into a native parser; whatever it raises becomes a TokenizerError.

    A Rust panic is a BaseException, which `except Exception` lets through.
    """
    try:
        return call()
    except Exception as error:
        raise TokenizerError(f"{doing} failed: {_first_line(error)}") from error
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        raise TokenizerError(f"{doing} failed: the file makes the parser panic: {_first_line(error)}") from None


def _first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]
