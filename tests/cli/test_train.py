"""`ivl train`: a recipe becomes a run or a plan, `fields` explains, `from-xtuner` converts. Runs are stand-ins."""

import json
import re
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from ivl.train.recipe import load_recipe, recipe_groups
from train.xtuner_config import XTUNER_CONFIG

DOCS = Path(__file__).parents[2] / "docs/training.md"


@pytest.fixture
def recipe(tmp_path, monkeypatch):
    """A recipe in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = Path("food.yaml")
    path.write_text("path: model\ndata_path: train.json\n")
    Path("model").mkdir()
    return path


@pytest.fixture
def run(monkeypatch):
    """Stands for `launch`: remembers what it was called with, gives .code."""
    called = SimpleNamespace(config=None, nproc=None, code=0)

    def launch(config, nproc):
        called.config, called.nproc = config, nproc
        return called.code

    stand_in(monkeypatch, "launch", launch=launch)
    return called


@pytest.fixture
def plan(monkeypatch):
    """Stands for `make_plan`: shows the recipe's lr and the number of ranks."""

    def make_plan(config, world_size, model):
        plan = {"lr": config.lr, "ranks": world_size}
        return SimpleNamespace(lines=lambda: ["trains: all", f"lr {config.lr:g}"], data=lambda: plan)

    stand_in(monkeypatch, "plan", make_plan=make_plan)


def stand_in(monkeypatch, name, **functions):
    module = ModuleType(f"ivl.train.{name}")
    vars(module).update(functions)
    monkeypatch.setitem(sys.modules, module.__name__, module)


def test_a_recipe_runs(ivl_command, recipe, run):
    shown = ivl_command("train", recipe, "--set", "lr=1e-4", "--set", "data_path=[a, b]", "--nproc", 2)
    assert (shown.code, shown.out, shown.err) == (0, "", "")
    assert (run.config.lr, [each.path for each in run.config.data_path], run.nproc) == (1e-4, ["a", "b"], 2)
    assert (run.config.work_dir, run.config.resume) == ("runs/food", False)


def test_options_before_the_recipe_and_their_effect(ivl_command, recipe, run):
    assert ivl_command("train", "--resume", "--out", "here", recipe).code == 0
    assert (run.config.work_dir, run.config.resume, run.nproc) == ("here", True, 1)


def test_the_runs_exit_code_is_the_commands(ivl_command, recipe, run):
    run.code = 143
    assert ivl_command("train", recipe).code == 143


def test_a_plan_is_shown_and_nothing_runs(ivl_command, recipe, run, plan):
    assert ivl_command("train", recipe, "--set", "path=''", "--dry-run").out == "trains: all\nlr 3e-05\n"
    assert json.loads(ivl_command("train", recipe, "--set", "path=''", "--dry-run", "--json", "--nproc", 3).out) == {
        "lr": 3e-5,
        "ranks": 3,
    }
    assert run.config is None


@pytest.mark.parametrize(
    ("args", "code", "line"),
    [
        ([], 2, "a recipe is needed, such as recipes/food_lora.yaml; `ivl train fields` lists what one may say"),
        (["food.yaml", "--json"], 2, "--json goes with --dry-run"),
        (["food.yaml", "--nproc", "0"], 2, "0 is not in the range"),
        (["food.yaml", "more.yaml"], 2, "more.yaml"),
        (["food.yml"], 1, "food.yml: there is no such recipe: did you mean 'food.yaml'?"),
        (["food.yaml", "--set", "lr"], 1, "--set lr: name=value is needed, such as lr=1e-4"),
        (["food.yaml", "--set", "learning_rate=1"], 1, "there is no field 'learning_rate': here it is called lr"),
        (["food.yaml", "--set", "data_path=[]"], 1, "food.yaml does not say data_path: add it there, or give --set"),
        (["food.yaml", "--set", "path=no/such/model"], 1, "no/such/model"),
        (["fields", "learning_rate"], 1, "here it is called lr"),
        (["fields", "--no-such"], 2, "(see ivl train fields --help)"),
        (["from-xtuner"], 2, "Missing argument 'CONFIG'. (see ivl train from-xtuner --help)"),
        (["from-xtuner", "no.py"], 1, "no.py: there is no such config of XTuner"),
    ],
)
def test_mistakes_are_one_line(ivl_command, recipe, run, args, code, line):
    shown = ivl_command("train", *args)
    assert (shown.code, shown.out) == (code, "")
    assert shown.err.startswith("error: ")
    assert line in shown.err
    assert shown.err.count("\n") == 1
    assert run.config is None


@pytest.mark.parametrize("name", ["fields", "from-xtuner"])
def test_the_other_commands_teach_by_example_too(ivl_command, name):
    shown = ivl_command("train", name, "--help")
    assert shown.code == 0
    assert f"  ivl train {name}" in shown.out.split("Examples:")[1]
    assert f"ivl train {name}" in ivl_command("train", "--help").out


def test_fields_are_explained(ivl_command):
    shown = ivl_command("train", "fields").out
    for _, group in recipe_groups():
        for each in group:
            assert f"  {each.name}  {each.kind}; {'required' if each.default == 'required' else 'default'}" in shown
            assert each.help in " ".join(shown.split())
    assert all(len(line) <= 120 for line in shown.splitlines())


def test_one_field_is_explained(ivl_command):
    shown = ivl_command("train", "fields", "lr")
    assert shown.out == "How it learns.\n  lr  a number; default 3e-05\n      Highest learning rate.\n\n"
    (field,) = json.loads(ivl_command("train", "fields", "lr", "--json").out)
    assert field == {"name": "lr", "help": "Highest learning rate.", "kind": "a number", "default": "3e-05"}


def test_the_documentation_has_the_tables_of_the_fields(ivl_command):
    """When this fails: put the output of `ivl train fields --markdown` between the marks."""
    printed = ivl_command("train", "fields", "--markdown").out
    inside = DOCS.read_text("utf-8").partition("--markdown -->\n")[2].partition("<!-- end -->")[0]
    assert inside.strip() == printed.strip()
    assert set(re.findall(r"^\| `(\w+)`", inside, re.MULTILINE)) == {
        f.name for _, group in recipe_groups() for f in group
    }


def test_the_documentations_recipes_are_there():
    named = set(re.findall(r"recipes/(\w+)\.yaml", DOCS.read_text("utf-8")))
    assert named == {path.stem for path in (DOCS.parents[1] / "recipes").glob("*.yaml")}


@pytest.fixture
def config(tmp_path, monkeypatch):
    """A config of XTuner in the current folder."""
    monkeypatch.chdir(tmp_path)
    path = Path("config.py")
    path.write_text(XTUNER_CONFIG)
    return path


def test_a_config_of_xtuner_becomes_a_recipe(ivl_command, config):
    printed = ivl_command("train", "from-xtuner", config)
    assert printed.code == 0
    assert "save_steps: 64 iterations there are 32 steps here" in printed.err
    written = ivl_command("train", "from-xtuner", config, "-o", "food.yaml")
    assert written.out == ""
    assert "ivl train food.yaml --dry-run" in written.err
    assert Path("food.yaml").read_text() == printed.out
    assert load_recipe("food.yaml").r == 128


def test_no_recipe_is_written_over(ivl_command, config):
    Path("food.yaml").write_text("mine")
    shown = ivl_command("train", "from-xtuner", config, "-o", "food.yaml")
    assert (shown.code, Path("food.yaml").read_text()) == (1, "mine")
    assert "-o food.yaml is there already: give a new name" in shown.err
    assert "cannot be written" in ivl_command("train", "from-xtuner", config, "-o", "no/food.yaml").err
