"""Which checkpoints of a run stay: the newest ones, and the best.

In: a run's folder. Out: the same with fewer checkpoints. Removes only what is whole and not among the last.
"""

from pathlib import Path

from ivl.errors import CheckpointError
from ivl.train.checkpoint import verify
from ivl.train.run_folder import list_checkpoints, remove


def rotate(run_folder: Path, limit: int, best_step: int | None = None) -> list[Path]:
    """Keep the newest `limit` whole checkpoints, and that of `best_step`; remove the other whole ones.

    To be called after a save. The newest is read back and its hashes compared before anything goes, so that a whole one
    always stays; of the others sizes are compared. What is damaged is neither counted nor removed. Gives what was
    removed.
    """
    assert limit >= 1, f"limit={limit}: at least one checkpoint stays"
    whole: list[tuple[int, Path]] = []
    for step, path in list_checkpoints(run_folder):
        try:
            if not path.is_symlink():
                verify(path, hashes=not whole)
                whole.append((step, path))
        except CheckpointError:
            continue
    gone = [path for step, path in whole[limit:] if step != best_step]
    for path in gone:
        remove(path)
    return gone
