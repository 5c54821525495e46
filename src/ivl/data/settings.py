"""Which data a run reads and how it is laid out: the fields of a recipe that this room owns.

Plain values; a recipe's file is read in `train`. Names are the tutorial's and the official meta JSON's where these
have one.
"""

from dataclasses import dataclass
from typing import Literal

from ivl.errors import SettingsError, shown

LossWeighting = Literal["token", "sample", "square"]


@dataclass(frozen=True, kw_only=True)
class DataSource:
    """One data set of a mixture."""

    path: str
    """A file in any format that `ivl data check` reads, or a folder; relative to data_root."""
    image_folder: str | None = None
    """Folder that the records' picture paths are relative to and may not leave; None: the recipe's image_folder."""
    name: str | None = None
    """What messages and reports call it; None: the file's name."""
    repeat_time: float = 1.0
    """Below 1: this first share of the records; above 1: the records so many times in an epoch."""
    max_dynamic_patch: int | None = None
    """Tiles an image of this set may take; None: the run's own number."""
    data_augment: bool = False
    """Re-encode images as JPEG of a random quality of 75 to 100."""

    def __post_init__(self) -> None:
        if not self.path:
            raise SettingsError("path of a data set is empty: the name of a file or folder is needed")
        check_number("repeat_time", self.repeat_time, 1e-6, 1e4)
        if self.max_dynamic_patch is not None:
            check_number("max_dynamic_patch", self.max_dynamic_patch, 1, 2**31 - 1, whole=True)


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """The data of a run."""

    data_root: str = "."
    """Folder that data paths are relative to; itself relative to where the command runs."""
    data_path: tuple[DataSource, ...] = ()
    """The training data: a path, a list of paths, or a list of {path, image_folder, repeat_time, ...}."""
    image_folder: str | None = None
    """Folder that picture paths are relative to and may not leave; None: the folder of the data file."""
    val_data_path: tuple[DataSource, ...] = ()
    """Validation data, as data_path."""
    replay_path: tuple[DataSource, ...] = ()
    """General data mixed in so that the model keeps what it knew, as data_path."""
    replay_ratio: float = 1.0
    """Replayed samples for each sample of data_path, in every epoch (general : domain)."""
    max_length: int = 8192
    """Tokens of a sample, at most: a longer one loses tiles first and is skipped and counted if that is not enough."""
    max_dynamic_patch: int | None = None
    """Tiles an image may take in training; None: the model's own number. The model that is served keeps its own."""
    packing: bool = False
    """Fill each micro batch with samples up to pack_length tokens; otherwise it holds batch_size samples."""
    pack_length: int | None = None
    """Tokens of a micro batch with packing; None: max_length."""
    batch_size: int = 4
    """Samples in a micro batch on one GPU, without packing."""
    accumulative_counts: int = 1
    """Micro batches whose gradients make one step."""
    group_by_length: bool = True
    """Without packing: deal out the samples of a step so that ranks and micro batches work equally long."""
    loss_weighting: LossWeighting = "token"
    """What counts alike: every trained token, every sample (1/n for each of its n tokens), or "square" (1/sqrt n)."""
    dataloader_num_workers: int | None = None
    """Processes that read and tile pictures, for each rank; None: by the number of cores."""
    max_bad_share: float = 0.1
    """Unusable records are skipped and counted, but more than this share of them stops the run before it begins."""
    as_viewed: bool = True
    """Read pictures upright and transparency on white, as a viewer shows them; False: as the official code."""
    prompt_template: str | None = None
    """Must equal the model's own template if given: a model is fine-tuned with the template it was trained with."""
    seed: int = 42
    """Of the order of samples, of new adapters and of dropout; the same seed gives the same run."""

    def __post_init__(self) -> None:
        whole = {"max_length": 8, "batch_size": 1, "accumulative_counts": 1, "seed": 0}
        optional = {"max_dynamic_patch": 1, "pack_length": 8, "dataloader_num_workers": 0}
        for name, least in (
            whole | {key: low for key, low in optional.items() if getattr(self, key) is not None}
        ).items():
            check_number(name, getattr(self, name), least, 2**31 - 1, whole=True)
        check_number("replay_ratio", self.replay_ratio, 0, 1e3)
        check_number("max_bad_share", self.max_bad_share, 0, 1)
        check_choice("loss_weighting", self.loss_weighting, ("token", "sample", "square"))

    @property
    def token_budget(self) -> int:
        """Tokens of a packed micro batch."""
        return self.pack_length or self.max_length


def check_number(name: str, value: object, least: float, most: float, *, whole: bool = False) -> None:
    """Raise SettingsError unless `value` is a (whole) number in [least, most]; NaN is not."""
    kind = int if whole else (int, float)
    if not isinstance(value, kind) or isinstance(value, bool) or not least <= value <= most:
        word = "a whole number" if whole else "a number"
        raise SettingsError(f"{name}={shown(value)} is not allowed: {word} from {least:g} to {most:g} is needed")


def check_choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    """Raise SettingsError unless `value` is one of `allowed`."""
    if value not in allowed:
        raise SettingsError(f"{name}={shown(value)} is not allowed: {', '.join(allowed)}")
