"""A model's name -> a folder on this machine: a path as it is, an id fetched from Hugging Face or ModelScope.

In: `folder`, `org/name`, `org/name@revision`, `hf://org/name`, `modelscope://org/name`. Out: a folder.
Knows nothing of what stands in the files.

- One revision: the name of a branch is turned into a commit once, and every file is fetched from that commit.
- An allow-list of files: weights in safetensors, configurations, tokenizers, licences. No Python, no pickles.
- What the server says is checked before it becomes a path on this disk: commit, file names, hash names.
- What arrived is compared with the hash in the listing; a file that differs is removed again.
- What the cache holds whole is used when there is no network.

A token (HF_TOKEN or `hf auth login`) goes to the hub alone, never to where it redirects.
"""

import os
import re
from pathlib import Path

from ivl.errors import HubError, nearest
from ivl.hub.huggingface import from_huggingface
from ivl.hub.modelscope import from_modelscope
from ivl.hub.repository import Wanted

__all__ = ["resolve"]

_NAME = r"[A-Za-z0-9](?:(?!--|\.\.)[A-Za-z0-9._-]){0,95}"
_ID = re.compile(f"{_NAME}/{_NAME}")
_REVISION = re.compile(r"[A-Za-z0-9](?:(?!\.\.|//)[A-Za-z0-9._/+-]){0,254}")
_HUBS = {"hf": "huggingface", "huggingface": "huggingface", "modelscope": "modelscope"}


def resolve(model: str | os.PathLike[str], *, revision: str | None = None, hub: str | None = None) -> Path:
    """The folder of `model`: a local one as it is, or a hub's, fetched where the cache lacks it.

    revision: branch, tag or commit; also as `org/name@revision`. hub: "huggingface" (the default) or
    "modelscope"; also as `hf://` or `modelscope://` before the id. Raises HubError, one line that says what
    to do; MissingExtraError when the hub's package is not installed.
    """
    wanted = _parse(model, revision, hub)
    if isinstance(wanted, Path):
        return wanted
    return from_modelscope(wanted) if wanted.hub == "modelscope" else from_huggingface(wanted)


def _parse(model: str | os.PathLike[str], revision: str | None, hub: str | None) -> Path | Wanted:
    """Tell folders from ids."""
    text = os.fspath(model)
    scheme, separator, name = text.partition("://")
    if not separator:
        name = text
        folder = _local(text, isinstance(model, str), revision)
        if folder is not None:
            return folder
    elif scheme in _HUBS:
        hub = scheme
    else:
        raise HubError(f"{text}: give an id (OpenGVLab/InternVL2-2B), hf://id, modelscope://id or a folder")
    model_id, _, own_revision = name.partition("@")
    if not _ID.fullmatch(model_id):
        raise HubError(f"{text!r}: no such folder, and no model's id (those look like OpenGVLab/InternVL2-2B)")
    if hub is not None and hub not in _HUBS:
        raise HubError(f"hub={hub!r} is not allowed: {nearest(hub, _HUBS)}")
    hub = _HUBS[hub or "huggingface"]
    revision = revision or own_revision or ("master" if hub == "modelscope" else "main")
    if not _REVISION.fullmatch(revision):
        raise HubError(f"revision={revision!r} is not allowed: a branch, tag or commit (main, refs/pr/1)")
    return Wanted(hub=hub, model_id=model_id, revision=revision)


def _local(text: str, may_be_id: bool, revision: str | None) -> Path | None:
    """The folder at `text`; None where it can only be an id. Raises HubError for a path to nowhere."""
    path = Path(text).expanduser()
    if text and path.is_dir():
        if revision is not None:
            raise HubError(f"revision={revision!r} goes with a model of a hub, but {text} is a local folder")
        return path
    if text and path.exists():
        raise HubError(f"{text} is a file, but a model is a folder: give the one with its config.json")
    name, _, _ = text.partition("@")
    first, separator, _ = name.partition("/")
    written_as_path = name.startswith((".", "~", "/")) or "\\" in name or name.count("/") > 1 or name.endswith("/")
    if not may_be_id or written_as_path or (separator and Path(first).is_dir()):
        raise HubError(f"{text}: no such folder")
    return None
