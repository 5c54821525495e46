"""Stop words across token boundaries. In: pieces of text. Out: the text that can no longer be part of a stop word."""


class StopWords:
    """Watches a growing text; holds back what may become a stop word."""

    def __init__(self, words: tuple[str, ...]) -> None:
        self.words = words
        self.found = False
        self._held = ""

    def push(self, piece: str) -> str:
        """Take more text in; give what is safe to show. `found` is set at the first stop word, which is not shown."""
        if not self.words:
            return piece
        text = self._held + piece
        # The word that is complete first counts, however the text was cut into pieces.
        found = [(at + len(word), at) for word in self.words if (at := text.find(word)) >= 0]
        if found:
            self.found, self._held = True, ""
            return text[: min(found)[1]]
        held = self._may_begin(text)
        self._held = text[len(text) - held :]
        return text[: len(text) - held]

    def flush(self) -> str:
        """What was held back, once no more text comes."""
        text, self._held = self._held, ""
        return text

    def _may_begin(self, text: str) -> int:
        """Length of the longest end of `text` with which some stop word begins."""
        longest = min(len(text), max((len(word) for word in self.words), default=0))
        return next((n for n in range(longest, 0, -1) if any(w.startswith(text[-n:]) for w in self.words)), 0)
