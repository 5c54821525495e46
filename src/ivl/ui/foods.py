"""The quick bar's dishes: the package's own food set, or a folder in the tutorial's shape.

In: a folder. Out: cuisines with dishes, each with a picture's path. A file's paths may not leave its folder. Knows no
Gradio and decodes no picture.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivl.errors import DataError, shown
from ivl.zoo import foods_folder

LISTS = ("food_for_demo.json", "demo/food_for_demo.json", "foods.json")
"""Where a folder keeps its list: {"cuisine": ["a/picture.jpg", ...], ...}, paths from the folder."""
MOST_DISHES = 500
_MAX_BYTES = 2**24
_FEWEST = 3
_ELSEWHERE = {"en": "Elsewhere", "zh": "其他"}
_ALL = "elsewhere"


@dataclass(frozen=True, kw_only=True)
class Dish:
    """One picture to pick."""

    names: dict[str, str]
    """By language; empty where a list has paths only."""
    picture: Path


@dataclass(frozen=True, kw_only=True)
class Cuisine:
    """Dishes that belong together."""

    names: dict[str, str]
    dishes: tuple[Dish, ...]


def read_foods(place: Path | None = None) -> tuple[Cuisine, ...]:
    """The cuisines of a folder or of a list file in it; None: the package's own. Raises DataError."""
    return _own() if place is None else _listed(place)


def _own() -> tuple[Cuisine, ...]:
    """The food set, by where a dish comes from; each dish in one of the drawn styles."""
    folder = foods_folder()
    groups: dict[str, list[Dish]] = {}
    names = {_ALL: _ELSEWHERE}
    for food in json.loads((folder / "foods.json").read_text(encoding="utf-8")):
        picture = next(_drawings(folder, food["id"], food["styles"]), None)
        origin = food["facts"].get("origin")
        if picture is None or origin is None:
            continue  # a dish of no known origin belongs to no cuisine
        names[origin["key"]] = {"en": _place(origin["en"]), "zh": origin["zh"]}
        dish = Dish(names={"en": food["name_en"], "zh": food["name_zh"]}, picture=picture)
        groups.setdefault(origin["key"], []).append(dish)
    large = {key: dishes for key, dishes in groups.items() if len(dishes) >= _FEWEST}
    rest = [dish for key, dishes in groups.items() if key not in large for dish in dishes]
    ordered = sorted(large, key=lambda key: (key != "china", -len(large[key])))
    cuisines = [Cuisine(names=names[key], dishes=tuple(large[key])) for key in ordered]
    return (*cuisines, *([Cuisine(names=_ELSEWHERE, dishes=tuple(rest))] if rest else []))


def _drawings(folder: Path, food: str, styles: list[str]) -> Iterator[Path]:
    for part in ("train", "test_styles", "test_dishes"):
        for style in styles:
            path = folder / part / "images" / style / f"{food}.webp"
            if path.is_file():
                yield path


def _place(name: str) -> str:
    text = name.removeprefix("the ")
    return text[:1].upper() + text[1:]


def _listed(place: Path) -> tuple[Cuisine, ...]:
    file = place if place.is_file() else next((place / name for name in LISTS if (place / name).is_file()), None)
    if file is None:
        raise DataError(f"{place}: no list of dishes there: it needs one of {', '.join(LISTS)}", rule="no list")
    folder = place if place.is_dir() else place.parent
    content = _json(file)
    if not isinstance(content, dict) or not content:
        raise DataError(f'{file}: a list of dishes is {{"cuisine": ["picture.jpg", ...], ...}}', rule="wrong shape")
    cuisines = []
    for cuisine, entries in content.items():
        if not isinstance(entries, list) or not entries:
            raise DataError(
                f"{file}: {shown(cuisine)} holds {shown(entries)}: a list of paths is needed", rule="wrong shape"
            )
        dishes = tuple(_dish(folder, file, cuisine, entry) for entry in entries)
        cuisines.append(Cuisine(names={"en": cuisine, "zh": cuisine}, dishes=dishes))
    count = sum(len(each.dishes) for each in cuisines)
    if count > MOST_DISHES:
        raise DataError(f"{file}: {count} dishes: a page shows at most {MOST_DISHES}", rule="too many")
    return tuple(cuisines)


def _json(file: Path) -> Any:
    try:
        with file.open("rb") as opened:
            data = opened.read(_MAX_BYTES + 1)
        if len(data) > _MAX_BYTES:
            raise DataError(f"{file}: a list of dishes has at most {_MAX_BYTES} bytes", rule="too large")
        return json.loads(data)
    except (OSError, ValueError, RecursionError) as error:
        if isinstance(error, DataError):
            raise
        reason = error.strerror if isinstance(error, OSError) else "it is no JSON"
        raise DataError(f"{file} cannot be read: {reason}", rule="bad JSON") from error


def _dish(folder: Path, file: Path, cuisine: str, entry: object) -> Dish:
    """An entry: a path, or {"image": path, "name": text}. The tutorial's paths begin with its own folder's name."""
    name = entry.get("name") if isinstance(entry, dict) else ""
    path = entry.get("image") if isinstance(entry, dict) else entry
    if not isinstance(path, str) or not isinstance(name, str) or "\0" in path:
        raise DataError(
            f"{file}: {shown(cuisine)} holds {shown(entry)}: a picture's path is needed", rule="wrong shape"
        )
    root = folder.resolve()
    found = [(root / path), (root.parent / path if Path(path).parts[:1] == (root.name,) else root / path)]
    for each in found:
        full = each.resolve()
        if not full.is_relative_to(root):
            raise DataError(
                f"{file}: {shown(path)} leaves the folder: pictures lie in {folder}", rule="leaves the folder"
            )
        if full.is_file():
            return Dish(names={"en": name, "zh": name} if name else {}, picture=full)
    raise DataError(f"{file}: {shown(path)} of {shown(cuisine)} is not there", rule="missing picture")
