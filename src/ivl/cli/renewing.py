"""Which connector `ivl init` puts in, and between what: two halves that are joined, or a model that keeps all else.

In: what the command was given. Out: a model folder, all of it or nothing, and what came of it (`Joined`).
"""

import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ivl.cli.joining import Joined, join_folders

if TYPE_CHECKING:
    from ivl.model.config import ConnectorKind, QFormerConfig

# Of a model folder, what is neither weights nor code: official code has no place for another connector.
_KEPT_SUFFIXES = (".json", ".model", ".txt", ".md", ".jinja")
_NOT_KEPT = ("config.json", "model.safetensors.index.json")


def check_parts(given: dict[str, Any]) -> None:
    """Raises SettingsError unless there are two halves or one whole model, and only options that go with that."""
    from ivl.errors import SettingsError

    halves = [name for name in ("vision", "llm") if given[name] is not None]
    if given["model"] is None and len(halves) < 2:
        raise SettingsError("--vision and --llm are needed, or --model for a new connector in a whole model")
    if given["model"] is not None:
        other = [*halves, *(name for name in ("template", "image_size") if given[name] is not None)]
        if other:
            raise SettingsError(
                f"--{other[0].replace('_', '-')} does not go with --model: the model keeps its own parts"
            )
    if given["qformer"] and given["connector"] != "qformer":
        raise SettingsError(f"--qformer {given['qformer'][0]} goes with --connector qformer")
    _sizes(given["qformer"])


def join_or_renew(target: Path, given: dict[str, Any]) -> Joined:
    """What `check_parts` has let through, done. Raises errors of ivl.errors."""
    from ivl.cli.subject import find_folder

    kind, sizes, dtype, seed = given["connector"], _sizes(given["qformer"]), given["dtype"], given["seed"]
    if given["model"] is not None:
        source = find_folder(given["model"])
        return renew(source, target, kind, sizes, max_tiles=given["max_tiles"], dtype=dtype, seed=seed)
    vision, llm = find_folder(given["vision"]), find_folder(given["llm"])
    options = {name: given[name] for name in ("template", "image_size", "dtype", "seed")}
    options["max_tiles"] = given["max_tiles"] or 12
    if kind == "mlp":
        return join_folders(vision, llm, target, **options)
    target.absolute().parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".joining-", dir=target.absolute().parent) as beside:
        joined = join_folders(vision, llm, Path(beside) / "model", **options)
        renewed = renew(Path(beside) / "model", target, kind, sizes, max_tiles=None, dtype=joined.dtype, seed=seed)
    return Joined(config=renewed.config, new_tokens=joined.new_tokens, dtype=joined.dtype)


def renew(
    source: Path,
    target: Path,
    kind: "ConnectorKind",
    sizes: "QFormerConfig | None" = None,
    *,
    max_tiles: int | None = None,
    dtype: str | None = None,
    seed: int = 0,
) -> Joined:
    """Write the model in `source` with a fresh connector as the new folder `target`; all else keeps its numbers.

    sizes: of a Q-Former; None: BLIP-2's. max_tiles, dtype: None: the model's own. Raises errors of ivl.errors.
    """
    from dataclasses import replace

    from ivl.model.folder_io import new_folder
    from ivl.model.join import renewed_config, whole_vocabulary, write_joined
    from ivl.model.part import open_part
    from ivl.processing import load_processor

    eyes, mind = open_part(source, "vision_model"), open_part(source, "language_model")
    config = renewed_config(eyes.config, kind, sizes)
    config = config if max_tiles is None else replace(config, max_tiles=max_tiles)
    dtype = dtype or str(mind.dtype).removeprefix("torch.")
    with new_folder(target) as folder:
        for path in sorted(source.iterdir()):
            if path.is_file() and path.suffix in _KEPT_SUFFIXES and path.name not in _NOT_KEPT:
                shutil.copyfile(path, folder / path.name)
        write_joined(eyes, mind, config, whole_vocabulary(config), folder, dtype=dtype, seed=seed)
        load_processor(folder)
    return Joined(config=config, new_tokens=(), dtype=dtype)


def _sizes(words: tuple[str, ...]) -> "QFormerConfig | None":
    """`num_queries=64` and so on; None where nothing is said. Raises SettingsError or ConfigError."""
    from dataclasses import fields

    from ivl.errors import SettingsError, nearest
    from ivl.model.config import QFormerConfig

    known = [field.name for field in fields(QFormerConfig) if field.name != "norm_eps"]
    found: dict[str, int] = {}
    for word in words:
        name, _, number = word.partition("=")
        if name not in known:
            raise SettingsError(f"--qformer {word}: no such size: {nearest(name, known)}")
        if not number.isdecimal() or not 1 <= int(number[:9]) <= 2**20:
            raise SettingsError(f"--qformer {word}: a whole number of at least 1 is needed, as in {name}=64")
        found[name] = int(number)
    return QFormerConfig(**found) if found else None
