"""What a server may be told, and that it does not open itself to strangers by accident."""

from typing import Any

import pytest

from ivl.errors import SettingsError
from ivl.server.settings import ServerSettings


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "::1", "127.1.2.3"])
def test_only_this_machine(host: str) -> None:
    ServerSettings(host=host).check_keys(has_keys=False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "192.168.1.2", "example.org", ""])
def test_others_need_a_key_or_a_word(host: str) -> None:
    with pytest.raises(SettingsError, match="--allow-anonymous"):
        ServerSettings(host=host).check_keys(has_keys=False)
    ServerSettings(host=host).check_keys(has_keys=True)
    ServerSettings(host=host, allow_anonymous=True).check_keys(has_keys=False)


@pytest.mark.parametrize(
    "given",
    [{"port": 70000}, {"port": -1}, {"max_n": 0}, {"max_queue": -1}, {"max_body_bytes": float("nan")}, {"per_key": 0},
     {"drain_timeout_s": -1.0}, {"cors_origins": ("*",)}, {"cors_origins": ("https://a.b/c",)},
     {"cors_origins": ("a.b",)}, {"adapters": ("x", "x")}, {"name": "x", "adapters": ("x",)}],
    ids=str,
)  # fmt: skip
def test_what_cannot_be(given: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(given)) if "adapters" not in given else "different names"):
        ServerSettings(**given)
