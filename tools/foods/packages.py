"""The artwork's npm packages, of the versions that the food set is made from.

In: a folder for npm. Out: its node_modules, with every package there in its pinned version. Needs npm where one is
missing.
"""

import json
import subprocess
from collections.abc import Mapping
from pathlib import Path

PINS = {
    "emojibase-data": "17.0.0",
    "@iconify-json/noto": "1.2.9",
    "@iconify-json/noto-v1": "1.2.5",
    "@iconify-json/twemoji": "1.2.5",
    "@iconify-json/fluent-emoji": "1.2.7",
    "@iconify-json/fluent-emoji-flat": "1.2.6",
    "@iconify-json/emojione": "1.2.3",
    "@iconify-json/emojione-v1": "1.2.3",
    "@iconify-json/openmoji": "1.2.29",
    "@iconify-json/fxemoji": "1.2.2",
}
"""Another version may draw otherwise."""


def install(folder: Path, pins: Mapping[str, str] = PINS) -> Path:
    """The node_modules folder with all packages of `pins`; npm fetches what is missing or of another version.

    Raises subprocess.CalledProcessError where npm cannot, and SystemExit where it fetched another version.
    """
    modules = folder / "node_modules"
    missing = [f"{name}@{version}" for name, version in pins.items() if _version(modules / name) != version]
    if missing:
        folder.mkdir(parents=True, exist_ok=True)
        command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--prefix", str(folder), *missing]
        subprocess.run(command, check=True)
    for name, version in pins.items():
        found = _version(modules / name)
        if found != version:
            raise SystemExit(f"{name} is {found or 'missing'} in {modules}, {version} is needed")
    return modules


def _version(package: Path) -> str | None:
    file = package / "package.json"
    return str(json.loads(file.read_text(encoding="utf-8"))["version"]) if file.is_file() else None
