"""What a person wrote for a model or data set -> a local folder, or an id of a hub.

In: `folder`, `org/name`, `org/name@revision`, `hf://org/name`, `modelscope://org/name`. Out: a folder, or what is
wanted of which hub. A mistyped path never becomes an id. Knows no network.
"""

import os
import re
from pathlib import Path

from ivl.errors import HubError, nearest
from ivl.hub.repository import Kind, Wanted

_NAME = r"[A-Za-z0-9](?:(?!--|\.\.)[A-Za-z0-9._-]){0,95}"
MODEL_ID = re.compile(f"{_NAME}/{_NAME}")
_REVISION = re.compile(r"[A-Za-z0-9](?:(?!\.\.|//)[A-Za-z0-9._/+-]){0,254}")
HUBS = {"hf": "huggingface", "huggingface": "huggingface", "modelscope": "modelscope"}


def parse(
    model: str | os.PathLike[str],
    revision: str | None,
    hub: str | None,
    *,
    kind: Kind = "model",
    with_code: bool = False,
) -> Path | Wanted:
    """Tell folders from ids. Raises HubError."""
    text = os.fspath(model)
    scheme, separator, name = text.partition("://")
    if not separator:
        name = text
        folder = _local(text, isinstance(model, str), revision)
        if folder is not None:
            return folder
    elif scheme in HUBS:
        hub = scheme
    else:
        raise HubError(f"{text}: give an id (OpenGVLab/InternVL2-2B), hf://id, modelscope://id or a folder")
    model_id, _, own_revision = name.partition("@")
    if not MODEL_ID.fullmatch(model_id):
        raise HubError(f"{text!r}: no such folder, and no model's id (those look like OpenGVLab/InternVL2-2B)")
    if hub is not None and hub not in HUBS:
        raise HubError(f"hub={hub!r} is not allowed: {nearest(hub, HUBS)}")
    hub = HUBS[hub or "huggingface"]
    revision = revision or own_revision or ("master" if hub == "modelscope" else "main")
    check_revision(revision)
    return Wanted(hub=hub, model_id=model_id, revision=revision, kind=kind, with_code=with_code)


def check_revision(revision: str) -> None:
    """Raises HubError for what can be no branch, tag or commit."""
    if not _REVISION.fullmatch(revision):
        raise HubError(f"revision={revision!r} is not allowed: a branch, tag or commit (main, refs/pr/1)")


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
