"""Words of English and Chinese for the site's search, which runs in the browser without a server.

In: a page's text, or what a person types. Out: words, cut in the same way in both places: English ones by their
letters, Chinese ones as pairs of neighbouring characters, because Chinese has no spaces and a dictionary would cut a
question differently from the page. All pairs of a question must occur, so that it is found as a phrase nearly always.
"""

import re
from itertools import pairwise

from sphinx.search.en import SearchEnglish

HAN = r"\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff"
_RUN = re.compile(rf"[{HAN}]+|[^\W{HAN}]+")
# As `words`, but a single character only where it stands alone: the index has every character by itself too.
_SPLIT_QUERY = rf"""
var splitQuery = (query) =>
  (query.match(/[{HAN}]+|[^\s\p{{P}}\p{{S}}{HAN}]+|[_]+/gu) || []).flatMap((run) =>
    /[{HAN}]/.test(run) && run.length > 1
      ? [...run].slice(1).map((character, index) => run[index] + character)
      : [run],
  );
"""


def words(text: str) -> list[str]:
    """Words of a text for the index: English ones, pairs of Chinese characters, and each of these characters."""
    found = []
    for run in _RUN.findall(text):
        if re.match(f"[{HAN}]", run):
            found += [first + second for first, second in pairwise(run)] + list(run)
        else:
            found.append(run)
    return found


class SearchBoth(SearchEnglish):
    """English and Chinese in one index; English words are reduced to their stems, as Sphinx does it."""

    js_splitter_code = _SPLIT_QUERY

    def split(self, input: str) -> list[str]:
        return words(input)


class SearchChinese(SearchBoth):
    """The same, under the name by which Sphinx looks for Chinese."""

    lang = "zh"
