"""The data of an XTuner InternVL config: files, picture folders, lengths, batches.

In: `Findings`. Out: fields of our recipe with their lines. Opens no data.
"""

from typing import Any

from ivl.data.settings import DataSource
from ivl.train.xtuner_findings import Findings, told
from ivl.train.xtuner_reader import Reference

# XTuner's names of chat templates -> the models' own.
_TEMPLATES = {"internlm2_chat": "internlm2-chat", "phi3_chat": "phi3-chat"}


def read_data(found: Findings) -> dict[str, tuple[Any, int]]:
    """Data sources, template, length and batch of the config."""
    fields = _read_sources(found)
    prefix = (_datasets(found) or [""])[0]
    wholes = {
        "max_length": found.inside(prefix, "max_length", "max_length"),
        "batch_size": found.inside("train_dataloader", "batch_size", "batch_size"),
        "dataloader_num_workers": found.inside("train_dataloader", "num_workers", "dataloader_num_workers"),
        "accumulative_counts": found.inside("optim_wrapper", "accumulative_counts", "accumulative_counts"),
    }
    for name, path in wholes.items():
        if (value := found.whole(path)) is not None:
            fields[name] = (value, found.line(path))
    found.taken.update(f"{each}.max_length" for each in _datasets(found))
    fields |= _read_template(found)
    if sampler := found.type_name("train_dataloader.sampler"):
        is_grouped = sampler == "LengthGroupedSampler"
        fields["group_by_length"] = (is_grouped, found.line("train_dataloader.sampler"))
        if not is_grouped and sampler != "DefaultSampler":
            found.note(found.line("train_dataloader.sampler"), f"sampler {sampler}: samples come in random order here")
    return fields


def _datasets(found: Findings) -> list[str]:
    """The paths of the training data sets' dicts."""
    names = ("train_dataloader.dataset", "llava_dataset", "train_dataset")
    outer = next((name for name in names if found.mapping(name)), None)
    if outer is None:
        return []
    inner = found.items(f"{outer}.datasets")
    return [f"{outer}.datasets.{index}" for index in range(len(inner))] if inner else [outer]


def _read_sources(found: Findings) -> dict[str, tuple[Any, int]]:
    sources: list[DataSource] = []
    line = 1
    for prefix in _datasets(found) or [""]:
        dot = f"{prefix}." if prefix else ""
        paths = (f"{dot}data_paths", f"{dot}data_path")
        line = found.line(*paths)
        found.type_name(prefix)
        found.find(f"{dot}model_path")
        files, folders = _texts(found, *paths), _texts(found, f"{dot}image_folders", f"{dot}image_folder")
        sources += _sources(found, line, files, folders, _numbers(found, f"{dot}repeat_times"))
    root = found.text("data_root")
    if not sources:
        return {} if root is None else {"data_root": (root, found.line("data_root"))}
    return {name: (value, line) for name, value in _under_root(sources, root).items()}


def _sources(
    found: Findings,
    line: int,
    paths: list[str | None],
    folders: list[str | None],
    repeats: list[float],
) -> list[DataSource]:
    """As XTuner pairs them: one folder and one repeat for each path."""
    if not paths:  # told already, if it is there and could not be read
        return []
    folders, repeats = folders or [None] * len(paths), repeats or [1.0] * len(paths)
    if not len(paths) == len(folders) == len(repeats):
        counts = f"{len(paths)} data_paths, {len(folders)} image_folders and {len(repeats)} repeat_times"
        raise found.refuse(line, f"{counts}: one of each is needed for every data set")
    if any(repeat < 1 for repeat in repeats):
        found.note(line, "repeat_times below 1 take a random share of the records there, the first share here")
    return [
        DataSource(path=path, image_folder=folder, repeat_time=repeat)
        for path, folder, repeat in zip(paths, folders, repeats, strict=True)
        if path
    ]


def _under_root(sources: list[DataSource], root: str | None) -> dict[str, Any]:
    """data_root, data_path and image_folder: without the root where all of them lie under it."""
    folders = {source.image_folder for source in sources}
    named = [source.path for source in sources] + [folder for folder in folders if folder is not None]
    fields: dict[str, Any] = {}
    if root and all(name.startswith(root.rstrip("/") + "/") or name == root for name in named):
        fields["data_root"] = root
    else:
        root = ""
    shared = next(iter(folders)) if len(folders) == 1 else None
    if shared is not None:
        fields["image_folder"] = _relative(shared, root)
    fields["data_path"] = tuple(
        DataSource(
            path=_relative(source.path, root),
            image_folder=None if source.image_folder in (None, shared) else _relative(source.image_folder, root),
            repeat_time=source.repeat_time,
        )
        for source in sources
    )
    return fields


def _relative(name: str | None, root: str) -> str:
    return ((name or "").removeprefix(root).lstrip("/") if root else name) or "."


def _read_template(found: Findings) -> dict[str, tuple[Any, int]]:
    paths = (*(f"{prefix}.template" for prefix in _datasets(found)), "prompt_template")
    item = found.find(*paths)
    if item is None or item.value is None:
        return {}
    name = str(item.value).rpartition(".")[2] if isinstance(item.value, str | Reference) else ""
    if name in _TEMPLATES:
        return {"prompt_template": (_TEMPLATES[name], item.line)}
    found.note(item, f"prompt_template = {told(item.value)}: the model's own template is used")
    return {}


def _texts(found: Findings, *paths: str) -> list[str | None]:
    values = []
    for item in found.items(*paths):
        if item.value is not None and (not isinstance(item.value, str) or isinstance(item.value, Reference)):
            raise found.refuse(item.line, f"{paths[-1]} holds {told(item.value)}: a text is needed")
        values.append(item.value)
    return values


def _numbers(found: Findings, *paths: str) -> list[float]:
    values = []
    for item in found.items(*paths):
        if not isinstance(item.value, int | float) or isinstance(item.value, bool):
            raise found.refuse(item.line, f"{paths[-1]} holds {told(item.value)}: a number is needed")
        values.append(float(item.value))
    return values
