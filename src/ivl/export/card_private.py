"""What a model card may say: texts without paths, secrets and names of this machine, safe in Markdown and in YAML.

In: texts of recipes, reports and people. Out: texts for a page that everybody reads. Knows no card.

A path is cut down to its last name wherever one stands. What looks like a key of a hub or an API is replaced, and so
are the names of this machine and its user, where they stand as words of their own and say something.
"""

import getpass
import re
import socket
from pathlib import Path

HIDDEN = "…"
LONGEST = 600
"""Characters of a text that are shown."""
# Control characters, those that turn the direction of text, and halves of surrogate pairs.
_UNFIT = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b-\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]")
_SECRET = re.compile(
    r"\b(?:hf|api_org|ms|sk|ghp|gho|github_pat|glpat|xox[abp])[_-][A-Za-z0-9_-]{12,}"
    r"|\bAKIA[0-9A-Z]{16}\b|\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]*"
    r"|\bms-[0-9a-f]{8}-[0-9a-f-]{20,}"
)
_LOGIN = re.compile(r"(?<=://)[^\s/@]+@|\b[\w.+-]+@[\w-]+(?:\.[\w-]+)*")
# From a root, a home, a drive or a share on; relative ones too where they climb. Not the rest of an address of the web.
_PATH = re.compile(
    r"file://\S+|(?<![\w.:/\\<])(?:~[\w.-]*|\.{1,2})?(?:/[^\s/:;,\"'`<>|()\[\]{}]+){2,}/?"
    r"|(?<![\w.:/\\<])(?:~|/(?:home|root|Users|mnt|media|data|tmp|var|opt|srv|workspace|scratch))(?:/[^\s\"'`<>|]*)?"
    r"|\b[A-Za-z]:[\\/][^\s\"'`<>|]*|\\\\[\w.-]+\\[^\s\"'`<>|]*"
)
# Names of users and machines that many have, and that are words: they tell nothing.
_COMMON = {"root", "user", "users", "admin", "home", "test", "work", "data", "model", "localhost", "ubuntu", "runner"}


def public(text: object, most: int = LONGEST) -> str:
    """A text that this machine's files or settings gave: as `without_places`, and without its own names."""
    line = str(text)
    for name in _own_names():
        line = re.sub(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", HIDDEN, line, flags=re.IGNORECASE)
    return without_places(line, most)


def without_places(text: object, most: int = LONGEST) -> str:
    """A text on one line, without paths, keys and addresses of people, at most so long."""
    line = " ".join(_UNFIT.sub(" ", str(text)).split())
    line = _SECRET.sub(HIDDEN, line)
    line = _PATH.sub(lambda found: _last_name(found[0]), line)
    line = _LOGIN.sub(HIDDEN, line)
    return line if len(line) <= most else line[: most - 1] + "…"


def public_name(path: object) -> str:
    """The last name of a path of any system, and nothing before it."""
    return public(_last_name(str(path)), 120)


def in_markdown(text: object, most: int = LONGEST) -> str:
    """A text without places, and without any markup of Markdown or HTML; fit for a table's cell."""
    return re.sub(r"([\\|`*_\[\]<>#~&$])", r"\\\1", without_places(text, most))


def in_yaml(text: object, most: int = LONGEST) -> str:
    """A text without places, as a quoted YAML scalar, whatever is in it."""
    return '"' + "".join(_yaml_char(char) for char in without_places(text, most)) + '"'


def fenced(language: str, code: str) -> str:
    """Code as a block of Markdown that nothing in it can end."""
    runs = [len(run) for run in re.findall(r"`+", code)]
    fence = "`" * max(3, *(run + 1 for run in runs), 3)
    return f"{fence}{language}\n{code}\n{fence}"


def _yaml_char(char: str) -> str:
    if char in '"\\':
        return "\\" + char
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\U{code:08x}" if code > 0xFFFF else f"\\u{code:04x}"


def _last_name(path: str) -> str:
    parts = [part for part in re.split(r"[\\/]+", path) if part]
    is_home = len(parts) > 1 and parts[-2].lower() in ("home", "users") and path[:1] != "."
    return parts[-1] if parts and not is_home else HIDDEN


def _own_names() -> list[str]:
    """The user's and this machine's names, the longest first."""
    found = {Path.home().name, *_asked(getpass.getuser), *_asked(socket.gethostname)}
    found |= {name.partition(".")[0] for name in found}
    return sorted((name for name in found if len(name) >= 3 and name.lower() not in _COMMON), key=len, reverse=True)


def _asked(ask: object) -> list[str]:
    try:
        return [ask()] if callable(ask) else []
    except (OSError, KeyError, ImportError):
        return []
