"""A run from recipe to result: what it leaves can be read by others, and its folder is safe from a second run."""

import json
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

import ivl
import tiny_run
from ivl.data.settings import DataSource
from ivl.errors import DataError, SettingsError, TrainingError
from ivl.model.adapter_io import read_adapter
from ivl.model.adapter_merge import merge
from ivl.train.config import TrainConfig
from ivl.train.run import run
from ivl.types import ImagePart, Message, TextPart
from tiny_run import Result, train

from .conftest import Parts

Recipe = Callable[..., TrainConfig]
ADAPTED = {
    "lora": {},
    "rslora": {"use_rslora": True, "target_modules": ("q_proj", "down_proj")},
    "dora": {"use_dora": True},
    "beside": {"connector": "full", "vision_model": "full", "vision_layers": 1},
    "everywhere": {"connector": "lora", "vision_model": "lora"},
}


class Trained:
    """A run of two steps, and what its model says in the end."""

    def __init__(self, left: Result, parameters: dict[str, Tensor], logits: Tensor) -> None:
        self.left, self.parameters, self.logits = left, parameters, logits


def question(parts: Parts) -> dict[str, Tensor]:
    """What models are asked: text and a picture."""
    picture = ImagePart(source=str(parts.data.parent / "images/001.png"))
    inputs = ivl.load_processor(parts.model)((Message(role="user", parts=(picture, TextPart(text="what is it?"))),))
    return {"input_ids": inputs.input_ids, "pixel_values": inputs.pixel_values}


@pytest.fixture(scope="module")
def run_of(
    calm: pytest.MonkeyPatch, parts: Parts, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Callable[..., Trained]]:
    """A run by its changes, each run once; logits are the trained model's own, before anything is written."""
    from ivl.train.trainer import Trainer

    known: dict[str, Trained] = {}
    caught: list[Tensor] = []
    do = Trainer.run

    def watched(self: Trainer, *given: object) -> int:
        last = do(self, *given)
        model = self.strategy.forward.model.eval()
        with torch.no_grad():
            caught.append(model(**question(parts)).logits)
        return last

    calm.setattr(Trainer, "run", watched)

    def of(**changes: object) -> Trained:
        key = repr(sorted(changes.items()))
        if key not in known:
            folder = tmp_path_factory.mktemp("runs") / "run"
            common = {"max_steps": 2, "save_steps": 1, "lr": 1e-2}
            with tiny_run.parameters_seen() as seen:
                left = train(tiny_run.recipe(parts.model, parts.data, folder, **(common | changes)))
            known[key] = Trained(left, seen[0][1], caught.pop())
        return known[key]

    yield of
    calm.setattr(Trainer, "run", do)


def logits_of(model: torch.nn.Module, parts: Parts) -> Tensor:
    with torch.no_grad():
        return model(**question(parts)).logits


@pytest.mark.parametrize("kind", list(ADAPTED))
def test_the_adapter_and_every_checkpoint_are_read_by_us_and_by_peft(
    kind: str, run_of: Callable[..., Trained], parts: Parts
) -> None:
    from peft import PeftModel

    trained = run_of(**ADAPTED[kind])
    base = logits_of(ivl.load_model(parts.model), parts)
    folder = trained.left.folder
    assert (folder / "adapter/adapter_config.json").read_bytes() == (
        folder / "checkpoint-2/adapter_config.json"
    ).read_bytes()
    for name in ("adapter", "checkpoint-2"):
        ours, theirs = ivl.load_model(parts.model), ivl.load_model(parts.model)
        merge(ours, read_adapter(folder / name, ours))
        torch.testing.assert_close(logits_of(ours, parts), trained.logits, rtol=1e-4, atol=1e-4)
        torch.testing.assert_close(
            logits_of(PeftModel.from_pretrained(theirs, str(folder / name)).eval(), parts), trained.logits
        )
        assert float((trained.logits - base).abs().max()) > 1e-2, "the run changed something"
    earlier = read_adapter(folder / "checkpoint-1", ivl.load_config(parts.model))
    latest = read_adapter(folder / "checkpoint-2", ivl.load_config(parts.model))
    path = next(iter(earlier.weights))
    assert not torch.equal(earlier.weights[path].b, latest.weights[path].b)


@pytest.mark.parametrize(
    "changes",
    [{"language_model": "full"}, {"language_model": "frozen", "connector": "full"}],
    ids=["language model", "connector"],
)
def test_a_whole_model_can_be_loaded_and_says_the_same(
    changes: dict[str, object], run_of: Callable[..., Trained], parts: Parts
) -> None:
    trained = run_of(**changes)
    folder = trained.left.folder / "model"
    model, processor = ivl.load_model(folder), ivl.load_processor(folder)
    torch.testing.assert_close(logits_of(model, parts), trained.logits, rtol=0, atol=0)
    for name, tensor in model.named_parameters():
        assert torch.equal(tensor, trained.parameters[name]), name
    asked = (Message(role="user", parts=(TextPart(text="what is it?"),)),)
    assert torch.equal(processor(asked).input_ids, ivl.load_processor(parts.model)(asked).input_ids)
    kept = {path.name for path in parts.model.iterdir()}
    assert kept <= {path.name for path in folder.iterdir()}
    assert not list(trained.left.folder.glob(".*")), "nothing half written is left"


def test_a_run_can_begin_with_what_another_trained(run_of: Callable[..., Trained], recipe: Recipe) -> None:
    first = run_of().left
    for source in ("adapter", "checkpoint-2"):
        with tiny_run.parameters_seen() as seen:
            left = train(recipe(source, max_steps=1, load_from=str(first.folder / source)))
        begun = seen[0][0]
        for name, tensor in load_file(first.folder / "adapter/adapter_model.safetensors").items():
            name = re.sub(r"(lora_[AB])\.", r"\1.default.", name.removeprefix("base_model.model."))
            assert torch.equal(begun[name], tensor), name
        assert left.records[0]["step"] == 0
    with pytest.raises(TrainingError, match=r"the shape \[4, ") as caught:
        train(recipe("wider", r=8, load_from=str(first.folder / "adapter")))
    assert "\n" not in str(caught.value)


def test_a_run_tells_what_it_did(run_of: Callable[..., Trained]) -> None:
    left = run_of().left
    assert [(each["kind"], each["step"]) for each in left.records] == [
        ("run_start", 0), ("step", 1), ("saved", 1), ("step", 2), ("saved", 2), ("run_end", 2),
    ]  # fmt: skip
    start, step, end = left.records[0], left.records[1], left.records[-1]
    assert start["num_trainable"] == sum(tensor.numel() for tensor in left.trained.values())
    assert start["total_steps"] == 2
    assert step["num_samples"] == 4
    assert step["loss"] > 0
    assert step["grad_norm"] > 0
    assert end["finished"]
    assert end["output"] == str(left.folder / "adapter")
    assert (left.folder / "report.html").is_file()


def test_old_checkpoints_go_and_the_best_stays(recipe: Recipe, parts: Parts, monkeypatch: pytest.MonkeyPatch) -> None:
    losses = iter([3.0, 2.0, 1.0, 5.0, 4.0, 3.5, 3.4])
    monkeypatch.setattr("ivl.train.run.validation_loss", lambda *given: next(losses))
    other = (DataSource(path=str(parts.other)),)
    left = train(recipe(save_steps=1, save_total_limit=1, val_data_path=other, eval_samples=0, batch_size=4))
    assert sorted(path.name for path in left.folder.glob("checkpoint-*")) == ["checkpoint-2", "checkpoint-6"]


def test_validation_says_loss_and_answers(recipe: Recipe, parts: Parts) -> None:
    other = (DataSource(path=str(parts.other)),)
    left = train(recipe(max_steps=2, val_data_path=other, eval_steps=1, eval_samples=2, lora_dropout=0.5))
    validations = [each for each in left.records if each["kind"] == "validation"]
    assert [each["step"] for each in validations] == [0, 1, 2]
    assert all(each["num_answers"] == 2 for each in validations)
    answers = [json.loads(line) for line in (left.folder / "answers.jsonl").read_text("utf-8").splitlines()]
    assert {each["expected"] for each in answers if "expected" in each} == {"ab", "c d"}
    plain = train(recipe("plain", max_steps=2, lora_dropout=0.5))
    assert plain.losses == left.losses, "validation leaves no trace in the training"


def test_validation_pictures_that_are_cut_off_are_told_and_the_run_goes_on(recipe: Recipe, tmp_path: Path) -> None:
    data = tiny_run.write_data(tmp_path / "cut", 3)
    for number in range(3):
        tiny_run.cut_picture(data, number)
    left = train(recipe(max_steps=2, save_steps=1, val_data_path=(DataSource(path=str(data)),), eval_samples=1))
    assert left.code == 0
    assert any("001.png" in text for text in left.notices)


# The folder, and its end.


HOLDER = """
import sys
from pathlib import Path
from ivl.train.run_folder import lock_run
with lock_run(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_second_run_is_kept_out_of_a_folder_in_use(recipe: Recipe, tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "run")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout.readline() == "held\n"
        with pytest.raises(TrainingError, match=f"in use by another run .process {holder.pid}"):
            train(recipe(max_steps=1))
        holder.stdin.close()
    assert train(recipe(max_steps=1)).code == 0


def test_a_half_written_result_of_a_killed_run_goes(recipe: Recipe, tmp_path: Path) -> None:
    train(recipe(max_steps=1))
    for name in (
        ".adapter.partial-1a2b3c4d",
        "..adapter.partial-1a2b3c4d.partial-5e6f7a8b",
        ".adapter.replaced-1a2b3c4d",
    ):
        (tmp_path / "run" / name).mkdir()
        (tmp_path / "run" / name / "adapter_model.safetensors").write_bytes(b"half")
    assert train(recipe(max_steps=1, resume=True)).code == 0
    assert not list((tmp_path / "run").glob(".*"))
    assert load_file(tmp_path / "run/adapter/adapter_model.safetensors")


@pytest.mark.parametrize(
    ("changes", "error", "named"),
    [
        ({"work_dir": None}, SettingsError, "work_dir"),
        ({"data_path": ()}, DataError, "data_path"),
        ({"prompt_template": "phi3-chat"}, SettingsError, "prompt_template"),
        ({"target_modules": ("q_prj",)}, SettingsError, "q_proj"),
        ({"vision_model": "full", "vision_layers": 90}, SettingsError, "vision_layers=90"),
        ({"data_path": (DataSource(path="/nowhere/data.json"),)}, DataError, "/nowhere/data.json"),
        ({"path": "/nowhere/model"}, ivl.errors.IvlError, "/nowhere/model"),
        ({"packing": True, "pack_length": 100}, SettingsError, "pack_length=100"),
    ],
)
def test_a_mistake_is_told_on_one_line_before_anything_is_trained(
    changes: dict[str, object], error: type[Exception], named: str, recipe: Recipe, tmp_path: Path
) -> None:
    with pytest.raises(error) as caught:
        run(replace(recipe(), **changes))
    assert named in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.glob("run/checkpoint-*"))
    assert not (tmp_path / "run/metrics.jsonl").exists()
