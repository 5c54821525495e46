"""`ivl info`: what is said about a model and a picture."""

import json

import pytest
from PIL import Image


def test_a_published_model_by_name(ivl_command):
    shown = ivl_command("info", "InternVL2-2B")
    assert shown.code == 0
    assert "InternVL2-2B: published" in shown.out
    assert ["total", "2,205,754,368"] in [line.split() for line in shown.out.splitlines()]
    assert "8.22 GiB in float32, 4.11 GiB in bfloat16 or float16" in shown.out
    assert "93.8 MiB in bfloat16 or float16 for each 1,000 tokens" in shown.out
    assert "256 tokens a tile, 3,328 at most" in shown.out
    assert "template internlm2-chat, stops at <|im_end|>" in shown.out
    assert "context 32,768 tokens, vocabulary 92,553" in shown.out


def test_its_hub_id_needs_no_download_either(ivl_command):
    shown = ivl_command("info", "OpenGVLab/InternVL2-2B", "--json")
    assert json.loads(shown.out)["parameters"]["total"] == 2_205_754_368


def test_a_folder_as_json(ivl_command, tiny_folder):
    folder = tiny_folder("tiny-qwen2")
    data = json.loads(ivl_command("info", folder, "--json").out)
    assert data["folder"] == str(folder)
    assert data["parameters"]["total"] == sum(
        data["parameters"][part] for part in ("vision_model", "connector", "language_model")
    )
    assert data["tokens_per_tile"] == 4
    assert data["template"] == "Hermes-2"
    assert [token["text"] for token in data["stop_tokens"]] == ["<|im_end|>"]
    assert data["text"]["decoder"] == "qwen2"


def test_a_folder_without_a_tokenizer_still_has_numbers(ivl_command, tiny_folder, tmp_path):
    (tmp_path / "config.json").write_bytes((tiny_folder("tiny-qwen2") / "config.json").read_bytes())
    shown = ivl_command("info", tmp_path)
    assert shown.code == 0
    assert "stops at <|im_end|>\n" in shown.out


def test_a_picture_is_drawn_with_its_tiles(ivl_command, tmp_path):
    Image.new("RGB", (900, 600), "green").save(tmp_path / "food.png")
    shown = ivl_command("info", "InternVL2-2B", "--image", tmp_path / "food.png", "-o", tmp_path / "grid.png")
    assert shown.code == 0
    assert "900x600 pixels, 3 x 2 tiles and a thumbnail, 1,792 image tokens" in shown.out
    assert f"drawn to {tmp_path / 'grid.png'}" in shown.out
    with Image.open(tmp_path / "grid.png") as drawing:
        assert drawing.format == "PNG"
        assert len(drawing.convert("RGB").getcolors(1 << 24)) > 1


def test_a_picture_as_json_with_fewer_tiles(ivl_command, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Image.new("RGB", (900, 600), "green").save("food.png")
    shown = ivl_command("info", "InternVL2-2B", "--image", "food.png", "--max-tiles", 2, "--json")
    data = json.loads(shown.out)
    assert (data["columns"], data["rows"], data["num_tokens"]) == (2, 1, 768)
    assert data["drawing"] == "food_grid.png"
    assert (tmp_path / "food_grid.png").exists()


@pytest.mark.parametrize(
    ("args", "code", "named"),
    [
        (["InternVL2-2B", "-o", "x.png"], 2, "give --image"),
        (["InternVL2-2B", "--image", "none.png"], 1, "none.png"),
        (["./no/such/folder"], 1, "no/such/folder"),
        (["InternVL2-9B"], 1, "did you mean 'InternVL2-"),
    ],
)
def test_mistakes(ivl_command, args, code, named):
    shown = ivl_command("info", *args)
    assert (shown.code, shown.out) == (code, "")
    assert named in shown.err
    assert shown.err.count("\n") == 1


def test_a_drawing_that_cannot_be_written(ivl_command, tmp_path):
    Image.new("RGB", (90, 60)).save(tmp_path / "food.png")
    shown = ivl_command("info", "InternVL2-2B", "--image", tmp_path / "food.png", "-o", tmp_path / "no" / "x.png")
    assert shown.code == 1
    assert "cannot write the drawing" in shown.err
