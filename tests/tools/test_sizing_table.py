"""The sizing tables: documents hold what the tool computes, figures are of the right kind, and grow as they must."""

import json
from pathlib import Path

import pytest
from tools.sizing_table import BEGIN, END, MODELS, PAGES, RANK, Cell, Figures, answering, figures, put_in, tables

from ivl.model.family import FAMILY
from ivl.train.config import TrainConfig
from ivl.train.memory import estimate
from tools import sizing_table

MODEL = FAMILY["InternVL2-2B"]


@pytest.fixture(scope="module")
def found() -> Figures:
    return figures()


@pytest.mark.parametrize("language", PAGES)
def test_the_documents_hold_what_is_computed(language: str, found: Figures) -> None:
    page = PAGES[language].read_text("utf-8")
    assert put_in(page, tables(language, found)) == page, "run python -m tools.sizing_table --write"


def test_measured_figures_are_the_benchmarks_and_in_bold(found: Figures) -> None:
    rows = json.loads(sizing_table.MEASURED.read_text("utf-8"))["rows"]
    ours = sorted(row["peak_gb"] for row in rows if row["who"] == "ivl")
    marked = {key: cell for key, cell in found.items() if cell.is_measured}
    assert sorted(cell.num_bytes / 1e9 for cell in marked.values()) == pytest.approx(ours)
    assert {name for name, _ in marked} == {"InternVL2-2B"}
    assert str(Cell(num_bytes=8.92e9, is_measured=True)) == "**8.9**"
    assert str(Cell(num_bytes=8.92e9)) == "8.9"
    assert str(Cell(num_bytes=1290.6e9)) == "1,291"


def test_training_is_what_the_run_itself_would_say(found: Figures) -> None:
    train = TrainConfig(r=RANK, lora_alpha=2 * RANK, quantization="nf4", activation_checkpointing="all")
    said = estimate(MODEL, train, tokens_per_micro_batch=8364, tiles_per_micro_batch=28, device="cuda")
    assert found["InternVL2-2B", "qlora"].num_bytes == said.total


def test_an_answer_takes_weights_and_cache(found: Figures) -> None:
    weights = found["InternVL2-2B", "disk"].num_bytes
    chat = found["InternVL2-2B", "chat"].num_bytes
    cache = 8192 * MODEL.text.kv_numbers_per_token * 2
    assert weights + cache < chat < weights + cache + 3e9
    more = answering(MODEL, 2, 8192) - answering(MODEL, 1, 8192)
    assert more == cache


@pytest.mark.parametrize("task", ["disk", "chat", "cpu", "int8", "lora", "qlora", "full", "full_8"])
def test_larger_models_take_more(task: str, found: Figures) -> None:
    sizes = [found[name, task].num_bytes for name in MODELS]
    assert sizes == sorted(sizes)


def test_what_saves_memory_saves_it(found: Figures) -> None:
    for name in MODELS:
        of = {task: cell.num_bytes for (model, task), cell in found.items() if model == name}
        assert of["qlora"] < of["lora"] < of["lora_fast"], name
        assert of["full_8"] < of["full"], name
        assert of["int8"] < of["cpu"], name
        assert of["merge"] < of["disk"] or name == "InternVL2-1B", name


def test_a_page_without_marks_is_refused(tmp_path: Path) -> None:
    assert put_in(f"a\n{BEGIN}\nold\n{END}\nb", "new") == f"a\n{BEGIN}\nnew\n{END}\nb"
    with pytest.raises(ValueError, match="the page has no"):
        put_in("a page", "new")
