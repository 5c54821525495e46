"""Which questions belong together: those about the same pictures are no independent draws.

In: items. Out: what those that belong together have in common. Reads no file.
"""

import hashlib
import os
from collections.abc import Hashable

import PIL.Image

from ivl.evals.item import Item
from ivl.types import ImageSource


def cluster_of(item: Item) -> Hashable:
    """Equal for items with the same pictures, in whatever order; an item without pictures is alone.

    Equal across sets too: a dish is asked for in two languages, and its name in a third set. There an item without
    pictures belongs to that of the same place and id, which is the same record in another language. Pictures are the
    same by path, or by their content where they are not in files; items that share some pictures are not together.
    """
    if not item.images:
        return item.where, item.item_id
    return frozenset(_picture(image) for image in item.images)


def _picture(source: ImageSource) -> Hashable:
    if isinstance(source, PIL.Image.Image):
        return source.mode, source.size, hashlib.sha256(source.tobytes()).digest()
    return source if isinstance(source, bytes) else os.fspath(source)
