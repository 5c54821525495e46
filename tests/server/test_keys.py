"""API keys: from files and the environment, compared as hashes."""

import hashlib
import hmac
from pathlib import Path

import pytest

from ivl.errors import SettingsError
from ivl.server import keys as module
from ivl.server.keys import ANYONE, Keys, read_keys

KEY, OTHER = "alice-0123456789abcdef", "bob-0123456789abcdef"


def test_whose_key_it_is() -> None:
    digest = hashlib.sha256(OTHER.encode()).hexdigest()
    keys = Keys([f"alice:{KEY}", "", "# a comment", f"bob:sha256:{digest}", "unnamed-0123456789", "sha256:" + digest])
    assert len(keys) == 4
    assert keys.owner(f"Bearer {KEY}") == "alice"
    assert keys.owner(f"bearer  {KEY} ") == "alice"
    assert keys.owner("Bearer unnamed-0123456789") == "key5"
    assert keys.owner(f"Bearer {OTHER}") in ("bob", "key6")


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", f"Basic {KEY}", KEY, f"Bearer {KEY}x", f"Bearer {KEY[:-1]}", "Bearer é\udc80"],
)
def test_nobodys_key(header: str | None) -> None:
    assert Keys([f"alice:{KEY}"]).owner(header) is None


def test_the_hash_itself_is_no_key() -> None:
    digest = hashlib.sha256(KEY.encode()).hexdigest()
    assert Keys([f"alice:sha256:{digest}"]).owner(f"Bearer {digest}") is None
    assert Keys([f"sha256:{digest}"]).owner(f"Bearer {digest}") is None


def test_without_keys_everybody_may() -> None:
    assert Keys().owner(None) == ANYONE


def test_all_are_compared_in_constant_time(monkeypatch: pytest.MonkeyPatch) -> None:
    compared, compare_digest = [], hmac.compare_digest

    def compare(left: bytes, right: bytes) -> bool:
        compared.append((len(left), len(right)))
        return compare_digest(left, right)

    monkeypatch.setattr(module.hmac, "compare_digest", compare)
    keys = Keys([f"alice:{KEY}", f"bob:{OTHER}"])
    assert keys.owner(f"Bearer {KEY}") == "alice"
    assert compared == [(32, 32), (32, 32)]
    assert KEY not in repr(vars(keys))


@pytest.mark.parametrize(
    ("line", "words"),
    [("short", "too easy to guess"), ("a b:0123456789abcdef", "bad name"), ("me:sha256:12", "64 hexadecimal"),
     ("me:0123456789 abcdef", "without spaces")],
)  # fmt: skip
def test_bad_lines_are_told_without_the_key(line: str, words: str) -> None:
    with pytest.raises(SettingsError, match=words) as raised:
        Keys(["# first", line])
    assert "API key 2" in str(raised.value)
    assert line not in str(raised.value)


def test_files_and_environment(tmp_path: Path) -> None:
    file = tmp_path / "keys.txt"
    file.write_text(f"# ours\nalice:{KEY}\n")
    keys = read_keys(file, f"bob:{OTHER}")
    assert (keys.owner(f"Bearer {KEY}"), keys.owner(f"Bearer {OTHER}")) == ("alice", "bob")
    assert len(read_keys(None, None)) == 0
    file.write_text("# nothing\n")
    with pytest.raises(SettingsError, match="holds no API key"):
        read_keys(file, f"bob:{OTHER}")
    file.write_bytes(b"\xff\xfe")
    with pytest.raises(SettingsError, match="no UTF-8"):
        read_keys(file, None)
    with pytest.raises(SettingsError, match="No such file"):
        read_keys(tmp_path / "none", None)
