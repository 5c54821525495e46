"""Headers that lie are refused with the tensor's name; numbers go through unchanged."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from ivl.errors import CheckpointError
from ivl.model import safetensors_io
from ivl.model.safetensors_io import (
    FLOATS,
    TYPES,
    Source,
    can_store,
    read_all,
    read_header,
    read_into,
    write_all,
    write_file,
)

F32 = {"dtype": "F32", "shape": [2], "data_offsets": [0, 8]}


def write_raw(path: Path, header: object, data: bytes = b"", length: int | None = None) -> Path:
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes((len(text) if length is None else length).to_bytes(8, "little") + text + data)
    return path


def refused(path: Path) -> str:
    with path.open("rb", buffering=0) as file, pytest.raises(CheckpointError) as caught:
        read_header(file, str(path))
    message = str(caught.value)
    assert message.startswith(str(path))
    assert "\n" not in message
    return message


def entry(dtype: str, shape: list[Any], start: Any, stop: Any) -> dict[str, Any]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


class TestHeader:
    def test_good(self, tmp_path: Path) -> None:
        header = {
            "__metadata__": {"format": "pt"},
            "b": entry("BF16", [2, 2], 8, 16),
            "a": F32,
            "c": entry("U8", [0], 16, 16),
        }
        path = write_raw(tmp_path / "x", header, bytes(16))
        with path.open("rb", buffering=0) as file:
            found = read_header(file, "x")
        assert list(found) == ["a", "b", "c"]
        assert found["b"].shape == (2, 2)
        assert found["b"].offset == path.stat().st_size - 8

    @pytest.mark.parametrize("content", [b"", b"1234567", b"\0" * 7])
    def test_too_short(self, content: bytes, tmp_path: Path) -> None:
        (tmp_path / "x").write_bytes(content)
        assert "too few" in refused(tmp_path / "x")

    @pytest.mark.parametrize("length", [2**63, 2**64 - 1, 10**6])
    def test_header_longer_than_the_file(self, length: int, tmp_path: Path) -> None:
        assert str(length) in refused(write_raw(tmp_path / "x", {"a": F32}, bytes(8), length))

    def test_header_too_large_to_be_read(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(safetensors_io, "MAX_HEADER_BYTES", 20)
        assert "at most 20 are read" in refused(write_raw(tmp_path / "x", {"a": F32}, bytes(8)))

    def test_git_lfs_pointer(self, tmp_path: Path) -> None:
        (tmp_path / "x").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n")
        assert "Git LFS pointer" in refused(tmp_path / "x")

    @pytest.mark.parametrize(
        "header", [b"", b"[]", b"   ", b"{", b'{"a": ', b"\xff\xfe", b"PK\x03\x04", b'{"a":' + b"[" * 100_000]
    )
    def test_not_json(self, header: bytes, tmp_path: Path) -> None:
        assert "header" in refused(write_raw(tmp_path / "x", header, bytes(8)))

    def test_duplicate(self, tmp_path: Path) -> None:
        text = f'{{"a": {json.dumps(F32)}, "a": {json.dumps(F32)}}}'.encode()
        assert "'a' stands in it twice" in refused(write_raw(tmp_path / "x", text, bytes(8)))

    def test_overlap(self, tmp_path: Path) -> None:
        header = {"a": F32, "b": entry("F32", [2], 4, 12)}
        assert "tensor 'b' overlap those of 'a'" in refused(write_raw(tmp_path / "x", header, bytes(12)))

    def test_same_place_twice(self, tmp_path: Path) -> None:
        assert "overlap" in refused(write_raw(tmp_path / "x", {"a": F32, "b": F32}, bytes(8)))

    def test_hole(self, tmp_path: Path) -> None:
        header = {"a": F32, "b": entry("F32", [2], 12, 20)}
        assert "4 bytes before tensor 'b'" in refused(write_raw(tmp_path / "x", header, bytes(20)))

    def test_bytes_after_the_end(self, tmp_path: Path) -> None:
        assert "3 bytes after tensor 'a'" in refused(write_raw(tmp_path / "x", {"a": F32}, bytes(11)))

    def test_cut_short(self, tmp_path: Path) -> None:
        assert "tensor 'a' ends at byte" in refused(write_raw(tmp_path / "x", {"a": F32}, bytes(7)))

    @pytest.mark.parametrize(
        "wrong",
        [
            entry("F32", [3], 0, 8),
            entry("F32", [2], 8, 0),
            entry("F32", [2], -8, 0),
            entry("F32", [2], 0, 2**70),
            entry("F32", [2], 0, True),
            entry("F32", [2.0], 0, 8),
            entry("F32", [-2], 0, 8),
            entry("F32", [2**62, 2**62], 0, 8),
            entry("F32", [1] * 9, 0, 4),
            entry("F33", [2], 0, 8),
            entry("O", [2], 0, 8),
            {"dtype": "F32", "shape": [2]},
            {"dtype": "F32", "shape": 2, "data_offsets": [0, 8]},
            {"dtype": "F32", "shape": [2], "data_offsets": [0, 4, 8]},
            {"dtype": ["F32"], "shape": [2], "data_offsets": [0, 8]},
            F32 | {"more": 1},
            [0, 8],
            None,
        ],
    )
    def test_bad_line_names_its_tensor(self, wrong: object, tmp_path: Path) -> None:
        assert "tensor 'some.weight'" in refused(write_raw(tmp_path / "x", {"some.weight": wrong}, bytes(8)))


class TestNumbers:
    def test_written_and_read_bit_for_bit(self, tmp_path: Path) -> None:
        odd = torch.tensor([1.5, -0.0, float("inf"), float("nan"), 1e-45])
        half = torch.randn(3, 5).bfloat16()
        sources = [
            Source(name="half", shape=(5, 3), pieces=(half[2:], half[:2])),
            Source(name="odd", shape=(5,), pieces=(odd,)),
            Source(name="empty", shape=(0, 4), pieces=(torch.empty(0, 4),)),
        ]
        write_file(tmp_path / "x", sources)
        with (tmp_path / "x").open("rb", buffering=0) as file:
            header = read_header(file, "x")
            out = {name: torch.empty(e.shape, dtype=safetensors_io.FLOATS[e.dtype]) for name, e in header.items()}
            for name, e in header.items():
                read_into(file, e.offset, e.dtype, out[name], "x")
        assert list(header) == ["odd", "empty", "half"]  # wide types first
        assert torch.equal(out["odd"].view(torch.int32), odd.view(torch.int32))
        assert torch.equal(out["half"].flatten(), torch.cat((half[2:].flatten(), half[:2].flatten())))

    @pytest.mark.parametrize("stored", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
    @pytest.mark.parametrize("wanted", [torch.float32, torch.bfloat16, torch.float16])
    def test_conversion_in_chunks_is_torchs(
        self, stored: torch.dtype, wanted: torch.dtype, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(safetensors_io, "CHUNK_BYTES", 64)
        values = torch.randn(7, 31, generator=torch.Generator().manual_seed(0)).to(stored)
        write_file(tmp_path / "x", [Source(name="a", shape=(7, 31), pieces=(values,))])
        out = torch.empty(5, 31, dtype=wanted)
        with (tmp_path / "x").open("rb", buffering=0) as file:
            found = read_header(file, "x")["a"]
            read_into(file, found.offset + 2 * 31 * stored.itemsize, found.dtype, out, "x")
        assert torch.equal(out, values[2:].to(wanted))

    def test_a_file_that_shrinks_while_it_is_read(self, tmp_path: Path) -> None:
        write_file(tmp_path / "x", [Source(name="a", shape=(64,), pieces=(torch.ones(64),))])
        with (tmp_path / "x").open("rb", buffering=0) as file:
            found = read_header(file, "x")["a"]
            (tmp_path / "x").open("r+b").truncate(found.offset + 100)
            with pytest.raises(CheckpointError, match="ends early"):
                read_into(file, found.offset, "F32", torch.empty(64), "x")


def test_tensors_of_every_type_come_back(tmp_path: Path) -> None:
    tensors = {
        name: (torch.arange(6) % 2 if dtype is torch.bool else torch.arange(6)).to(dtype).view(2, 3)
        for name, dtype in TYPES.items()
    }
    tensors |= {"scalar": torch.tensor(7), "empty": torch.empty(0, 3), "turned": torch.arange(6.0).view(2, 3).T}
    write_all(tmp_path / "x", tensors)
    with (tmp_path / "x").open("rb", buffering=0) as file:
        got = read_all(file, "x")
    assert got.keys() == tensors.keys()
    for name, tensor in tensors.items():
        assert (got[name].dtype, got[name].shape) == (tensor.dtype, tensor.shape)
        assert got[name].tolist() == tensor.tolist(), name
    assert [dtype for dtype in TYPES.values() if can_store(dtype)] == list(FLOATS.values())


def test_a_type_that_torch_does_not_have_is_refused(tmp_path: Path) -> None:
    path = write_raw(tmp_path / "x", {"a": entry("F8_E8M0", [2], 0, 2)}, bytes(2))
    with path.open("rb", buffering=0) as file, pytest.raises(CheckpointError, match="'a' is stored as F8_E8M0, which"):
        read_all(file, "x")
