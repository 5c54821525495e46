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
from pathlib import Path

from ivl.hub.huggingface import from_huggingface
from ivl.hub.modelscope import from_modelscope
from ivl.hub.names import parse
from ivl.hub.pulling import Pulled, pull

__all__ = ["Pulled", "pull", "resolve"]


def resolve(model: str | os.PathLike[str], *, revision: str | None = None, hub: str | None = None) -> Path:
    """The folder of `model`: a local one as it is, or a hub's, fetched where the cache lacks it.

    revision: branch, tag or commit; also as `org/name@revision`. hub: "huggingface" (the default) or
    "modelscope"; also as `hf://` or `modelscope://` before the id. Raises HubError, one line that says what
    to do; MissingExtraError when the hub's package is not installed.
    """
    wanted = parse(model, revision, hub)
    if isinstance(wanted, Path):
        return wanted
    return from_modelscope(wanted) if wanted.hub == "modelscope" else from_huggingface(wanted)
