"""Fine-tuning teaches something: names of signs that the model in the package has never seen, to pictures held out."""

from collections.abc import Callable
from pathlib import Path

import pytest

from ivl.data.settings import DataSource
from ivl.train.config import TrainConfig
from ivl.zoo import nano_folder
from signs import NAMES, write_signs
from tiny_run import Result, train


@pytest.fixture
def teach(tmp_path: Path) -> Callable[..., Result]:
    def run(num_train: int, num_test: int, names: int, **changes: object) -> Result:
        paths = write_signs(tmp_path / "signs", num_train, num_test, list(NAMES)[:names])
        data, val_data = ((DataSource(path=str(path)),) for path in paths)
        settings = {
            "path": str(nano_folder()),
            "data_path": data,
            "val_data_path": val_data,
            "work_dir": str(tmp_path / "run"),
            "device": "cpu",
            "dataloader_num_workers": 0,
            "r": 16,
            "lora_alpha": 32,
            "lr": 2e-3,
            "batch_size": 10,
            "eval_samples": num_test,
            "save_steps": 1000,
        }
        return train(TrainConfig(**(settings | changes)))

    return run


def exact_matches(result: Result) -> list[float]:
    return [each["exact_match"] for each in result.records if each["kind"] == "validation"]


def test_a_few_steps_teach_two_signs(teach: Callable[..., Result]) -> None:
    before, after = exact_matches(teach(40, 6, 2, batch_size=8, lr=4e-3, warmup_ratio=0))
    assert before == 0
    assert after >= 0.75


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_200_records_teach_six_signs(teach: Callable[..., Result]) -> None:
    result = teach(200, 60, 6, max_epochs=2)
    before, after = exact_matches(result)
    assert before < 0.3
    assert after >= before + 0.2
    assert after >= 0.9
