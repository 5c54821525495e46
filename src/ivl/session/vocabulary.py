"""A tokenizer's vocabulary as llguidance reads it: the bytes of each token.

In: a tokenizer. Out: bytes by id, and the cut of a text. Knows no grammar.
"""

from ivl.processing.tokenizer import Tokenizer

_CUT = "\x02"


class Vocabulary:
    """The bytes of each token, with the names that llguidance asks for.

    Added tokens and bytes that no UTF-8 text holds are left out: no answer of a given form has them.
    llguidance takes a text apart by calling this.
    """

    bos_token_id = None

    def __init__(self, tokenizer: Tokenizer, vocab_size: int, stop_token_ids: list[int]) -> None:
        self.eos_token_id = stop_token_ids[0]
        self.special_token_ids = stop_token_ids
        self.tokens = [b""] * vocab_size
        for token_id in range(min(vocab_size, tokenizer.vocab_size)):
            token = tokenizer.token_bytes(token_id)
            # 0xff marks a special token in llguidance.
            if tokenizer.added_token(token_id) is None and not token.startswith(b"\xff"):
                self.tokens[token_id] = token
        self._tokenizer = tokenizer
        self._id_of = {token: token_id for token_id, token in enumerate(self.tokens) if token}
        self._longest = max(map(len, self.tokens))
        for token_id in stop_token_ids:
            self.tokens[token_id] = f"<stop {token_id}>".encode()

    def __call__(self, text: str) -> list[int]:
        """The model's own cut of a text that a form prescribes, which keeps it to tokens that it knows from there."""
        # Behind a character of its own, so that no space is put before the text.
        ids = self._tokenizer.encode(f"{_CUT}{text}")
        begin = next((at + 1 for at, each in enumerate(ids) if self.tokens[each].endswith(_CUT.encode())), 0)
        found = b"".join(self.tokens[each] for each in ids[begin:])
        return ids[begin:] if found == text.encode() else self._longest_first(text.encode())

    def _longest_first(self, data: bytes) -> list[int]:
        """Any cut, for texts that hold what the tokenizer reads as one of its added tokens or cannot write."""
        ids, begin = [], 0
        while begin < len(data):
            ends = range(min(len(data), begin + self._longest), begin, -1)
            end = next((end for end in ends if data[begin:end] in self._id_of), None)
            if end is None:
                break
            ids.append(self._id_of[data[begin:end]])
            begin = end
        return ids
