"""Weights that a repository holds beside those that are sent.

In: what is sent and what is there. Out: the files to remove. Knows no network.
"""

from collections.abc import Iterable, Sequence
from fnmatch import fnmatchcase

from ivl.errors import HubError
from ivl.hub.sending import WEIGHTS, FileToSend, Target


def stale_weights(target: Target, files: Sequence[FileToSend], there: Iterable[str]) -> list[str]:
    """Weight files of the repository that are not among `files`, to be removed with the same commit.

    Who loads the model might take one of them for its weights. Raises HubError unless the target allows to replace.
    """
    sent = {file.name for file in files}
    stale = sorted(name for name in there if name not in sent and any(fnmatchcase(name, kind) for kind in WEIGHTS))
    if stale and not target.replace:
        raise HubError(
            f"{target.repo_id} holds {stale[0]}{f' and {len(stale) - 1} more' if stale[1:] else ''}, which this folder "
            "does not have and others would load: --replace removes it in the same commit; or give another name or "
            "--revision"
        )
    return stale
