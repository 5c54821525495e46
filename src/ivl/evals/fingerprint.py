"""What an answer follows from, as short texts that differ when the answer may differ.

In: a subject, settings, a question as it is asked. Out: digests. Reads no weights and no pixels of files: those are
told by their size and the time of their change.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

import PIL.Image

from ivl._version import __version__
from ivl.errors import SettingsError
from ivl.evals.item import Asked, Subject
from ivl.evals.settings import EvalSettings
from ivl.types import ImageSource, TextPart, VideoPart

ADAPTER_FILES = ("adapter_config.json", "adapter_model.safetensors")
"""What PEFT's format, and ours, calls them."""
_MODEL_FILES = {".json", ".safetensors", ".model", ".txt"}
_SMALL = 2**20
_LONGEST_PATH = 4096


def subject_fingerprint(subject: Subject, settings: EvalSettings) -> dict[str, Any]:
    """What all answers of a subject follow from besides the questions: plain values. Raises SettingsError."""
    return {
        "ivl": __version__,
        "model": _folder_digest(Path(subject.folder), None),
        "adapter": None if subject.adapter is None else _folder_digest(Path(subject.adapter), ADAPTER_FILES),
        "max_tiles": settings.max_tiles,
        "device": settings.device,
        "dtype": settings.dtype,
    }


def asked_digest(asked: Asked, letters: str) -> str:
    """Of a question: its words, its pictures, the room for the answer, the letters it is confined to ("": none)."""
    said: list[Any] = [asked.max_new_tokens, letters]
    for message in asked.messages:
        said.append(message.role)
        for part in message.parts:
            if isinstance(part, TextPart):
                said.append(["text", part.text])
            elif isinstance(part, VideoPart):
                said.append(["video", _identity(part.source), part.num_frames, part.start_s, part.end_s])
            else:
                said.append(["image", _identity(part.source), part.max_tiles])
    return _digest(json.dumps(said).encode())


def _identity(source: ImageSource) -> list[Any]:
    """A picture's file by name, size and time of change; other forms by their content."""
    if isinstance(source, bytes):
        return [_digest(source)]
    if isinstance(source, PIL.Image.Image):
        return [source.mode, source.size, _digest(source.tobytes())]
    text = os.fspath(source)
    if len(text) > _LONGEST_PATH:  # a data URI
        return [_digest(text.encode("utf-8", "replace"))]
    try:
        stat = Path(text).stat()
    except (OSError, ValueError):  # an address, or a picture that is not there
        return [text]
    return [Path(text).name, stat.st_size, stat.st_mtime_ns]


def _folder_digest(folder: Path, names: tuple[str, ...] | None) -> str:
    """Of a folder's files: small ones by their content, weights by size and time of change."""
    said: list[Any] = []
    try:
        for path in sorted(folder.iterdir()) if names is None else [folder / name for name in names]:
            if path.suffix in _MODEL_FILES and path.is_file():
                stat = path.stat()
                own = _digest(path.read_bytes()) if stat.st_size <= _SMALL else stat.st_mtime_ns
                said.append([path.name, stat.st_size, own])
    except OSError as fault:
        raise SettingsError(f"{folder} cannot be read: {fault.strerror}: give a model's or adapter's folder") from None
    return _digest(json.dumps(said).encode())


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:24]
