"""Tokens that stand for themselves: read whole from a text, before the vocabulary sees the rest.

In: texts. Out: texts cut at added tokens, as the official tokenizers cut them. Knows no vocabulary, no files.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

MAX_LENGTH = 128
"""Characters of an added token, at most."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AddedToken:
    """A token with an id of its own."""

    id: int
    text: str
    special: bool = True
    """Left out where decoding skips special tokens."""
    lstrip: bool = False
    """Takes the white space before it along."""
    rstrip: bool = False
    """Takes the white space after it along."""
    single_word: bool = False
    """Not found within a word."""


class AddedTokenSplitter:
    """Cuts texts at some added tokens, the longest first where several begin at one place; in linear time."""

    def __init__(self, tokens: Iterable[AddedToken]) -> None:
        self._tokens = {token.text: token for token in tokens}
        self._pattern = re.compile(any_of(self._tokens)) if self._tokens else None

    def split(self, text: str) -> Iterator[str | AddedToken]:
        """Pieces of the text in order; texts are not empty."""
        done = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            token = self._tokens[match.group()]
            if token.single_word and _is_within_word(text, match):
                continue
            if match.start() > done:
                yield text[done : match.start()]
            yield token
            done = match.end()
        if done < len(text):
            yield text[done:]


def _is_within_word(text: str, match: re.Match[str]) -> bool:
    start, end = match.span()
    before, after = text[max(0, start - 1) : start], text[end : end + 1]
    return any(char.isalnum() or char == "_" for char in (before, after))


def any_of(words: Iterable[str]) -> str:
    """A regular expression that finds the longest of the words, looking at each character once."""
    # A plain a|b|c would try every word again at every place of the text.
    return _branches(sorted(set(words)), 0)


def _branches(words: Sequence[str], start: int) -> str:
    """The expression for sorted words that begin with the same `start` characters, already matched."""
    ends = words[0][start:] == ""
    rest = words[1:] if ends else words
    if not rest:
        return ""
    groups: dict[str, list[str]] = {}
    for word in rest:
        groups.setdefault(word[start], []).append(word)
    branches = []
    for group in groups.values():
        end = start + 1
        while all(len(word) > end and word[end] == group[0][end] for word in group):
            end += 1
            if end == len(group[0]):
                break
        branches.append(re.escape(group[0][start:end]) + _branches(group, end))
    joined = branches[0] if len(branches) == 1 and not ends else f"(?:{'|'.join(branches)})"
    return joined + ("?" if ends else "")
