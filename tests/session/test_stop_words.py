"""Stop words are found at every split of the text, and nothing of them is ever shown."""

from hypothesis import given
from hypothesis import strategies as st

from ivl.session.stop_words import StopWords


def run(words: tuple[str, ...], pieces: list[str]) -> tuple[str, bool]:
    stops, shown = StopWords(words), ""
    for piece in pieces:
        shown += stops.push(piece)
        if stops.found:
            return shown, True
    return shown + stops.flush(), False


def test_found_across_pieces() -> None:
    assert run(("END",), ["a E", "N", "D b"]) == ("a ", True)


def test_a_false_beginning_is_shown_in_the_end() -> None:
    assert run(("END",), ["a EN", "d"]) == ("a ENd", False)
    assert run(("END",), ["a EN"]) == ("a EN", False)


def test_without_stop_words_nothing_is_held() -> None:
    assert StopWords(()).push("END") == "END"


def test_the_first_complete_word_wins() -> None:
    assert run(("。", "b。"), ["a", "b", "。"]) == ("a", True)
    assert run(("b。", "a"), ["ab。"]) == ("", True)


@given(
    text=st.text(alphabet="ab。", max_size=30),
    words=st.lists(st.text(alphabet="ab。", min_size=1, max_size=4), max_size=3),
    cuts=st.lists(st.integers(1, 3), max_size=30),
)
def test_every_split_shows_what_the_whole_shows(text: str, words: list[str], cuts: list[int]) -> None:
    pieces, rest = [], text
    for cut in cuts:
        pieces.append(rest[:cut])
        rest = rest[cut:]
    pieces.append(rest)
    complete = [(text.find(word) + len(word), text.find(word)) for word in words if word in text]
    expected = text[: min(complete)[1]] if complete else text
    assert run(tuple(words), pieces) == (expected, bool(complete))
