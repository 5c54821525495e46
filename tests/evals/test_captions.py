"""CIDEr-D has the numbers of pycocoevalcap 1.2 on the same words."""

import pytest

from ivl.evals.captions import corpus_score, tokenise

REFERENCES = [
    ["a red apple on a table", "one apple lies on a wooden table", "an apple"],
    ["two bowls of noodle soup", "noodle soup in two bowls with chopsticks", "bowls of soup"],
    ["a dog sleeps on a sofa", "the dog is sleeping on the sofa", "a brown dog on a couch"],
    ["steamed dumplings in a bamboo basket", "dumplings", "a basket of steamed dumplings on a table"],
]
CAPTIONS = [
    "a red apple on a table",
    "two bowls of soup with chopsticks on a table",
    "a cat",
    "dumplings dumplings dumplings in a basket of a table on a table in a room in a house",
]
# CiderScorer(n=4, sigma=6.0).compute_score() of pycocoevalcap 1.2.
ITS_SCORES = [3.978378304965715, 2.5967187994631975, 0.06276477091003654, 0.21373851081078682]


def test_scores_are_those_of_the_package():
    assert corpus_score(CAPTIONS, REFERENCES) == pytest.approx(ITS_SCORES, abs=1e-12)


def test_case_and_punctuation_do_not_count():
    told = [f"{caption.capitalize()}." for caption in CAPTIONS]
    assert corpus_score(told, REFERENCES) == pytest.approx(ITS_SCORES, abs=1e-12)


def test_a_persons_only_caption_has_the_most_and_a_foreign_one_nothing():
    references = [["a red apple on a table"], ["two bowls of noodle soup"], ["一碗红烧牛肉面"]]
    said = ["a red apple on a table", "fried rice", "一碗红烧牛肉面"]
    assert corpus_score(said, references) == pytest.approx([10.0, 0.0, 10.0])


def test_no_words_and_a_single_picture_have_nothing():
    assert corpus_score(["", *CAPTIONS[1:]], REFERENCES)[0] == 0.0
    assert corpus_score(CAPTIONS[:1], REFERENCES[:1]) == [0.0]
    assert corpus_score([], []) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("A man's dog, 3.5 metres high!", ["a", "man's", "dog", "3.5", "metres", "high"]),
        ("红烧 beef面。", ["红", "烧", "beef", "面"]),
        ("Ｔｗｏ well-known_dishes", ["two", "well-known", "dishes"]),
        ("...", []),
    ],
)
def test_words(text, words):
    assert tokenise(text) == words


@pytest.mark.parametrize(("captions", "references"), [(["a"], []), (["a"], [[]])])
def test_a_picture_without_references_is_told(captions, references):
    with pytest.raises(ValueError, match="references"):
        corpus_score(captions, references)
