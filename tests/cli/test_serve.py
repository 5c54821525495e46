"""`ivl serve`: what it refuses before any model is loaded, and what it hands on."""

import importlib.util
import subprocess
import sys
from typing import Any

import pytest

import ivl.server.app
import ivl.server.run
import ivl.session
from ivl.server.settings import ServerSettings
from ivl.zoo import nano_folder

KEY = "alice-0123456789abcdef"


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What the command would serve; no model is loaded and nobody listens."""
    told: dict[str, Any] = {}

    class Nothing:
        def __enter__(self) -> "Nothing":
            return self

        def __exit__(self, *error: object) -> None:
            pass

    def pipeline(model: str | None, **given: Any) -> Nothing:
        told.update(given, model=model)
        return Nothing()

    def serve(app: Any, settings: ServerSettings, *rest: object) -> None:
        told["settings"] = settings

    monkeypatch.setattr(ivl.session, "pipeline", pipeline)
    monkeypatch.setattr(ivl.server.app, "create_app", lambda *given: told.update(keys=given[2]))
    monkeypatch.setattr(ivl.server.run, "serve", serve)
    monkeypatch.setattr(ivl.server.run, "bind", lambda settings: Nothing())
    monkeypatch.delenv("IVL_API_KEYS", raising=False)
    return told


def test_settings_reach_the_server(ivl_command, told, tmp_path):
    file = tmp_path / "keys.txt"
    file.write_text(f"alice:{KEY}\n")
    shown = ivl_command(
        "serve", "some/Model-2B", "--adapter", "food=a/folder", "--adapter", "art=b", "--host", "0.0.0.0",
        "--port", 9000, "--api-keys", file, "--max-images", 3, "--max-request-tiles", 20, "--max-tiles", 6,
        "--max-queue", 0, "--batch", 4, "--cors-origin", "https://a.example", "--open-health", "--device", "cpu",
    )  # fmt: skip
    assert (shown.code, shown.out) == (0, "")
    assert told["model"] == "some/Model-2B"
    assert {name: str(folder) for name, folder in told["adapter"].items()} == {"food": "a/folder", "art": "b"}
    assert told["max_tiles"] == 6
    assert told["engine_config"].max_batch_size == 4
    assert told["keys"].owner(f"Bearer {KEY}") == "alice"
    assert told["settings"] == ServerSettings(
        name="some/Model-2B", adapters=("food", "art"), host="0.0.0.0", port=9000, max_images=3, max_tiles=20,
        max_queue=0, max_running=4, cors_origins=("https://a.example",), open_health=True,
    )  # fmt: skip


def test_a_folder_is_served_by_its_name(ivl_command, told, tmp_path):
    (tmp_path / "my-model").mkdir()
    ivl_command("serve", tmp_path / "my-model")
    assert told["settings"].name == "my-model"
    ivl_command("serve")
    assert told["settings"] == ServerSettings(name=nano_folder().name)


@pytest.mark.parametrize(
    ("args", "code", "words"),
    [
        (["--host", "0.0.0.0"], 1, "--allow-anonymous"),
        (["--adapter", "a/folder"], 2, "NAME=FOLDER"),
        (["--adapter", "a=x", "--adapter", "a=y"], 2, "given twice"),
        (["--adapter", f"{nano_folder().name}=x"], 1, "different names"),
        (["--api-keys", "no-such-file"], 1, "cannot be read"),
        (["--port", "70000"], 2, "70000"),
        (["--cors-origin", "*"], 1, "cors_origins"),
    ],
)
def test_mistakes_are_told_before_anything_is_loaded(ivl_command, told, args, code, words):
    shown = ivl_command("serve", *args)
    assert shown.code == code
    assert words in shown.err
    assert shown.err.count("\n") == 1
    assert told == {}


def test_without_the_extra_it_says_what_to_install(ivl_command, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr("ivl.server.extra.find_spec", lambda name: None if name == "fastapi" else find(name))
    shown = ivl_command("serve")
    assert shown.code == 1
    assert "pip install 'ivl[server]'" in shown.err


def test_nothing_else_needs_the_extra():
    code = (
        "import sys\n"
        "for name in ('fastapi', 'starlette', 'uvicorn', 'pydantic'): sys.modules[name] = None\n"
        "import ivl, ivl.session, ivl.cli.main, ivl.cli.serve, ivl.server.settings, ivl.server.keys\n"
    )
    assert subprocess.run([sys.executable, "-c", code], capture_output=True).returncode == 0
