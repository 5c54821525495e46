"""A finished model or adapter folder -> a repository on Hugging Face or ModelScope.

In: a folder, and what the repository is called. Out: `PushPlan`, every file that would be sent and every one that stays
with the reason; then `Pushed`. The plan needs no network and no token. Files go by an allow-list: what is not known to
be part of a model or its card stays, and so do links, whatever they lead to. Transfer is the hub room's.
"""

import os
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, Literal

from ivl.errors import CheckpointError, HubError, InputError, IvlError, nearest
from ivl.hub.huggingface_push import push_to_huggingface
from ivl.hub.modelscope_push import push_to_modelscope
from ivl.hub.names import HUBS, MODEL_ID
from ivl.hub.patience import Telling
from ivl.hub.repository import ALLOWED_FILES, PLAIN_NAME
from ivl.hub.sending import FileToSend, Pushed, Target, look_over
from ivl.model.adapter_config import CONFIG_FILE as ADAPTER_CONFIG
from ivl.model.adapter_io import TENSOR_FILE
from ivl.model.checkpoint import open_checkpoint
from ivl.model.config_io import INDEX_FILE
from ivl.model.folder_io import check_folder, locate, open_file, read_json
from ivl.model.safetensors_io import read_header

CARD = "README.md"
FAMILY_NAME = "InternVL"
_LEGAL = ("LICENSE*", "LICENCE*", "NOTICE*", "COPYING*")
_PICTURES = (".png", ".jpg", ".jpeg", ".webp", ".gif")
_OFFICIAL_CODE = (
    "configuration_internvl_chat.py", "configuration_intern_vit.py", "configuration_internlm2.py",
    "configuration_phi3.py", "conversation.py", "modeling_internvl_chat.py", "modeling_intern_vit.py",
    "modeling_internlm2.py", "modeling_phi3.py", "tokenization_internlm2.py", "tokenization_internlm2_fast.py",
)  # fmt: skip
_SECRET = re.compile(rb"\bhf_[A-Za-z0-9]{20,}|\bms-[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f-]{12,}")
"""Tokens of the two hubs."""
_MOST_TEXT = 64 * 2**20
_STAYS = (
    (("*.bin", "*.pt", "*.pth", "*.ckpt", "*.pkl", "*.pickle", "*.npy", "*.npz"), "a pickle, which can run code"),
    (("optimizer*", "scheduler*", "rng*", "trainer_state*", "state.json", "training_args*"), "the state of a training"),
    (("*.log", "*.jsonl", "events.out.*"), "a log or data"),
    (("*.safetensors", INDEX_FILE), "no weights of this model"),
    (("*.py",), "no code of the official model"),
    (tuple(f"*{suffix}" for suffix in _PICTURES), "a picture that README.md does not show"),
)


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """A name in the folder that is not sent."""

    name: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class PushPlan:
    """What would be sent where."""

    folder: Path
    repo_id: str
    hub: str
    kind: Literal["model", "adapter"]
    files: tuple[FileToSend, ...]
    """config.json last of all."""
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...]
    """What a person should know before others read it."""

    @property
    def num_bytes(self) -> int:
        return sum(file.size for file in self.files)


def check_name(repo_id: str, hub: str) -> str:
    """The hub's full name. Raises HubError for a repository's name that cannot be used for a model of this family."""
    if hub not in HUBS:
        raise HubError(f"--to {hub!r} is not allowed: {nearest(hub, HUBS)}")
    if not MODEL_ID.fullmatch(repo_id):
        raise HubError(f"{repo_id!r} is no repository's name: OWNER/NAME, of letters, digits, '-', '_' and '.'")
    name = repo_id.partition("/")[2]
    if FAMILY_NAME not in name:
        raise HubError(
            f"{repo_id!r}: the name must contain {FAMILY_NAME!r} (as in {repo_id.partition('/')[0]}/{FAMILY_NAME}2-2B-"
            "food), so that people and serving programs recognise the family"
        )
    return HUBS[hub]


def plan_push(folder: Path, repo_id: str, hub: str, tell: Callable[[str], None] = lambda name: None) -> PushPlan:
    """Look a folder over for a push; reads every byte that would be sent.

    tell: gets the name of each file before it is hashed. Raises CheckpointError, AdapterError or ConfigError for what
    is no whole model or adapter, HubError for a bad name, InputError for a missing card or a secret in a file.
    """
    hub, root = check_name(repo_id, hub), check_folder(folder)
    kind, weights = _check_weights(root)
    names, left_out = _sort_out(root, weights, kind)
    if CARD not in names:
        raise InputError(f"{root} has no {CARD}: let --card write one, or write your own")
    files = []
    for name in sorted(names, key=lambda name: (name == "config.json", name)):
        tell(name)
        files.append(_look_over(root, name))
    return PushPlan(
        folder=root,
        repo_id=repo_id,
        hub=hub,
        kind=kind,
        files=tuple(files),
        left_out=tuple(left_out),
        notes=tuple(_notes(root, kind)),
    )


def push(
    plan: PushPlan,
    *,
    private: bool = False,
    revision: str | None = None,
    message: str | None = None,
    replace: bool = False,
    told: Telling | None = None,
) -> Pushed:
    """Send what a plan holds, in one commit, and compare every hash with the hub's listing.

    Raises HubError, one line that says what to do; MissingExtraError when the hub's package is not installed.
    """
    target = Target(
        hub=plan.hub,
        repo_id=plan.repo_id,
        revision=revision,
        private=private,
        message=message or f"Upload {plan.kind} with ivl",
        replace=replace,
    )
    send = push_to_modelscope if plan.hub == "modelscope" else push_to_huggingface
    return send(target, plan.files, told or Telling())


def _check_weights(root: Path) -> tuple[Literal["model", "adapter"], set[str]]:
    """What the folder is, and the names of the files that hold its weights, after checking them."""
    if locate(root, ADAPTER_CONFIG) is not None:
        read_json(root, ADAPTER_CONFIG)
        with open_file(root, TENSOR_FILE) as file:
            read_header(file, str(root / TENSOR_FILE))
        return "adapter", {TENSOR_FILE, ADAPTER_CONFIG}
    checkpoint = open_checkpoint(root)
    files = {file for file, _, _ in checkpoint.tensors}
    _check_complete(root)
    return "model", files | ({INDEX_FILE} if len(files) > 1 or locate(root, INDEX_FILE) is not None else set())


def _check_complete(root: Path) -> None:
    """Raises CheckpointError for a model without a tokenizer: nobody could ask it anything."""
    if not any(locate(root, name) is not None for name in ("tokenizer.json", "tokenizer.model", "vocab.json")):
        raise CheckpointError(f"{root} has no tokenizer (tokenizer.json or tokenizer.model): export the model again")


def _sort_out(root: Path, weights: set[str], kind: str) -> tuple[list[str], list[LeftOut]]:
    """Names that are sent, and names that stay. Raises CheckpointError where a part of the model would stay."""
    shown = _pictures_shown(root)
    code = {*_OFFICIAL_CODE, *_auto_map_files(root)} if kind == "model" else set()
    sent: list[str] = []
    left_out: list[LeftOut] = []
    for name, entry in _entries(root, shown):
        reason = _why_not(name, entry, weights | shown | code)
        if not reason:
            sent.append(name)
        elif name in weights | {"config.json"}:
            raise CheckpointError(
                f"{root / name} cannot be sent ({reason}): copy the folder with `cp -rL` and push that"
            )
        else:
            left_out.append(LeftOut(name=name, reason=reason))
    return sent, left_out


def _entries(root: Path, shown: set[str]) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """What lies in the folder, and in the folders of the card's pictures."""
    for entry in sorted(os.scandir(root), key=lambda entry: entry.name):
        within = [name for name in shown if name.startswith(f"{entry.name}/")]
        if not within or entry.is_symlink() or not entry.is_dir(follow_symlinks=False):
            yield entry.name, entry
            continue
        for inner in sorted(os.scandir(entry), key=lambda inner: inner.name):
            yield f"{entry.name}/{inner.name}", inner


def _why_not(name: str, entry: os.DirEntry[str], known: set[str]) -> str:
    """Why a name is not sent; empty for one that is."""
    if entry.is_symlink():
        return "a link"
    if entry.name.startswith("."):
        return "hidden"
    if entry.is_dir(follow_symlinks=False):
        return "a folder"
    if not entry.is_file(follow_symlinks=False):
        return "no regular file"
    if not all(PLAIN_NAME.fullmatch(part) for part in name.split("/")):
        return "a name that others refuse"
    if name in known:
        return ""
    is_weights = name.endswith(".safetensors") or name == INDEX_FILE
    if "/" not in name and not is_weights and any(fnmatchcase(name, kind) for kind in (*ALLOWED_FILES, *_LEGAL)):
        return ""
    return next((why for kinds, why in _STAYS if any(fnmatchcase(entry.name, kind) for kind in kinds)), "no model file")


def _pictures_shown(root: Path) -> set[str]:
    """The pictures that the card names: beside it, or in one folder."""
    if locate(root, CARD) is None:
        return set()
    with open_file(root, CARD, InputError) as file:
        text = file.read(_MOST_TEXT).decode("utf-8", "replace")
    named = re.findall(r"[(\"'\s=](?:\./)?((?:[\w.-]+/)?[\w.-]+\.\w+)", text)
    return {name for name in named if name.lower().endswith(_PICTURES) and ".." not in name.split("/")}


def _auto_map_files(root: Path) -> set[str]:
    """The Python files that config.json names for programs that run them."""
    table: Any = read_json(root, "config.json").get("auto_map")
    values = [value for value in table.values() if isinstance(value, str)] if isinstance(table, dict) else []
    modules = {value.rpartition("--")[2].partition(".")[0] for value in values if "--" not in value}
    return {f"{module}.py" for module in modules if module.isidentifier()}


def _look_over(root: Path, name: str) -> FileToSend:
    """Size and hashes of a file; a text is looked through for tokens."""
    folder, _, plain = name.rpartition("/")
    with open_file(root / folder, plain, InputError) as file:
        size = os.fstat(file.fileno()).st_size
        if not name.endswith((".safetensors", ".model", *_PICTURES)):
            if size <= _MOST_TEXT and _SECRET.search(file.read()):
                raise InputError(
                    f"{root / name} holds what looks like a token of a hub: remove it, and revoke the token"
                )
            file.seek(0)
        return look_over(name, root / name, file, size)


def _notes(root: Path, kind: str) -> Iterator[str]:
    field, name = ("base_model_name_or_path", ADAPTER_CONFIG) if kind == "adapter" else ("_name_or_path", "config.json")
    try:
        value = read_json(root, name).get(field)
    except IvlError:
        return
    if isinstance(value, str) and (value.startswith(("/", "~", ".")) or "\\" in value):
        yield f"{name} says {field}={value!r:.80}, a path of this machine: put the model's hub id in its place"
