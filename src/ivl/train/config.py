"""What a recipe says: `TrainConfig`, frozen, every field documented; the docstrings are the help.

Plain values that check themselves. Knows no files: `recipe.py` reads them. The data's fields come from `data.settings`.
"""

from dataclasses import dataclass
from typing import Literal

from ivl.data.settings import DataSettings, check_choice, check_number
from ivl.errors import SettingsError

Mode = Literal["frozen", "lora", "full"]
MODES: tuple[Mode, ...] = ("frozen", "lora", "full")
OPTIMIZERS = ("AdamW", "AdamW8bit", "Lion", "Muon")
SCHEDULES = ("cosine", "linear", "constant")
STRATEGIES = ("auto", "ddp", "fsdp2", "zero2", "zero3")
TRACKERS = ("tensorboard", "trackio", "swanlab", "wandb")


@dataclass(frozen=True, kw_only=True)
class TuneSettings:
    """What trains."""

    path: str = ""
    """The model: a folder or a hub id; empty: the small one in the package."""
    load_from: str | None = None
    """Begin with the trained weights of this adapter or checkpoint folder, but with a new optimizer and from step 0."""
    language_model: Mode = "lora"
    """frozen, lora or full."""
    vision_model: Mode = "frozen"
    """frozen, lora or full."""
    connector: Mode = "frozen"
    """frozen, lora or full."""
    vision_layers: int | None = None
    """Only the last so many vision layers train; None: all of them, and the embeddings with "full"."""
    r: int = 128
    """Rank of the adapters (Hu et al. 2021, arXiv 2106.09685)."""
    lora_alpha: float = 256
    """An adapter's product is scaled by lora_alpha / r."""
    lora_dropout: float = 0.05
    """Share of an adapter's inputs that is zeroed in training."""
    target_modules: tuple[str, ...] | None = None
    """Names of the linear maps that get an adapter, such as q_proj; None: all of each part that is "lora"."""
    use_rslora: bool = False
    """Scale by lora_alpha / sqrt(r) instead (Kalajdzievski 2023, arXiv 2312.03732)."""
    use_dora: bool = False
    """Train magnitude and direction apart (Liu et al. 2024, arXiv 2402.09353)."""
    quantization: Literal["nf4"] | None = None
    """Hold the frozen linear maps of the language model in 4 bits (QLoRA, Dettmers et al. 2023, arXiv 2305.14314)."""


@dataclass(frozen=True, kw_only=True)
class OptimSettings:
    """How it learns."""

    lr: float = 3e-5
    """Highest learning rate."""
    connector_lr: float | None = None
    """Of the connector; None: lr."""
    vision_lr: float | None = None
    """Of the vision model; None: lr."""
    optim_type: str = "AdamW"
    """AdamW, AdamW8bit, Lion or Muon."""
    betas: tuple[float, float] = (0.9, 0.999)
    """Decay of the optimizer's two averages."""
    weight_decay: float = 0.05
    """Decoupled weight decay; biases and norms have none."""
    max_norm: float = 1.0
    """Gradients are scaled down to this norm; 0: never."""
    warmup_ratio: float = 0.03
    """Share of the steps in which the learning rate rises from 0."""
    lr_schedule: str = "cosine"
    """After warm-up: cosine or linear to 0, or constant."""
    max_epochs: float = 1
    """Passes over the data."""
    max_steps: int | None = None
    """Stop after so many steps, if that comes before max_epochs; the schedule ends there too."""


@dataclass(frozen=True, kw_only=True)
class RunSettings:
    """How it runs, what it saves and what it tells."""

    work_dir: str | None = None
    """Folder of the run; None: runs/ and the recipe's name."""
    resume: bool = False
    """Go on from the newest whole checkpoint in work_dir; False: work_dir must hold no run."""
    device: str = "auto"
    """auto, cpu or cuda."""
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"
    """Of frozen weights and of the arithmetic; auto: bfloat16 on a GPU, float32 on a CPU. What trains is kept in
    float32."""
    strategy: str = "auto"
    """With several ranks: ddp, fsdp2, zero2 or zero3 (DeepSpeed); auto: ddp where it fits, else fsdp2."""
    activation_checkpointing: str | int = "auto"
    """Language model layers whose activations are computed twice instead of kept: auto (as few as memory allows), all,
    none or a number."""
    vision_cache: str | None = None
    """Folder where the frozen vision model's output for each tile is kept, for later epochs and runs: 2 MB a tile for
    InternVL2-2B. A resumed run equals the uninterrupted one only up to rounding then. None: computed every time."""
    compile: bool = False
    """torch.compile each layer: pays in long runs on a GPU."""
    save_steps: int = 64
    """Steps between checkpoints."""
    save_total_limit: int = 2
    """Checkpoints kept: the newest ones, and the best by validation loss."""
    eval_steps: int | None = None
    """Steps between validations; None: save_steps. Needs val_data_path."""
    eval_samples: int = 8
    """Validation questions that the model answers at each validation, shown in the report; 0: none."""
    log_steps: int = 1
    """Steps between lines of metrics.jsonl."""
    report_to: tuple[str, ...] = ()
    """Also tell tensorboard, trackio, swanlab or wandb, by name."""
    timeout: float = 600
    """Seconds after which a rank that waits for another gives up."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig(DataSettings, TuneSettings, OptimSettings, RunSettings):
    """A whole recipe. Raises SettingsError for a value that is not allowed, naming the field."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("language_model", "vision_model", "connector"):
            check_choice(name, getattr(self, name), MODES)
        check_choice("optim_type", self.optim_type, OPTIMIZERS)
        check_choice("lr_schedule", self.lr_schedule, SCHEDULES)
        check_choice("strategy", self.strategy, STRATEGIES)
        check_choice("dtype", self.dtype, ("auto", "float32", "bfloat16"))
        for name in self.report_to:
            check_choice("report_to", name, TRACKERS)
        self._check_numbers()
        self._check_together()

    def _check_numbers(self) -> None:
        for name, least in (
            ("r", 1),
            ("save_steps", 1),
            ("save_total_limit", 1),
            ("eval_samples", 0),
            ("log_steps", 1),
        ):
            check_number(name, getattr(self, name), least, 10**9, whole=True)
        for name in ("max_steps", "eval_steps", "vision_layers"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 1, 10**9, whole=True)
        for name in ("lr", "connector_lr", "vision_lr"):
            if getattr(self, name) is not None:
                check_number(name, getattr(self, name), 1e-12, 10)
        ranges = {
            "lora_alpha": (1e-6, 1e6),
            "lora_dropout": (0, 0.99),
            "weight_decay": (0, 10),
            "max_norm": (0, 1e9),
            "warmup_ratio": (0, 1),
            "max_epochs": (1e-6, 1e6),
            "timeout": (1, 1e6),
        }
        for name, (low, high) in ranges.items():
            check_number(name, getattr(self, name), low, high)
        if len(self.betas) != 2:
            raise SettingsError(f"betas={list(self.betas)} is not allowed: two numbers are needed")
        for beta in self.betas:
            check_number("betas", beta, 0, 0.999999)
        if isinstance(self.activation_checkpointing, int):
            check_number("activation_checkpointing", self.activation_checkpointing, 0, 10**6, whole=True)
        else:
            check_choice("activation_checkpointing", self.activation_checkpointing, ("auto", "all", "none"))

    def _check_together(self) -> None:
        modes = (self.language_model, self.vision_model, self.connector)
        if set(modes) == {"frozen"}:
            raise SettingsError("language_model, vision_model and connector are all frozen: nothing would train")
        if self.quantization is not None and self.language_model == "full":
            raise SettingsError("quantization=nf4 goes with language_model: lora or frozen; 4-bit weights cannot train")
        if self.vision_cache is not None and self.vision_model != "frozen":
            raise SettingsError("vision_cache goes with vision_model: frozen; what trains sees every tile anew")
        if self.vision_layers is not None and self.vision_model == "frozen":
            raise SettingsError("vision_layers is given but vision_model is frozen: set vision_model to lora or full")

    @property
    def trains_adapters(self) -> bool:
        """Whether any part has adapters; otherwise the run ends with a whole model."""
        return "lora" in (self.language_model, self.vision_model, self.connector)
