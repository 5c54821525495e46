"""What an adapter's `adapter_config.json` says about its numbers, as PEFT understands it.

In: a folder. Out: `AdapterSettings`: rank and scale of each module. Knows no tensors and no model.

The file comes from a stranger. Nothing it names is imported or run, and a setting that would change the answer in
a way not built here is refused, not skipped: those that PEFT has yet to invent too.
"""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ivl.errors import AdapterError
from ivl.model.folder_io import read_json

CONFIG_FILE = "adapter_config.json"

_READ = {
    "peft_type", "r", "lora_alpha", "target_modules", "rank_pattern", "alpha_pattern", "use_rslora",
    "init_lora_weights", "bias", "use_dora", "modules_to_save",
}  # fmt: skip
# They speak of training, of where the adapter came from, or of what the tensors' names say anyway.
_WITHOUT_EFFECT = {
    "task_type", "auto_mapping", "peft_version", "base_model_name_or_path", "revision", "inference_mode",
    "lora_dropout", "exclude_modules", "layers_to_transform", "layers_pattern", "megatron_core", "eva_config",
    "runtime_config", "qalora_group_size", "loftq_config",
}  # fmt: skip
# The other ways PEFT knows to begin training take something away from the base's weights.
_BASE_UNTOUCHED = (True, False, "gaussian", "eva", "orthogonal")
_EMPTY: tuple[object, ...] = (None, False, "", [], {})


@dataclass(frozen=True, kw_only=True)
class AdapterSettings:
    """What `adapter_config.json` says about the numbers."""

    rank: int
    alpha: float
    rank_pattern: tuple[tuple[re.Pattern[str], int], ...]
    alpha_pattern: tuple[tuple[re.Pattern[str], float], ...]
    use_rslora: bool
    use_dora: bool
    """Magnitude and direction apart (Liu et al. 2024, arXiv 2402.09353)."""
    replaced: tuple[str, ...]
    """`modules_to_save`: ends of the paths of modules whose parameters the adapter holds itself."""
    targets: frozenset[str] | None
    """Ends of module paths; None where PEFT would read an expression."""
    leaves_out: bool
    """Whether some modules that `targets` names are excepted."""

    def rank_of(self, path: str) -> int:
        return next((rank for pattern, rank in self.rank_pattern if pattern.match(path)), self.rank)

    def scale_of(self, path: str) -> float:
        """alpha / r; alpha / sqrt(r) where the rank was stabilised (Kalajdzievski 2023, arXiv 2312.03732)."""
        alpha = next((alpha for pattern, alpha in self.alpha_pattern if pattern.match(path)), self.alpha)
        rank = self.rank_of(path)
        return alpha / (math.sqrt(rank) if self.use_rslora else rank)


def read_settings(root: Path, num_modules: int) -> AdapterSettings:
    """The settings of the adapter in the folder `root`, for a model with `num_modules` linear maps.

    Raises AdapterError, naming the field, its value and what to do, for all that is not a plain LoRA adapter.
    """
    table, where = read_json(root, CONFIG_FILE, AdapterError), str(root / CONFIG_FILE)
    _check_fields(table, where)
    return AdapterSettings(
        rank=int(_number(where, "r", table.get("r"), int, 1)),
        alpha=_number(where, "lora_alpha", table.get("lora_alpha"), (int, float), -1e9),
        rank_pattern=tuple(
            (pattern, int(value)) for pattern, value in _patterns(where, "rank_pattern", table, int, 1, num_modules)
        ),
        alpha_pattern=_patterns(where, "alpha_pattern", table, (int, float), -1e9, num_modules),
        use_rslora=table.get("use_rslora") is True,
        use_dora=table.get("use_dora") is True,
        replaced=_replaced(where, table.get("modules_to_save")),
        targets=_targets(where, table.get("target_modules")),
        leaves_out=any(table.get(field) not in _EMPTY for field in ("exclude_modules", "layers_to_transform")),
    )


def _check_fields(table: dict[str, Any], where: str) -> None:
    """Refuse every setting that would change the answer and is not built here, those of the future included."""
    kind = table.get("peft_type")
    if kind != "LORA":
        raise _refused(where, "peft_type", kind, "only LORA adapters are read")
    start = table.get("init_lora_weights", True)
    if (start.lower() if isinstance(start, str) else start) not in _BASE_UNTOUCHED:
        way_out = (
            "it may have changed the base's own weights; save with PEFT's path_initial_model_for_weight_conversion"
        )
        raise _refused(where, "init_lora_weights", start, way_out)
    if table.get("bias", "none") != "none":
        raise _refused(where, "bias", table["bias"], 'train with "none"')
    for field in ("use_rslora", "use_dora"):
        if not isinstance(table.get(field, False), bool):
            raise _refused(where, field, table[field], "true or false")
    for field, value in table.items():
        if field not in _READ | _WITHOUT_EFFECT and value not in _EMPTY:
            raise _refused(where, field, value, "it is not supported; train the adapter without it")


def _targets(where: str, targets: object) -> frozenset[str] | None:
    if targets is None or isinstance(targets, str):
        return None
    if isinstance(targets, list) and all(isinstance(target, str) for target in targets):
        return frozenset(targets)
    raise _refused(where, "target_modules", targets, "a list of module names is needed")


def _replaced(where: str, names: object) -> tuple[str, ...]:
    if names is None:
        return ()
    if isinstance(names, list) and all(isinstance(name, str) and name for name in names):
        return tuple(names)
    raise _refused(where, "modules_to_save", names, "a list of module names is needed")


def _patterns(
    where: str, field: str, table: dict[str, Any], kind: type | tuple[type, ...], low: float, num_modules: int
) -> tuple[tuple[re.Pattern[str], float], ...]:
    """Values for some modules. A key matches the end of a path, from a dot on; the first that does counts."""
    values = {} if table.get(field) is None else table[field]
    if not isinstance(values, dict) or len(values) > num_modules:
        raise _refused(where, field, values, f"an object with at most {num_modules} module names is needed")
    return tuple(
        (_pattern(where, field, key), _number(where, f"{field}[{key!r:.80}]", value, kind, low))
        for key, value in values.items()
    )


def _pattern(where: str, field: str, key: str) -> re.Pattern[str]:
    """PEFT's reading of a key: a regular expression. One that could search for ever is refused unread."""
    repeats, groups = len(re.findall(r"[*+?{]", key)), key.count("(")
    if len(key) <= 200 and repeats <= 2 and groups <= 2 and not re.search(r"\)[*+?{]", key):
        try:
            return re.compile(rf"(.*\.)?({key})$")
        except (re.error, OverflowError, RecursionError):
            pass
    raise _refused(where, field, key, "give module names, such as layers.0.attention.q_proj, as keys")


def _number(where: str, field: str, value: object, kind: type | tuple[type, ...], low: float) -> float:
    if not isinstance(value, kind) or isinstance(value, bool) or not low <= value <= 1e9:  # type: ignore[operator]
        raise _refused(where, field, value, "a whole number of at least 1 is needed" if low > 0 else "a number")
    return value  # type: ignore[return-value]


def _refused(where: str, field: str, value: object, what_to_do: str) -> AdapterError:
    return AdapterError(f"{where}: {field}={value!r:.80} is not allowed: {what_to_do}")
