"""Where a record's pictures may lie: in their folder, and nowhere else.

In: a path as a record has it. Out: the real path of a file that is there, or a data URI. Opens nothing. Raises
DataError with the reason and what to do; the caller says in which record. A path that leads out of the folder, by
`..`, from the root or through a link, is refused, and so is all that is no regular file.
"""

import os
import re
import stat
from pathlib import Path

from ivl.errors import DataError, shown
from ivl.processing.images import shown_path

MAX_PATH_CHARS = 1000

_ADDRESS = re.compile(r"[a-zA-Z][a-zA-Z0-9+.-]+://")
_NO_PICTURE = {".pkl", ".pickle", ".joblib", ".pt", ".pth", ".ckpt", ".bin", ".safetensors", ".npy", ".npz"} | {
    *(".tar", ".tgz", ".gz", ".zip", ".7z", ".py", ".sh", ".json")
}
_MOST_LISTED = 20_000
"""Names of a folder looked at to find one like a missing one."""


class PictureFolder:
    """One folder of pictures. Raises DataError when there is none."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        self.root = os.path.realpath(self.path)
        """The folder's real path."""
        if not os.path.isdir(self.root):  # noqa: PTH112 - one of several calls on one string
            kind = "is a file" if self.path.exists() else "does not exist"
            raise DataError(f"image_folder {shown_path(str(path))} {kind}: name the folder that holds the pictures")

    def find(self, value: object) -> str:
        """The real path of a picture, or the data URI itself."""
        if isinstance(value, str) and value[:11].lower() == "data:image/":
            return value
        real, mode = self._locate(value, "picture")
        if not stat.S_ISREG(mode):
            kind = "a folder" if stat.S_ISDIR(mode) else "a device, pipe or socket"
            raise DataError(f"picture {shown_path(str(value))} is {kind}: name a picture's file")
        return real

    def find_video(self, value: object) -> str:
        """The real path of a video's file or of its folder of frames, none of which leads out of this folder."""
        real, mode = self._locate(value, "video")
        if stat.S_ISDIR(mode):
            self._check_frames(real, str(value))
        elif not stat.S_ISREG(mode):
            raise DataError(f"video {shown_path(str(value))} is a device, pipe or socket: name a video's file")
        return real

    def _locate(self, value: object, kind: str) -> tuple[str, int]:
        """The real path and the mode of what is there."""
        text = _checked(value, kind)
        joined = os.path.join(self.root, text)  # noqa: PTH118 - strings: this runs for every picture of a data set
        try:
            real = os.path.realpath(joined)
            if not self._holds(real):
                raise DataError(
                    f"{kind} {shown_path(text)} lies outside of the image folder {shown_path(str(self.path))}: "
                    "move it there, or set image_folder to a folder that holds all pictures"
                )
            return real, os.stat(real).st_mode  # noqa: PTH116
        except FileNotFoundError:
            raise DataError(self._missing(text, kind)) from None
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) and error.strerror else "no path"
            if isinstance(error, DataError):
                raise
            raise DataError(f"{kind} {shown_path(text)} cannot be reached: {reason}") from None

    def _holds(self, real: str) -> bool:
        return real == self.root or real.startswith(self.root.rstrip(os.sep) + os.sep)

    def _check_frames(self, folder: str, text: str) -> None:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.is_symlink() and not self._holds(os.path.realpath(entry.path)):
                    raise DataError(
                        f"video {shown_path(text)}: its frame {shown(entry.name)} is a link out of the image folder "
                        f"{shown_path(str(self.path))}: copy the frame into it"
                    )

    def _missing(self, text: str, kind: str) -> str:
        message = f"{kind} {shown_path(text)} does not exist in {shown_path(str(self.path))}"
        return f"{message}: {self._advice(Path(text)) or 'check the path, or set image_folder'}"

    def _advice(self, asked: Path) -> str | None:
        root = Path(self.root)
        slashed = str(asked).replace("\\", "/")
        if "\\" in str(asked) and (root / slashed).is_file():
            return f"write it with slashes, {shown_path(slashed)}"
        if not asked.is_absolute():
            for folder in (root.parent, root / "images", root / "image"):
                if (folder / asked).is_file():
                    return f"it lies in {shown_path(str(folder))}; set image_folder to that"
        near = _near(root / asked)
        return f"did you mean {shown_path(str(asked.parent / near))}?" if near else None


def _checked(value: object, kind: str) -> str:
    """The value as text that can be a path inside a folder."""
    if not isinstance(value, str) or not value or len(value) > MAX_PATH_CHARS or "\0" in value:
        raise DataError(
            f"{shown(value)} is no path of a {kind}: a text of 1 to {MAX_PATH_CHARS} characters, "
            "relative to image_folder, is needed"
        )
    if _ADDRESS.match(value) or value[:5].lower() == "data:":
        raise DataError(
            f"{kind} {shown_path(value)} is an address, and nothing is fetched while reading data: download it "
            "into the image folder and write its path"
        )
    suffix = os.path.splitext(value)[1].lower()  # noqa: PTH122
    if suffix in _NO_PICTURE:
        raise DataError(f"{kind} {shown_path(value)} is refused: a file named {suffix} is no {kind}")
    return value


def _near(path: Path) -> str | None:
    """A file beside the missing one whose name differs in case or ending only."""
    stem, name = path.stem.casefold(), path.name.casefold()
    found = None
    try:
        with os.scandir(path.parent) as entries:
            for _, entry in zip(range(_MOST_LISTED), entries, strict=False):
                if entry.name.casefold() == name:
                    return entry.name
                if Path(entry.name).stem.casefold() == stem:
                    found = entry.name
    except (OSError, ValueError):
        return None
    return found
