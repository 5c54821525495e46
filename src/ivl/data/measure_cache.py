"""Measures kept on disk between runs.

In: what they depend on. Out: the measures, or None. One file a data set under `~/.cache/ivl/measures`
(XDG_CACHE_HOME is respected), arrays and faults in it as numpy's npz without pickle. Written whole or not at all; a
file that is damaged counts as none; a folder that cannot be written to keeps nothing and harms nothing.

The name of the file is a digest of everything that the numbers depend on but the pictures themselves: the data file's
identity (which its source tells), configuration, tokenizer, settings, and this package's version.
"""

import contextlib
import hashlib
import io
import json
import os
import tempfile
import zipfile
import zlib
from dataclasses import asdict, astuple
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ivl._version import __version__
from ivl.data.example import ExampleSource
from ivl.data.faults import Fault
from ivl.data.settings import DataSettings
from ivl.processing.processor import Processor
from ivl.processing.tokenizer import Tokenizer

if TYPE_CHECKING:
    from ivl.data.measure import Measures

_FORMAT = 1
"""Counts up when what is measured changes its meaning."""
_COLUMNS = {"num_tokens": np.int32, "num_tiles": np.int32, "num_trained": np.int32, "max_tiles": np.int16}
_MOST_FILES = 100
# Words that different merges of the same vocabulary would cut differently.
_PROBE = (
    "What is in the picture?\n鱼香肉丝里有木耳、笋和肉。 internationalization 3.14159 "
    "<ref>\u00e9\u0301</ref>\t<box>[[0, 1, 2, 3]]"
)


class MeasureCache:
    """A folder of measures; None: the user's own."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder or _user_folder()

    def key(self, source: ExampleSource, processor: Processor, settings: DataSettings) -> str | None:
        """The digest of what measures depend on; None for a source that does not tell its `identity`."""
        identity = getattr(source, "identity", None)
        if identity is None:
            return None
        told = {
            "format": _FORMAT,
            "version": __version__,
            "source": identity,
            "name": source.name,
            "count": len(source),
            "config": asdict(processor.config),
            "tokenizer": _tokenizer_digest(processor.tokenizer),
            "as_viewed": processor.as_viewed,
            "max_tiles": processor.max_tiles,
            "max_length": settings.max_length,
            "max_dynamic_patch": settings.max_dynamic_patch,
        }
        return hashlib.sha256(json.dumps(told, sort_keys=True, default=str).encode()).hexdigest()

    def load(self, key: str | None, count: int) -> "Measures | None":
        """The measures of `count` records kept under a key; None if there are none, or they are damaged."""
        if key is None:
            return None
        try:
            with np.load(self._path(key), allow_pickle=False) as file:
                columns = {name: file[name] for name in _COLUMNS}
                told = json.loads(file["faults"].tobytes())
            return _measures(columns, told, count)
        except (OSError, ValueError, TypeError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
            return None

    def store(self, key: str | None, measures: "Measures") -> None:
        """Keep measures under a key."""
        if key is None:
            return
        told = {
            "faults": {str(index): astuple(fault) for index, fault in measures.faults.items()},
            "notes": measures.notes,
        }
        data = io.BytesIO()
        arrays = {name: getattr(measures, name) for name in _COLUMNS}
        np.savez(data, faults=np.frombuffer(json.dumps(told).encode(), np.uint8), **arrays)
        with contextlib.suppress(OSError):
            self._folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._prune()
            _write(self._path(key), data.getvalue())

    def _path(self, key: str) -> Path:
        return self._folder / f"{key}.npz"

    def _prune(self) -> None:
        """Make room for one more file: the oldest go."""
        files = sorted(self._folder.glob("*.npz"), key=lambda path: path.stat().st_mtime)
        for path in files[: max(0, len(files) - _MOST_FILES + 1)]:
            path.unlink(missing_ok=True)


def _measures(columns: dict[str, Any], told: Any, count: int) -> "Measures":
    """Raises ValueError, TypeError or KeyError for what was not written here."""
    from ivl.data.measure import Measures

    for name, dtype in _COLUMNS.items():
        if columns[name].shape != (count,) or columns[name].dtype != dtype:
            raise ValueError(f"{name} is of another length or kind")
    faults = {int(index): Fault(where=row[0], reason=row[1], rule=row[2]) for index, row in told["faults"].items()}
    if any(not 0 <= index < count for index in faults):
        raise ValueError("a fault of no record")
    return Measures(**columns, faults=faults, notes=tuple(told["notes"]))


def _write(path: Path, data: bytes) -> None:
    """All of it under its name, or nothing."""
    handle, name = tempfile.mkstemp(dir=path.parent, suffix=".part")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _user_folder() -> Path:
    base = os.environ.get("XDG_CACHE_HOME", "")
    home = Path(base) if base.startswith("/") else Path.home() / ".cache"
    return home / "ivl" / "measures"


def _tokenizer_digest(tokenizer: Tokenizer) -> str:
    """Of its vocabulary, its added tokens, and how it cuts a text."""
    digest = hashlib.sha256(json.dumps([tokenizer.prefix_ids, tokenizer.space_rule, tokenizer.encode(_PROBE)]).encode())
    for token_id in range(tokenizer.vocab_size):
        piece = tokenizer.token_bytes(token_id)
        digest.update(f"{len(piece)}:{tokenizer.added_token(token_id)}:".encode() + piece)
    return digest.hexdigest()
