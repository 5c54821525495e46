"""What tests of pulling and pushing share: a hub, an environment that knows no other, and a model in three files."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from huggingface_hub import constants

from hub.hub_server import TOKEN, FakeHub, serve_hub
from ivl.model.weights import load_model, save_model

SIDE_FILES = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@contextmanager
def only_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: FakeHub) -> Iterator[FakeHub]:
    """`hub` runs, the process knows it alone and its owner's token, and no wait takes time."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HF_TOKEN", TOKEN)
    for name in ("HF_HUB_OFFLINE", "HUGGING_FACE_HUB_TOKEN", "MODELSCOPE_API_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(constants, "HF_TOKEN_PATH", str(tmp_path / "no-token"))
    monkeypatch.chdir(tmp_path)
    with serve_hub(hub):
        monkeypatch.setenv("HF_ENDPOINT", hub.url)
        yield hub


def sharded(source: Path, folder: Path) -> Path:
    """The model of `source` in three weight files, with a card."""
    size = (source / "model.safetensors").stat().st_size
    save_model(load_model(source), folder, max_shard_bytes=size // 3 + 20_000)
    for name in SIDE_FILES:
        shutil.copyfile(source / name, folder / name)
    (folder / "README.md").write_text("# A model\n\n![dinner](card/sample-1.jpg)\n", "utf-8")
    return folder
