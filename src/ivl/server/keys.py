"""API keys: who asks, found without telling by its time how near a guess was.

In: a file or an environment variable of keys, the header of a request. Out: the name of the key's owner. Keeps only
SHA-256 of keys. Knows no requests.
"""

import hashlib
import hmac
import re
from collections.abc import Iterable
from pathlib import Path

from ivl.errors import SettingsError

ANYONE = "anyone"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,31}")
_SHORTEST = 16
_MAX_BYTES = 2**20


class Keys:
    """The keys of a server. None at all: everybody is `ANYONE`."""

    def __init__(self, lines: Iterable[str] = ()) -> None:
        """lines: `key`, `name:key` or `name:sha256:HEX`; empty ones and comments (#) are left out."""
        self._owners: list[tuple[bytes, str]] = []
        for number, line in enumerate(lines, 1):
            text = line.strip()
            if text and not text.startswith("#"):
                self._owners.append(_owner(text, number))

    def __len__(self) -> int:
        return len(self._owners)

    def owner(self, authorization: str | None) -> str | None:
        """Whose key `Bearer ...` holds; None where it is nobody's."""
        if not self._owners:
            return ANYONE
        scheme, _, key = (authorization or "").partition(" ")
        digest = _digest(key.strip())
        found = None
        for known, name in self._owners:  # all of them, whichever fits
            if hmac.compare_digest(known, digest):
                found = name
        return found if scheme.lower() == "bearer" else None


def read_keys(file: Path | None, environment: str | None) -> Keys:
    """The keys of a file and of a variable's value, which separates them by spaces. Raises SettingsError."""
    lines = (environment or "").split()
    if file is not None:
        try:
            with file.open("rb") as opened:
                data = opened.read(_MAX_BYTES + 1)
            if len(data) > _MAX_BYTES:
                raise SettingsError(f"{file}: a file of keys has at most {_MAX_BYTES} bytes")
            own = data.decode().splitlines()
        except (OSError, UnicodeDecodeError) as error:
            reason = error.strerror if isinstance(error, OSError) else "it is no UTF-8"
            raise SettingsError(f"{file}: the API keys cannot be read: {reason}") from error
        lines = [*own, *lines]
        if not Keys(own):
            raise SettingsError(f"{file} holds no API key: write one on each line, as `name:key` or `key`")
    return Keys(lines)


def _owner(text: str, number: int) -> tuple[bytes, str]:
    name, separator, key = text.partition(":")
    if not separator or name == "sha256":
        name, key = f"key{number}", text
    if not _NAME.fullmatch(name):
        raise SettingsError(
            f"API key {number} has a bad name: letters, digits, '.', '_' and '-' are allowed, 32 at most"
        )
    if key.startswith("sha256:"):
        if not re.fullmatch(r"sha256:[0-9a-fA-F]{64}", key):
            raise SettingsError(f"API key {number}: sha256: needs 64 hexadecimal digits behind it")
        return bytes.fromhex(key[7:]), name
    if len(key) < _SHORTEST or any(char.isspace() for char in key):
        raise SettingsError(f"API key {number} is too easy to guess: at least {_SHORTEST} characters without spaces")
    return _digest(key), name


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
