"""A large file of a hub -> this disk, going on where an earlier download was cut off, in this process or another.

In: what the hub tells of the file, and the place where it is gathered. Out: the file, of the size and hash listed. The
client of Hugging Face begins a file anew in each process, so large ones are fetched here; its session does the talking.
A store to which the hub leads gets no token, and a Range that it ignores or misunderstands begins the file anew.
"""

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from ivl.errors import HubError
from ivl.hub.repository import digest_of

_CONTENT_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")
_PIECE = 2**16


def download(address: str, home: str, part: Path, size: int, tell: Callable[[int], None]) -> None:
    """Bring `part` to `size` bytes, of which it may have some already.

    home: the hub's own address; the token goes nowhere else. tell: gets the bytes that are there. Raises what the
    client's session raises when the connection is cut; what has arrived stays for the next call.
    """
    import huggingface_hub
    import huggingface_hub.constants
    import huggingface_hub.utils

    utils: Any = huggingface_hub.utils

    part.parent.mkdir(parents=True, exist_ok=True)
    have = _size(part)
    if have > size:
        part.unlink()
        have = 0
    if have == size:
        return
    headers = dict(utils.build_hf_headers(token=None if _same_origin(address, home) else False))
    headers |= {"Accept-Encoding": "identity"} | ({"Range": f"bytes={have}-"} if have else {})
    timeout = huggingface_hub.constants.HF_HUB_DOWNLOAD_TIMEOUT
    with huggingface_hub.get_session().stream("GET", address, headers=headers, timeout=timeout) as response:
        utils.hf_raise_for_status(response)
        begin = _begin(response)
        with part.open("r+b" if part.exists() else "wb") as file:
            file.truncate(begin if begin == have else 0)
            file.seek(0, os.SEEK_END)
            if begin not in (0, have):
                raise ConnectionError("the store sent another part than was asked for")
            for piece in response.iter_raw(_PIECE):
                file.write(piece)
                if file.tell() > size:
                    raise ConnectionError("the store sent more than the file is long")
                tell(file.tell())
    if _size(part) < size:
        raise ConnectionError("the store sent less than the file is long")


def settle(part: Path, place: Path, digest: str, what: str) -> None:
    """Give a gathered file its name, if its content is the one listed. Raises HubError, and removes it, otherwise."""
    if digest_of(part, digest) != digest:
        part.unlink(missing_ok=True)
        raise HubError(f"{what} arrived damaged and was removed: try again")
    place.parent.mkdir(parents=True, exist_ok=True)
    part.replace(place)


def _begin(response: Any) -> int:
    """The place in the file where what is sent begins."""
    if response.status_code != 206:
        return 0
    told = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    return int(told[1]) if told else -1


def _size(path: Path) -> int:
    return path.stat().st_size if path.is_file() else 0


def _same_origin(address: str, home: str) -> bool:
    first, second = urlsplit(address), urlsplit(home)
    return (first.scheme, first.netloc) == (second.scheme, second.netloc)
