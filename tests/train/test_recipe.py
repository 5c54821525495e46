"""Recipes: what is read, what is refused and how that is told, and that what is written is read back."""

import dataclasses
import os
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ivl.data.settings import DataSource
from ivl.errors import MissingExtraError, SettingsError
from ivl.train.config import TrainConfig
from ivl.train.field_docs import field_docs, field_groups, kind_of, type_hints
from ivl.train.other_names import ELSEWHERE
from ivl.train.recipe import GROUPS, check_names, dump_recipe, for_run, load_recipe, recipe_groups

RECIPES = sorted((Path(__file__).parents[2] / "recipes").glob("*.yaml"))


@pytest.fixture
def load(tmp_path):
    """Loads a recipe from its text."""

    def from_text(text, *overrides):
        path = tmp_path / "recipe.yaml"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return load_recipe(path, overrides)

    return from_text


def refusal(load, text, *overrides):
    with pytest.raises(SettingsError) as caught:
        load(text, *overrides)
    message = str(caught.value)
    assert "\n" not in message
    assert " at 0x" not in message
    return re.sub(r"^\S*/", "", message)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("lr: 1e-4", "lr", 1e-4),
        ("lr: 1.0e-4", "lr", 1e-4),
        ("max_norm: 1", "max_norm", 1.0),
        ("max_length: 8_192", "max_length", 8192),
        ("packing: yes", "packing", True),
        ("max_steps: null", "max_steps", None),
        ("max_steps: 3", "max_steps", 3),
        ("betas: [0.9, 0.95]", "betas", (0.9, 0.95)),
        ("activation_checkpointing: 4", "activation_checkpointing", 4),
        ("activation_checkpointing: none", "activation_checkpointing", "none"),
        ("report_to: tensorboard", "report_to", ("tensorboard",)),
        ("target_modules: [q_proj, v_proj]", "target_modules", ("q_proj", "v_proj")),
        ("path: '123'", "path", "123"),
        ("\ufeffpath: 菜", "path", "菜"),
        ("data_path: a.json", "data_path", (DataSource(path="a.json"),)),
        ("data_path: [a.json, b]", "data_path", (DataSource(path="a.json"), DataSource(path="b"))),
        (
            "data_path:\n- {path: a, image_folder: p, name: n, data_augment: on,\n"
            "   repeat_time: 0.5, max_dynamic_patch: 6}",
            "data_path",
            (
                DataSource(
                    path="a", image_folder="p", name="n", repeat_time=0.5, max_dynamic_patch=6, data_augment=True
                ),
            ),
        ),
    ],
)
def test_values_are_read(load, text, field, value):
    config = load(text)
    read = getattr(config, field)
    assert read == value
    assert type(read) is type(value)
    assert dataclasses.replace(config, **{field: getattr(TrainConfig(), field)}) == TrainConfig()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("r: 1\nlr: abc", "recipe.yaml:2: lr is 'abc': a number is needed"),
        ("lr: '1e-4'", "recipe.yaml:1: lr is '1e-4': a number is needed, without quotes"),
        ("lr: [1]", "recipe.yaml:1: lr is a list: a number is needed"),
        ("lr: {a: 1}", "recipe.yaml:1: lr is a mapping: a number is needed"),
        ("lr:", "recipe.yaml:1: lr is empty: a number is needed; leave the line out for the default"),
        ("lr: .nan", "a number is needed"),
        ("lr: 1000", "recipe.yaml:1: lr=1000.0 is not allowed"),
        ("seed: 8.0", "a whole number is needed"),
        ("seed: 010", "seed is '010': a whole number is needed"),
        ("seed: 0x10", "seed is '0x10'"),
        ("seed: " + "9" * 5000, "a whole number is needed"),
        ("packing: 1", "packing is '1': true or false is needed"),
        ("max_steps: None", "a whole number or null is needed; None is written null"),
        ("quantization: int8", "quantization is 'int8': nf4 or null is needed"),
        ("path: 12", "path is '12': text is needed; write it in quotes: '12'"),
        ("path: no", "write it in quotes: 'no'"),
        ("betas: [0.9]", "betas has 1 items: a list of 2"),
        ("betas: [0.9, x]", "betas is 'x': a number is needed"),
        ("betas: 0.9", "a list of 2"),
        ("target_modules: [q_proj, 1]", "target_modules is '1': text is needed"),
        ("data_path:", "data_path is empty"),
        ("data_path:\n- a\n- path: b\n  repeat_time: -1", "recipe.yaml:4: repeat_time=-1.0 is not allowed"),
        ("data_path:\n- path: b\n  max_dynamic_patch: 0", "recipe.yaml:3: max_dynamic_patch=0"),
        (
            "data_path:\n- path: b\n  repeats: 2",
            "recipe.yaml:3: there is no field 'repeats': did you mean 'repeat_time'",
        ),
        ("data_path:\n- name: b", "recipe.yaml:2: an item of data_path has no path"),
        ("data_path: ['']", "path of a data set is empty"),
        ("data_path: [{path: a, path: b}]", "path is given twice"),
        ("r: 1\n\nr: 2", "recipe.yaml:3: r is given twice, first in line 1: keep one"),
        ("language_model: frozen", "recipe.yaml:1: language_model, vision_model and connector are all frozen"),
        ("lr: 1\nvision_layers: 2", "recipe.yaml:2: vision_layers is given but vision_model is frozen"),
        ("report_to: [foo]", "recipe.yaml:1: report_to='foo' is not allowed"),
        ("lrr: 1", "recipe.yaml:1: there is no field 'lrr': did you mean 'lr'?"),
        ("zzz: 1", "`ivl train fields` lists"),
        ("LR: 1", "here it is called lr"),
        ("batch-size: 1", "here it is called batch_size"),
        ("max_tiles: 3", "recipe.yaml:1: there is no field 'max_tiles': here it is called max_dynamic_patch"),
        ("freeze_llm: true", "here it is called language_model (as frozen, lora or full)"),
        ("- a", "a list stands where `field: value` is needed"),
        ("abc", "'abc' stands where"),
        ("", "is empty"),
        ("# nothing", "is empty"),
        ("? [a]\n: 1", "there is no field 'a list'"),
    ],
)
def test_mistakes_are_named_with_line_and_field(load, text, message):
    assert message in refusal(load, text)


@pytest.mark.parametrize("name", ["learning_rate", "num_train_epochs", "per_device_train_batch_size", "output_dir"])
@pytest.mark.parametrize("spelling", [str.lower, str.upper])
def test_names_of_other_tools_are_translated(load, name, spelling):
    assert f"here it is called {ELSEWHERE[name]}" in refusal(load, f"{spelling(name)}: 1")


def test_every_translation_leads_to_a_field():
    ours = {f.name for cls in (TrainConfig, DataSource) for f in dataclasses.fields(cls)}
    assert {known.partition(" ")[0] for known in ELSEWHERE.values()} <= ours
    assert not ours & ELSEWHERE.keys()
    assert {"lora_r", "lora_rank", "gradient_accumulation_steps", "max_tiles"} <= ELSEWHERE.keys()


def bomb() -> str:
    lines = ["a: &a [x, x, x, x, x, x, x, x, x]"]
    lines += [f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]" for a, b in zip("abcdefgh", "bcdefghi", strict=True)]
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("r: 1\npath: !!python/object/apply:os.system ['touch {}']", "recipe.yaml:2: the tag '!!python/object/apply"),
        ("!!python/object/new:type [x]", "recipe.yaml:1: the tag"),
        ("!!python/name:os.system r: 1", "the tag"),
        ("path: !own x", "the tag '!own' is refused"),
        ("path: !!binary aGk=", "the tag '!!binary' is refused"),
        (bomb(), "recipe.yaml:1: anchors and aliases are refused"),
        ("r: *x", "anchors and aliases are refused"),
        ("path: &x a", "anchors and aliases are refused"),
        ("[" * 100_000, "nested deeper"),
        ("path: " + "{a: " * 3000, "nested deeper"),
        ("path: [" + "a," * 6000, "more than 5,000 values"),
        ("#" * (2**20 + 1), "more than 1,048,576 bytes"),
        (b"r: 1\npath: \xff\xfe", "recipe.yaml:2: this is not UTF-8"),
        ("lr:\t1", "recipe.yaml:1: not valid YAML"),
        ("r: 1\n\tlr: 1", "indent with spaces"),
        ("path: a: b", "recipe.yaml:1: not valid YAML: mapping values are not allowed here; write text"),
        ("path: @x", "quotes"),
        ("r: 1\n---\nr: 2", "a recipe is one document"),
        ("path: 'x", "not valid YAML"),
        ("path: a\x00b", "not valid YAML"),
    ],
    ids=lambda value: str(value)[:30].replace("\n", " "),
)
def test_tricks_are_refused(load, tmp_path, text, message):
    canary = tmp_path / "ran"
    text = text.replace("{}", str(canary)) if isinstance(text, str) else text
    assert message in refusal(load, text)
    assert not canary.exists()


def test_files_that_are_no_recipe(tmp_path):
    (tmp_path / "lora.yaml").write_text("r: 8")
    os.mkfifo(tmp_path / "pipe.yaml")
    for name, message in (
        ("lroa.yaml", "did you mean 'lora.yaml'?"),
        ("", "it holds lora.yaml"),
        ("pipe.yaml", "regular"),
    ):
        with pytest.raises(SettingsError, match=re.escape(message)):
            load_recipe(tmp_path / name)


def test_overrides_win_and_the_last_one_most(load):
    config = load("lr: 1\nr: 8", "lr=1e-4", "data_path=[a.json,{path: b, repeat_time: 2}]", "r=16", "r=32")
    assert (config.lr, config.r) == (1e-4, 32)
    assert config.data_path == (DataSource(path="a.json"), DataSource(path="b", repeat_time=2))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("lr", "--set lr: name=value is needed"),
        ("lr=", "--set lr=: there is no value"),
        ("lr=x", "--set lr=x: lr is 'x': a number is needed"),
        ("learning_rate=1", "--set learning_rate=1: there is no field 'learning_rate': here it is called lr"),
        ("timeout=0", "--set timeout=0: timeout=0.0 is not allowed"),
        ("path=a: b", "--set path=a: b: path is a mapping"),
        ("path=!!python/name:os.system x", "--set path=!!python/name:os.system x: the tag"),
        ("path=[", "--set path=[: not valid YAML"),
        ("path='$(touch x); `y`'", None),
    ],
)
def test_overrides_are_named_as_they_were_given(load, override, message):
    if message is None:  # a shell's signs are text like any other
        assert load("r: 8", override).path == "$(touch x); `y`"
        return
    assert refusal(load, "r: 8", override).startswith(message)


def test_an_override_replaces_a_value_that_would_be_refused(load):
    assert load("lr: 1000", "lr=1e-4").lr == 1e-4


def test_without_pyyaml_the_message_says_what_to_install(load, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "yaml", None)
    with pytest.raises(MissingExtraError, match=re.escape("pip install 'ivl[train]'")):
        load("r: 8")


TEXTS = st.text(st.characters(codec="utf-8"), min_size=1, max_size=12) | st.sampled_from(
    ["no", "1e-4", "null", "~", "a: b", "- x", "#x", "'", '"', "x\ny", " x ", "{a}", "*a", "!x", "\x85", "\ufeff"]
)


@settings(max_examples=60)
@given(
    path=TEXTS,
    folder=st.none() | TEXTS,
    lr=st.floats(1e-12, 10),
    alpha=st.floats(1e-6, 1e6),
    steps=st.none() | st.integers(1, 10**9),
    layers=st.sampled_from(["auto", "all", "none"]) | st.integers(0, 100),
    sources=st.lists(
        st.builds(DataSource, path=TEXTS, repeat_time=st.floats(1e-6, 1e4), name=st.none() | TEXTS), max_size=3
    ),
    targets=st.none() | st.lists(TEXTS, max_size=3).map(tuple),
    comments=st.booleans(),
)
def test_what_is_written_is_read_back(
    tmp_path_factory, path, folder, lr, alpha, steps, layers, sources, targets, comments
):
    config = TrainConfig(
        path=path,
        image_folder=folder,
        lr=lr,
        lora_alpha=alpha,
        max_steps=steps,
        activation_checkpointing=layers,
        data_path=tuple(sources),
        target_modules=targets,
    )
    file = tmp_path_factory.getbasetemp() / "again.yaml"
    file.write_text(dump_recipe(config, comments), "utf-8")
    assert load_recipe(file) == config


def test_a_written_recipe_explains_every_field():
    text = dump_recipe(TrainConfig(path="x"))
    for field in dataclasses.fields(TrainConfig):
        above = text.partition(f"\n{field.name}:")[0].rpartition("\n\n")[2]
        assert above.splitlines()[-1].startswith("# "), field.name
    assert "None" not in text
    assert "#" not in dump_recipe(TrainConfig(path="x"), comments=False)
    assert "# Highest learning rate.\nlr: 3.0e-05\n" in text


def test_only_some_fields_are_written(load):
    config = TrainConfig(path="x", r=4)
    text = dump_recipe(config, comments=False, names=["path", "r"])
    assert text == "path: x\nr: 4\n"
    assert load(text) == config


def test_groups_are_all_the_fields():
    assert {*GROUPS} == {*TrainConfig.__bases__}
    names = [each.name for _, group in recipe_groups() for each in group]
    assert names == [f.name for cls in (*GROUPS, DataSource) for f in dataclasses.fields(cls)]
    assert all(title for title, _ in recipe_groups())


def test_every_field_has_help_and_a_kind():
    for cls in (TrainConfig, DataSource):
        docs = field_docs(cls)
        assert [*docs] == [f.name for f in dataclasses.fields(cls)]
        assert all(docs.values())
        assert all(kind_of(hint) for hint in type_hints(cls).values())
    docs = {each.name: each for _, group in field_groups(TrainConfig) for each in group}
    assert docs["lr"].help == "Highest learning rate."
    assert (docs["max_steps"].kind, docs["max_steps"].default) == ("a whole number or null", "null")


def test_names_can_be_asked_for():
    assert check_names(["lr", "repeat_time"]) == {"lr", "repeat_time"}
    with pytest.raises(SettingsError, match="called lr"):
        check_names(["learning_rate"])


def test_a_run_needs_a_model_data_and_a_folder():
    config = TrainConfig(path="m", data_path=(DataSource(path="d"),))
    assert for_run(config, "recipes/food.yaml").work_dir == "runs/food"
    assert for_run(dataclasses.replace(config, work_dir="w"), "food.yaml").work_dir == "w"
    ready = for_run(dataclasses.replace(config, work_dir="w"), "food.yaml", out=Path("o"), resume=True)
    assert (ready.work_dir, ready.resume) == ("o", True)
    for name in ("data_path",):
        without = dataclasses.replace(config, **{name: type(getattr(config, name))()})
        with pytest.raises(SettingsError, match=f"food.yaml does not say {name}: add it there, or give --set {name}"):
            for_run(without, "food.yaml")


def test_there_are_at_most_six_recipes():
    assert 1 <= len(RECIPES) <= 6


@pytest.mark.parametrize("path", RECIPES, ids=lambda path: path.stem)
def test_recipes_are_ready_to_run(path):
    config = for_run(load_recipe(path), path)
    assert load_recipe(path) == dataclasses.replace(config, work_dir=None)
    assert path.read_text().startswith("# ")


def test_the_tutorials_recipe_has_the_tutorials_numbers():
    config = load_recipe(next(path for path in RECIPES if path.stem == "food_lora"))
    assert (config.r, config.lora_alpha, config.lora_dropout) == (128, 256, 0.05)
    assert (config.lr, config.weight_decay, config.warmup_ratio, config.lr_schedule) == (3e-5, 0.05, 0.03, "cosine")
    assert (config.batch_size, config.accumulative_counts, config.max_epochs, config.max_length) == (4, 2, 10, 8192)
    assert (config.language_model, config.vision_model, config.connector) == ("lora", "frozen", "full")
    assert config.save_steps == 64
