from pathlib import Path

import pytest

from evals.fake_pipeline import FakePipeline, adapter_folder, right, subject_folder
from ivl.errors import AdapterError, HubError, SettingsError
from ivl.evals.item import Subject
from ivl.evals.settings import EvalSettings
from ivl.evals.subjects import check_names, make_subjects, open_in_turn, parse_subject


def names(subjects):
    return [subject.name for subject in subjects]


def test_the_model_in_the_package_is_the_default():
    (subject,) = make_subjects([])
    assert subject == make_subjects(["zoo"])[0]
    assert subject.name == "zoo"
    assert (Path(subject.folder) / "config.json").is_file()
    assert parse_subject("small=zoo") == Subject(name="small", folder=subject.folder)


def test_each_model_is_followed_by_its_adapters(tmp_path):
    models = [subject_folder(tmp_path, "one"), f"zwei={subject_folder(tmp_path, 'two')}"]
    adapters = [f"food@zwei={adapter_folder(tmp_path, 'a')}", f"signs@one={adapter_folder(tmp_path, 'b')}"]
    subjects = make_subjects(models, adapters)
    assert names(subjects) == ["one", "signs", "zwei", "food"]
    assert [Path(each.folder).name for each in subjects] == ["one", "one", "two", "two"]
    assert [each.adapter and Path(each.adapter).name for each in subjects] == [None, "b", None, "a"]


def test_names_come_from_folders(tmp_path):
    folder = subject_folder(tmp_path, "my model (v2)")
    adapter = adapter_folder(tmp_path, "lora=64")
    assert names(make_subjects([folder + "/"], [adapter])) == ["my-model-v2", "lora-64"]


@pytest.mark.parametrize(
    ("adapters", "error", "message"),
    [
        (["food={a}", "food={b}"], SettingsError, "two subjects are named 'food': .* other="),
        (["ONE={a}"], SettingsError, "two subjects are named"),
        (["food@two={a}"], SettingsError, "no model is named 'two'; .*one"),
        (["food={root}"], AdapterError, "is no adapter's folder: .* did you mean .*/b"),
        (["food={root}/none"], AdapterError, "is no adapter's folder: .* give the folder that"),
        (["food="], SettingsError, "write name=folder"),
        (["={a}"], SettingsError, "write name=folder"),
        (["..={a}"], SettingsError, "is not allowed: letters, digits"),
    ],
)
def test_mistakes_are_named(tmp_path, adapters, error, message):
    folders = {"root": tmp_path, "a": adapter_folder(tmp_path, "a"), "b": adapter_folder(tmp_path, "b")}
    with pytest.raises(error, match=message):
        make_subjects([subject_folder(tmp_path, "one")], [text.format(**folders) for text in adapters])


def test_an_adapter_among_several_models_says_which(tmp_path):
    models = [subject_folder(tmp_path, "one"), subject_folder(tmp_path, "two")]
    with pytest.raises(SettingsError, match=r"Say food@one=.*; models: one, two"):
        make_subjects(models, [f"food={adapter_folder(tmp_path, 'a')}"])


def test_a_model_that_is_nowhere_is_told(tmp_path):
    with pytest.raises(HubError, match="no such folder"):
        make_subjects([str(tmp_path / "none")])


@pytest.mark.parametrize("name", ["../up", "", "a/b", ".hidden", "a\nb", "x" * 81])
def test_names_are_fit_for_files(name):
    with pytest.raises(SettingsError, match="is not allowed"):
        check_names([Subject(name=name, folder="f")])
    with pytest.raises(SettingsError, match="no model is given"):
        check_names([])


class Opener:
    def __init__(self, *refused: str) -> None:
        self.refused, self.opened = frozenset(refused), []

    def __call__(self, folder: str, adapter: str | None, settings: EvalSettings) -> FakePipeline:
        assert not any(pipe.is_open for _, _, pipe in self.opened), "two models are open at once"
        self.opened.append((folder, adapter, FakePipeline(right, self.refused)))
        return self.opened[-1][2]

    def turns(self, subjects: list[Subject]) -> list[list[tuple[str, str | None]]]:
        opened = open_in_turn(subjects, EvalSettings(), self)
        turns = [[(subject.name, adapter) for subject, adapter in each.subjects] for each in opened]
        assert not any(pipe.is_open for _, _, pipe in self.opened), "a model is left open"
        return turns


BASE = Subject(name="base", folder="m")
FOOD = Subject(name="food", folder="m", adapter="f")
SIGNS = Subject(name="signs", folder="m", adapter="s")
OTHER = Subject(name="other", folder="n")


def test_adapters_share_their_base():
    opener = Opener()
    assert opener.turns([BASE, OTHER, FOOD, SIGNS]) == [
        [("base", None), ("food", "food"), ("signs", "signs")],
        [("other", None)],
    ]
    assert [(folder, adapter) for folder, adapter, _ in opener.opened] == [("m", None), ("n", None)]


def test_a_single_adapter_needs_no_base_beside_it():
    opener = Opener()
    assert opener.turns([FOOD]) == [[("food", None)]]
    assert [(folder, adapter) for folder, adapter, _ in opener.opened] == [("m", "f")]


def test_an_adapter_that_must_be_merged_has_a_pipeline_of_its_own():
    opener = Opener("food")
    assert opener.turns([BASE, FOOD, SIGNS]) == [[("food", None)], [("base", None), ("signs", "signs")]]
    assert [adapter for _, adapter, _ in opener.opened] == [None, "f", None]


def test_a_pipeline_is_closed_when_its_users_fail():
    opener = Opener()
    turns = open_in_turn([BASE, FOOD], EvalSettings(), opener)
    next(turns)
    turns.close()
    assert not opener.opened[0][2].is_open


@pytest.mark.parametrize(
    ("field", "values"),
    [
        ("limit", (0, 1.5)),
        ("batch", (True, 0)),
        ("max_tiles", (0, 1000)),
        ("seed", (-1, None)),
        ("scoring", ("letter",)),
        ("dtype", ("int3",)),
        ("session_len", (0,)),
        ("device", (3,)),
    ],
)
def test_settings_are_checked(field, values):
    for value in values:
        with pytest.raises(SettingsError, match=f"{field}=.* is not allowed"):
            EvalSettings(**{field: value})
