"""Which choice an answer in free words chose: its letter, or nothing where that cannot be read.

In: an answer's text and the texts of the choices. Out: a letter, or None. Knows no item and no model, and never
guesses.

FoodieQA's own scorer (github.com/lyan62/FoodieQA, model-eval/scripts/get_accuracy.py, `parse_res`) takes the first
capital A to D of an answer, wherever it stands, be it the A of "A dish", and draws one by lot where there is none.
VLMEvalKit (github.com/open-compass/VLMEvalKit, vlmeval/utils/matching_util.py, `can_infer`) takes a letter that is the
only one to stand alone, then the only choice whose text occurs. The rules here keep what both read rightly.

First the text is put into NFKC (Ａ is A, （ is a bracket) and loses its asterisks and backticks. A letter *stands*
where no other letter, digit, apostrophe or hyphen touches it; A and I do not where a word follows ("A dish", "I
think"), but for "A is", "A because" and the like; a small letter only before a closing bracket, a mark or the end. Then
the first rule that finds something decides, and if it finds two different letters, nothing is chosen:

1. The answer is one choice's own text, and nothing else.
2. It begins with a letter, in brackets or not, that a closing bracket, a mark, a new line or the end follows ("B",
   "（B", "b)", "B. Sichuan", "B、川菜"), or Chinese after a space, or that choice's own text, or "is", "because", 是
   without "not" or "wrong"; behind an opening bracket any word may follow, but for A and I. What comes behind does not
   count, but for: a second letter joined to it ("A or B", "A、C") leaves nothing chosen; a recital of the options
   ("A) ... B) ...") chooses by rule 3 alone.
3. It says so: "the answer is B", "I would choose (B)", "Answer: B", "it is B"; 答案是B, 选B, 我选择（B）, 应为B, and
   是B and 为（B） at the beginning or behind 所以, 认为. "would not choose A", 不选A and 选A是错的 are passed over.
4. One letter alone is named by brackets or a word: "(B)", "option B", "image B", 选项B, 图B; no other letter stands in
   the answer, and no negation does (not, no, except; 不, 没, 除, 错 ...).
5. It begins with one choice's own text, up to a mark (the tutorial's "川菜，图中的菜是麻婆豆腐"); or it mentions one
   choice's text without negation (of Chinese choices those of two characters or more). No other choice's text may be
   mentioned, and no other letter may stand in it.
"""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Iterator, Sequence

from ivl.evals.texts import CJK, LATIN, find_names, fold, normalise

_OPEN = r"[(\[{<\"“‘「『【《]\s*"
_CLOSE = r"\s*[)\]}>\"”’」』】》]"
_MARK = r"\s*[:;,、。!]|\.(?![A-Za-z]\b)|\s*—|\s+[-–]\s|\s*\n"
"""After a letter at the beginning. The point of an abbreviation (e.g., D.C.) is none."""
_NOT_TOUCHED = rf"(?![{LATIN}'’+#_]|-\w)"
_VERB = r"(?:is|was|would|because|since|as|seems|looks|fits|matches|and|or|which)\b"
_JOINED = r"[)\]}」】]?\s*(?:[,/&+、;|~]|and\b|or\b|vs\b|和|或者?|与|及|还是)?\s*[(\[「【]?"
_NEGATION = r"不|没|非(?!常)|错|除|莫|\b(?:not|never|neither|nor|no|except|wrong|incorrect|unlike|cannot)\b|n['’]t\b"
_DENIED = (
    rf"(?:{_CLOSE})*\s*(?:(?:选项|项)?(?:明显|显然)?(?:是|并)?(?:不|错|非)|"
    r"(?:is|was|can|does|would be)?(?:n['’]t|\s*\b(?:not|wrong|incorrect|false|cannot))\b)"
)
"""After a letter: it is told not to be the one."""
_THING = r"(?:(?:the\s+)?(?:option|choice|answer|letter|image|picture)\s+)?"
_ZH_THING = r"(?:选项|答案|图片?)?\s*"
_SAYS = (
    # "the correct answer to this would be: probably (", "Answer: "
    r"(?i:\b(?:answer|choice|option|selection)(?: (?:here|to|for)\b[^.:\n]{0,60}?)?\s*"
    r"(?:is|was|would be|will be|should be|must be|has to be|:|=)\s*:?\s*"
    rf"(?:(?:definitely|clearly|probably|likely|most likely|therefore|thus)\s+)?{_THING})",
    r"(?i:\b(?:choose|select|pick|chose|selected|picked|choosing|selecting|go with|going with|opt for|say)\s+"
    rf"{_THING})",
    rf"(?i:\b(?:it is|it['’]s|it must be|it would be)\s+{_THING})",
    rf"(?:答案|(?:正确|最佳|合适|符合)的?(?:选项|一项))\s*(?:应该|应当|应|就|可能)?(?:是|为|选|:|\s){{0,4}}{_ZH_THING}",
    rf"选择?(?:了|的是|的答案|是|为|:|\s){{0,4}}{_ZH_THING}(?:是|为|:|\s){{0,3}}",
    rf"(?:应|应该|应当)(?:是|为)\s*{_ZH_THING}",
    rf"(?:^|所以|因此|故|认为|觉得)\s*(?:是|为)\s*{_ZH_THING}",
)
"""What stands before a letter that is told to be the one."""
_NAMED = r"(?i:\b(?:option|choice|answer|letter|image|picture|photo)\s+)|(?:选项|图片?)\s*[:是为]?\s*"


def read_letter(text: str, choices: Sequence[str]) -> str | None:
    """The letter that an answer chose, by the rules above: "A" for the first of `choices`; None: none can be read."""
    assert 2 <= len(choices) <= 26, f"{len(choices)} choices; there are letters for 2 to 26"
    letters = string.ascii_uppercase[: len(choices)]
    plain = re.sub(r"[*`]", "", unicodedata.normalize("NFKC", text)).strip()
    plain = re.sub(r"\s*\n\s*", "\n", re.sub(r"[^\S\n]+", " ", plain))
    own = _own_text(plain, letters, choices)
    if own:
        return own
    is_recital = _is_recital(plain, letters)
    for found in (
        set() if is_recital else _beginning(plain, letters, choices),
        _said(plain, letters),
        set() if is_recital else _named(plain, letters),
        set() if is_recital else _by_text(plain, letters, choices),
    ):
        if found:
            return found.pop() if len(found) == 1 else None
    return None


def _own_text(plain: str, letters: str, choices: Sequence[str]) -> str | None:
    """Rule 1. A choice whose text is itself one of the letters is left to the letters."""
    same = [letter for letter, choice in zip(letters, choices, strict=True) if _bare(choice) == _bare(plain)]
    return same[0] if len(same) == 1 and _bare(plain).upper() not in letters else None


def _bare(text: str) -> str:
    """As `normalise`, articles kept: "A noodle dish" may be the letter A or an article."""
    folded = fold(text)
    return re.sub(r"^[\s\"'“‘(「『【《.,;:]+|[\s\"'”’)」』】》.,;:!?。、]+$", "", folded) or folded


def _beginning(plain: str, letters: str, choices: Sequence[str]) -> set[str]:
    """Rule 2."""
    match = re.match(rf"({_OPEN})?([{letters}{letters.lower()}])(?![{LATIN}'’])", plain)
    if match is None:
        return set()
    letter, rest = match[2].upper(), plain[match.end() :]
    if not _may_follow(match[2], rest, is_bracketed=match[1] is not None, own=choices[letters.index(letter)]):
        return set()
    return {letter, *_joined(rest, letters)}


def _may_follow(letter: str, rest: str, *, is_bracketed: bool, own: str) -> bool:
    """Whether what follows a letter at the beginning leaves it a chosen letter."""
    if re.match(rf"{_CLOSE}|\s*[.。]?$", rest):
        return True
    if letter.islower():
        return re.match(r"[:,、。]|\.(?![A-Za-z]\b)", rest) is not None
    if re.match(_MARK, rest):
        return True
    if re.match(rf"\s*(?i:{_DENIED})", rest):
        return False
    if re.match(rf"\s+[{CJK}]|选项|项|是|为|正确|最|\s+{_VERB}|\s*/", rest):
        return True
    return fold(rest).startswith(normalise(own)) or (is_bracketed and letter not in "AI")


def _joined(rest: str, letters: str) -> set[str]:
    """The letters that are joined to one, right behind it: B and C of "A, B or C"."""
    found: set[str] = set()
    while match := re.match(rf"{_JOINED}([{letters}]){_NOT_TOUCHED}", rest):
        rest = rest[match.end() :]
        if not _stands(match[1], rest):
            break
        found.add(match[1])
    return found


def _stands(letter: str, rest: str) -> bool:
    """Whether a letter that nothing touches is one, and no article and no pronoun."""
    if letter.islower():
        return re.match(rf"{_CLOSE}|\s*[.,;:!?。、]|\s*$", rest) is not None
    return letter not in "AI" or re.match(rf"\s+(?!{_VERB})[A-Za-z]", rest) is None


def _standing(plain: str, before: str, letters: str) -> Iterator[tuple[str, int, str]]:
    """Every letter that stands behind a pattern: (the letter, where the pattern begins, the rest of the text)."""
    for match in re.finditer(rf"(?:{before})([{letters}]){_NOT_TOUCHED}", plain):
        rest = plain[match.end() :]
        if _stands(match[1], rest):
            yield match[1].upper(), match.start(), rest


def _all_standing(plain: str, letters: str) -> set[str]:
    return {letter for letter, _, _ in _standing(plain, rf"(?<![{LATIN}'’\-])", letters)}


def _is_recital(plain: str, letters: str) -> bool:
    """Whether the options are told one after another: A) ... B) ..."""
    standing = _standing(plain, r"(?:^|(?<=[\s(]))", letters)
    return [letter for letter, _, rest in standing if re.match(r"[).:、]", rest)][:2] == ["A", "B"]


def _said(plain: str, letters: str) -> set[str]:
    """Rule 3."""
    found: set[str] = set()
    for says in _SAYS:
        for letter, start, rest in _standing(plain, rf"{says}(?:{_OPEN}){{0,2}}", letters + letters.lower()):
            if not _is_negated(plain[:start]) and not re.match(rf"(?i:{_DENIED})", rest):
                found |= {letter, *_joined(rest, letters)}
    return found


def _is_negated(before: str) -> bool:
    """Whether a negation stands shortly before, in the same clause."""
    clause = re.split(r"[,.;:!?。、\n]", before[-16:])[-1]
    return re.search(rf"(?i:{_NEGATION})", clause) is not None


def _named(plain: str, letters: str) -> set[str]:
    """Rule 4."""
    named = {letter for letter, _, _ in _standing(plain, rf"{_NAMED}|{_OPEN}", letters)}
    if len(named) != 1 or re.search(rf"(?i:{_NEGATION})", plain):
        return set()
    return named | _all_standing(plain, letters)


def _by_text(plain: str, letters: str, choices: Sequence[str]) -> set[str]:
    """Rule 5."""
    folded = fold(plain)
    spans = find_names(plain, choices)
    if not spans or not _is_first_clause(folded, *spans[0][:2]):
        ends = [0, *(end for _, end, _ in spans)]
        starts = [*(start for start, _, _ in spans), len(folded)]
        between = " ".join(folded[end:start] for end, start in zip(ends, starts, strict=True))
        if re.search(_NEGATION, between):
            return set()
        spans = [span for span in spans if not re.fullmatch(rf"[{CJK}]", folded[span[0] : span[1]])]
    found = {letters[idx] for _, _, idx in spans}
    return found | _all_standing(plain, letters) if found else set()


def _is_first_clause(folded: str, start: int, end: int) -> bool:
    return (
        not folded[:start].strip("\"'“‘(「『【《")
        and re.match(rf"(?:{_CLOSE})*\s*[.,;:!。、]", folded[end:]) is not None
    )
