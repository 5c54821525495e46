"""Answers in words against the answers that are right: exact, mentioned, VQA, ANLS and relaxed accuracy.

In: the text of an answer, and the texts that count as right. Out: a score from 0 to 1. Knows no item, no choices, no
model. Nothing here asks another model to judge: the same two texts always give the same score.
"""

from __future__ import annotations

import math
import re
import unicodedata
from collections.abc import Iterator, Sequence

CJK = "\u3005\u3007\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
"""What a regular expression's [...] takes for a character of Chinese or Japanese writing."""
LATIN = "0-9A-Za-z\u00c0-\u024f"
"""... and for a letter or digit of a word with a beginning and an end."""
_CONTRACTIONS = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't haven't he'd he'd've he's
how'd how'll how's isn't it'd it'd've it'll let's ma'am mightn't mightn't've might've mustn't must've needn't not've
o'clock oughtn't shan't she'd've should've shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd
someone'd've someone'll someone's something'd something'd've something'll that's there'd there'd've there're there's
they'd they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've when's
where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't would've wouldn't wouldn't've
y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
_SPELT = {each.replace("'", ""): each for each in _CONTRACTIONS.split()}
"""Those of VQA's own table that can occur in a text without capitals, as it means them; "dont" -> "don't"."""
_ZERO_TO_TEN = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DIGITS = {"none": "0"} | {word: str(number) for number, word in enumerate(_ZERO_TO_TEN)}

# ---- exact match


def fold(text: str) -> str:
    """The text in NFKC, without case, with single spaces, and with none beside Chinese characters."""
    spaced = " ".join(unicodedata.normalize("NFKC", text).casefold().split())
    return re.sub(rf"(?<=[{CJK}]) | (?=[{CJK}])", "", spaced)


def normalise(text: str) -> str:
    """What `exact_match` compares.

    In this order: Unicode NFKC (full-width letters, digits and marks become plain ones); case is dropped; white space
    is one space, and none beside a Chinese character; quotes, brackets, asterisks and the marks . , ; : ! ? 。 、 … ·
    go from both ends, but a point before a digit stays (.5), and so do signs that mean something (-5, 50%, C#); then
    one English article (a, an, the) at the beginning goes. A text of nothing but such marks stays as it is.
    Traditional and simplified characters are not made alike, numbers in words stay words.
    """
    folded = fold(text)
    bare = re.sub(r"^(?:[\s\"'`“”‘’«»()\[\]{}<>「」『』【】《》〈〉*_,;:!?。、…·~]|\.(?!\d))+", "", folded)
    bare = re.sub(r"[\s\"'`“”‘’«»()\[\]{}<>「」『』【】《》〈〉*_.,;:!?。、…·~]+$", "", bare)
    return re.sub(r"^(?:a|an|the) (?=\S)", "", bare) or folded


def exact_match(text: str, answers: Sequence[str]) -> float:
    """1 if the text is one of the answers, as `normalise` sees both; else 0."""
    return float(normalise(text) in {normalise(answer) for answer in answers})


# ---- mention


def find_names(text: str, names: Sequence[str]) -> list[tuple[int, int, int]]:
    """Where `fold(text)` mentions names: (start, end, which name), from left to right.

    A name written in letters must stand as whole words; one in Chinese characters may stand anywhere. Where one name
    lies inside another that is mentioned ("tofu" in "mapo tofu"), only the longer one counts.
    """
    folded = fold(text)
    spans = {(start, end, idx) for idx, name in enumerate(names) for start, end in _spans(folded, normalise(name))}
    kept: list[tuple[int, int, int]] = []
    for start, end, idx in sorted(spans, key=lambda span: (span[0], -span[1], span[2])):
        if not kept or end > kept[-1][1] or (start, end) == kept[-1][:2]:
            kept.append((start, end, idx))
    return kept


def _spans(folded: str, name: str) -> Iterator[tuple[int, int]]:
    if not name:
        return
    before = rf"(?<![{LATIN}])" if re.match(rf"[{LATIN}]", name) else ""
    after = rf"(?![{LATIN}])" if re.search(rf"[{LATIN}]$", name) else ""
    for match in re.finditer(before + re.escape(name) + after, folded):
        yield match.span()


def mention(text: str, answers: Sequence[str], rivals: Sequence[str] = ()) -> float:
    """1 if the text, however long, mentions one of the answers and none of the rivals; else 0.

    For open questions that are answered by a sentence ("This is mapo tofu."). Rivals are names that are wrong: an
    answer that names several things at once is not right. A rival that is itself one of the answers is none. Negation
    is not understood: "not mapo tofu" mentions mapo tofu.
    """
    found = {idx for _, _, idx in find_names(text, [*answers, *rivals])}
    right = {normalise(answer) for answer in answers}
    named = {normalise([*answers, *rivals][idx]) for idx in found}
    return float(bool(named) and named <= right)


# ---- VQA


def vqa_normalise(text: str) -> str:
    """The official normalisation of VQA v2 (processPunctuation, then processDigitArticle, in github.com/GT-Vision-Lab/
    VQA, PythonEvaluationTools/vqaEvaluation/vqaEval.py), kept with its oddities.

    Punctuation goes without a trace if it stands beside a space or if the text has a comma between digits, and else
    becomes a space; points stay before digits only; none and zero to ten become digits; a, an, the go; contractions
    get their apostrophes back ("dont" is "don't"). Made for English.
    """
    text = text.replace("\n", " ").replace("\t", " ").strip()
    has_comma_in_number = re.search(r"\d,\d", text) is not None
    cleaned = text
    for mark in ';/[]"{}()=+\\_-><@`,?!':
        beside_space = mark + " " in text or " " + mark in text
        cleaned = cleaned.replace(mark, "" if beside_space or has_comma_in_number else " ")
    words = re.sub(r"\.(?!\d)", "", cleaned).lower().split()
    kept = [_DIGITS.get(word, word) for word in words if word not in ("a", "an", "the")]
    return " ".join(_SPELT.get(word.replace("'", ""), word) for word in kept)


def vqa_accuracy(text: str, answers: Sequence[str]) -> float:
    """The accuracy of VQA v2, OK-VQA and TextVQA (Antol et al. 2015).

    Ten answers are those of ten people: for each nine of them min(1, matches / 3), then the mean over the ten ways to
    leave one out; so three people's agreement gives 0.9, and four people's 1. Any other number of answers is a list of
    what is right, and one match gives 1. Both sides are normalised; the official code leaves people's answers almost
    as they are, which VQA's own files are made for.
    """
    said = vqa_normalise(text)
    matches = [vqa_normalise(answer) == said for answer in answers]
    if len(matches) != 10:
        return float(any(matches))
    total = sum(matches)
    return sum(min(1.0, (total - match) / 3) for match in matches) / 10


# ---- ANLS


def anls(text: str, answers: Sequence[str], threshold: float = 0.5) -> float:
    """Average normalised Levenshtein similarity of one answer (Biten et al. 2019: ST-VQA; DocVQA, InfoVQA).

    The best over the answers of 1 - d, where d is the edit distance over the longer one's length, in characters, case
    and outer and repeated white space aside; 0 where d is the threshold or more.
    """
    said = " ".join(text.lower().split())
    return max((_similarity(said, " ".join(answer.lower().split()), threshold) for answer in answers), default=0.0)


def _similarity(one: str, other: str, threshold: float) -> float:
    longer = max(len(one), len(other))
    if longer == 0:
        return 1.0
    if abs(len(one) - len(other)) >= threshold * longer:  # at least so many letters must be put in
        return 0.0
    distance = edit_distance(one, other) / longer
    return 1.0 - distance if distance < threshold else 0.0


def edit_distance(one: str, other: str) -> int:
    """Levenshtein's: the fewest characters put in, taken out or changed to make one of the other."""
    previous = list(range(len(other) + 1))
    for row, left in enumerate(one, start=1):
        current = [row]
        for column, right in enumerate(other, start=1):
            change = previous[column - 1] + (left != right)
            current.append(min(change, previous[column] + 1, current[column - 1] + 1))
        previous = current
    return previous[-1]


# ---- relaxed accuracy


def relaxed_accuracy(text: str, answers: Sequence[str], tolerance: float = 0.05) -> float:
    """ChartQA's measure (Masry et al. 2022): 1 if a number is within 5% of an answer, or a text equals one; else 0.

    As in pix2struct's metrics, "45%" is 0.45, and a text is compared without case. Beyond it, outer white space and a
    full stop at the end are dropped, "1,234" is a number, and where the answer is 0 the number must be 0.
    """
    return float(any(_is_near(text, answer, tolerance) for answer in answers))


def _is_near(text: str, answer: str, tolerance: float) -> bool:
    said, right = _number(text), _number(answer)
    if said is not None and right is not None:
        return abs(said - right) <= tolerance * abs(right)
    return _ending_off(text).casefold() == _ending_off(answer).casefold()


def _ending_off(text: str) -> str:
    stripped = unicodedata.normalize("NFKC", text).strip()
    return stripped.removesuffix(".").removesuffix("。").strip() or stripped


def _number(text: str) -> float | None:
    found = re.fullmatch(r"([-+]?(?:\d{1,3}(?:,\d{3})+|\d*)(?:\.\d+)?(?:[eE][-+]?\d{1,3})?)(\s*%)?", _ending_off(text))
    if found is None or not re.match(r"[-+]?[.\d]", found[1]):
        return None
    value = float(found[1].replace(",", "")) / (100 if found[2] else 1)
    return value if math.isfinite(value) else None
