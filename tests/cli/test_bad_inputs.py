"""What people get wrong, from the command line to the error: one line that names it, no traceback."""

import json
import shutil
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image

import ivl

TOKENIZER = ("tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@pytest.fixture(scope="module")
def model(tiny_folder) -> Path:
    return tiny_folder("tiny-internlm2")


@pytest.fixture
def own(model, tmp_path) -> Path:
    """A copy of the model that a test may break."""
    return Path(shutil.copytree(model, tmp_path / "broken"))


@pytest.fixture
def ask(ivl_command, model):
    """Asks about pictures and gives the one line of the error."""

    def ask(*args, folder=model, prompt="What is this?"):
        shown = ivl_command("chat", *args, "-m", folder, "-p", prompt, "--max-new-tokens", 2)
        return one_error(shown)

    return ask


def one_error(shown) -> str:
    assert (shown.code, shown.out) == (1, ""), shown
    (line,) = shown.err.splitlines()
    assert line.startswith("error: ")
    assert "Traceback" not in line
    assert "unexpected" not in line
    assert " object at " not in line
    return line


def png(width: int, height: int, data: bytes) -> bytes:
    """A PNG file that claims a size, whatever its data are."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(data)) + chunk(b"IEND", b"")


def edit_config(folder: Path, **fields) -> None:
    path = folder / "config.json"
    config = json.loads(path.read_text("utf-8"))
    config["llm_config"].update(fields)
    path.write_text(json.dumps(config), "utf-8")


def test_no_folder(ask, tmp_path):
    assert "nowhere" in ask(folder=tmp_path / "nowhere")


def test_an_empty_folder(ask, tmp_path):
    assert "config.json" in ask(folder=tmp_path)


def test_a_file_for_a_folder(ask, own):
    assert "is a file" in ask(folder=own / "config.json")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json"])
def test_half_a_folder(ask, own, name):
    (own / name).unlink()
    line = ask(folder=own)
    assert name in line or name == "tokenizer.json"
    assert "broken" in line


def test_a_truncated_weight_file(ask, own):
    weights = own / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert "cut short" in ask(folder=own)


def test_a_missing_shard(ask, model, tmp_path):
    folder = tmp_path / "sharded"
    ivl.save_model(ivl.load_model(model), folder, max_shard_bytes=500_000)
    for name in TOKENIZER:
        shutil.copyfile(model / name, folder / name)
    shard = sorted(folder.glob("*.safetensors"))[1]
    shard.unlink()
    line = ask(folder=folder)
    assert shard.name in line
    assert "missing" in line


@pytest.mark.parametrize("change", [+100, -20])
def test_a_wrong_vocabulary(ask, own, change):
    size = json.loads((own / "config.json").read_text("utf-8"))["llm_config"]["vocab_size"]
    edit_config(own, vocab_size=size + change)
    assert str(size + change) in ask(folder=own)


def test_broken_json(ask, own):
    (own / "config.json").write_text("{", "utf-8")
    assert "JSON" in ask(folder=own)


def test_only_pickled_weights(ask, own):
    (own / "model.safetensors").rename(own / "pytorch_model.bin")
    line = ask(folder=own)
    assert "pickle" in line
    assert "safetensors" in line


def test_a_missing_picture(ask, tmp_path):
    assert "cat.jpg" in ask(tmp_path / "cat.jpg")


def test_a_folder_for_a_picture(ask, tmp_path):
    assert "folder" in ask(tmp_path)


def test_a_text_for_a_picture(ask, tmp_path):
    path = tmp_path / "notes.jpg"
    path.write_text("buy milk")
    assert "notes.jpg" in ask(path)


def test_a_truncated_jpeg(ask, tmp_path):
    path = tmp_path / "half.jpg"
    Image.effect_noise((300, 300), 90).save(path)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    assert "half.jpg" in ask(path)


def test_a_decompression_bomb(ask, tmp_path):
    path = tmp_path / "bomb.png"
    path.write_bytes(png(50_000, 50_000, bytes(1000)))
    assert "50000 by 50000 pixels" in ask(path)


@pytest.mark.parametrize("size", [(1, 1), (60_000, 1), (1, 60_000)])
def test_extreme_shapes_are_answered_or_refused(ivl_command, model, tmp_path, size):
    path = tmp_path / "thin.png"
    Image.new("RGB", size, "red").save(path)
    shown = ivl_command("chat", path, "-m", model, "-p", "What is this?", "--max-new-tokens", 2)
    if shown.code:
        assert f"{size[0]} by {size[1]} pixels" in one_error(shown)
    else:
        assert "cut after 2 tokens" in shown.err


@pytest.mark.parametrize("prompt", ["<image><image> differ?", "<image>", "a <image> b <image> c <image>"])
def test_more_places_than_pictures(ask, tmp_path, prompt):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    pictures = [tmp_path / "a.png"] * (prompt.count("<image>") - 1)
    line = ask(*pictures, prompt=prompt)
    assert "<image>" in line
    assert str(len(pictures)) in line


def test_more_pictures_than_places(ask, tmp_path):
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert "<image>" in ask(tmp_path / "a.png", tmp_path / "a.png", prompt="only <image>?")


def test_a_prompt_longer_than_the_session(ask):
    assert "at most 19 fit" in ask("--session-len", 20, prompt="word " * 50)


@pytest.mark.parametrize(
    ("args", "named"),
    [
        (["--device", "tpu"], "'tpu'"),
        (["--device", "cuda:77"], "cuda:77"),
        (["--dtype", "int3"], "int3"),
        (["--max-tiles", "0"], "max_tiles"),
        (["--max-tiles", "9999"], "max_tiles"),
        (["--temperature", "nan"], "temperature"),
        (["--max-new-tokens", "0"], "max_new_tokens"),
        (["--session-len", "-5"], "session_len"),
    ],
)
def test_settings_that_cannot_be(ivl_command, model, args, named):
    assert named in one_error(ivl_command("chat", "-m", model, "-p", "x", *args))


def test_a_good_question_is_still_answered(ivl_command, model, tmp_path):
    Image.new("RGB", (60, 30), "red").save(tmp_path / "a.png")
    shown = ivl_command("chat", tmp_path / "a.png", "-m", model, "-p", "What is this?", "--max-new-tokens", 4)
    assert shown.code == 0
    assert shown.out.endswith("\n")
