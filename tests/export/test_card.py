"""Model cards: what they say is what files say, in two languages, and nothing of the machine that wrote them."""

import json
import re
import shlex
import tomllib
from pathlib import Path

import click
import pytest
import yaml
from huggingface_hub import ModelCard

from card_folders import MIT, model_folder, report_folder, run_folder
from ivl.cli.main import ivl as group
from ivl.data.settings import DataSource
from ivl.errors import CheckpointError, InputError, SettingsError
from ivl.export import card
from ivl.export.card import BEGIN, END, has_own_text, write_card
from ivl.export.card_private import in_markdown
from ivl.train.report import versions
from random_adapter import make_adapter, tensors_of, write_adapter

NAME = "me/InternVL2-2B-food"


def front_of(text: str) -> dict[str, object]:
    table = yaml.safe_load(text.split("---\n")[1])
    assert isinstance(table, dict)
    return table


@pytest.fixture
def whole(tmp_path: Path) -> tuple[Path, Path, Path]:
    """A model, its run and its report."""
    model = model_folder(tmp_path / "model")
    return model, run_folder(tmp_path / "run", path="/srv/InternVL2-2B"), report_folder(tmp_path / "eval", model)


def test_a_card_says_what_the_files_say(whole: tuple[Path, Path, Path]) -> None:
    model, run, report = whole
    text = write_card(model, name=NAME, run=run, report=report).read_text("utf-8")
    results = json.loads((report / "results.json").read_text("utf-8"))
    for each in results["sets"]:
        before, after = (result["score"] for result in each["results"])
        for score in (before, after):
            low, high = 100 * score["low"], 100 * score["high"]
            assert f"{100 * score['mean']:.1f}% ({low:.1f} to {high:.1f})" in text
            assert f"{100 * score['mean']:.1f}% ({low:.1f} 至 {high:.1f})" in text
    for each in results["differences"]:
        assert f"{100 * each['mean']:+.1f}** (" in text
    assert "| steps | 20 |" in text
    assert "| wall time | 0:01:01 |" in text
    assert "| device | 2 × cpu |" in text
    assert "| trained numbers | 1,000 of 12,000 |" in text
    assert "| validation loss, before and after | 2, 1 |" in text
    assert "| `r` | 128 |" in text
    assert "| train.json | training | unknown" in text
    assert "- Base: InternVL2-2B\n" in text  # its id is not known: the shape is another


def test_hubs_can_read_the_front_matter(whole: tuple[Path, Path, Path]) -> None:
    model, run, report = whole
    text = write_card(model, name=NAME, run=run, report=report).read_text("utf-8")
    table, card = front_of(text), ModelCard(text)
    assert table["license"] == "unknown"
    assert table["pipeline_tag"] == "image-text-to-text"
    assert table["tasks"] == ["image-text-to-text"]
    assert "base_model" not in table
    results = card.data.eval_results
    assert results is not None
    assert [(each.dataset_type, each.metric_type) for each in results] == [
        ("foodieqa-sivqa-zh", "accuracy"),
        ("boxes", "f1"),
    ]
    stored = json.loads((report / "results.json").read_text("utf-8"))
    means = [each["results"][1]["score"]["mean"] for each in stored["sets"]]
    assert [each.metric_value for each in results] == pytest.approx(means, abs=1e-6)


def test_both_languages_say_the_same(whole: tuple[Path, Path, Path]) -> None:
    model, run, report = whole
    text = write_card(model, name=NAME, run=run, report=report).read_text("utf-8")
    english, chinese = text.split("## English\n")[1].split("## 中文\n")

    def shape(part: str) -> list[str]:
        return re.findall(r"^(#+|- |!|```\w*|(?:\|(?=.*\|$)))", part, re.MULTILINE)

    assert shape(english) == shape(chinese)
    assert re.findall(r"\d+", english) == re.findall(r"\d+", chinese)
    assert not re.search(r"\{\w+\}", text)  # every place in the words is filled in


def test_what_no_file_tells_is_unknown(tmp_path: Path) -> None:
    text = write_card(model_folder(tmp_path / "model"), name=NAME).read_text("utf-8")
    assert "- Base: unknown" in text
    assert "- Licence: unknown" in text
    assert "Unknown: the training run's files were not given." in text
    assert "None was given: how well it answers is not known." in text
    assert not {"base_model", "datasets", "language", "model-index"} & front_of(text).keys()


@pytest.mark.parametrize("name", ["me/a: b # c", "x/'\"{}[]&*!|>%@`", "我/模型", "a/``` b", "a/<script>|x|", "- a/b"])
def test_a_name_may_hold_anything(tmp_path: Path, name: str, whole: tuple[Path, Path, Path]) -> None:
    text = write_card(whole[0], name=name, report=whole[2]).read_text("utf-8")
    index = front_of(text)["model-index"]
    assert isinstance(index, list)
    assert index[0]["name"] == name
    assert "<script>" not in text.split(BEGIN)[1].split("```")[0]


@pytest.mark.parametrize("name", ["", "a\nb", "x" * 300, "/home/me/model", "me/" + "hf_" + "a1B" * 12])
def test_what_cannot_be_a_name_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(SettingsError, match=r"^name="):
        write_card(model_folder(tmp_path / "model"), name=name)


def test_words_of_a_person_stay(whole: tuple[Path, Path, Path]) -> None:
    model, run, report = whole
    readme = model / "README.md"
    readme.write_text("# Mine\n\nwords\n")
    assert has_own_text(model)
    with pytest.raises(InputError, match="is left as it is") as caught:
        write_card(model, name=NAME, run=run)
    assert "\n" not in str(caught.value)
    said = (Path(__file__).parents[2] / "docs/publishing.md").read_text("utf-8")
    assert f"error: {caught.value}".replace(str(model), "food-2b") in said
    assert readme.read_text() == "# Mine\n\nwords\n"
    assert not (model / "card").exists()
    readme.write_text(f"---\nlicense: mit\n---\nabove\n{BEGIN}\nold\n{END}\nbelow\n")
    write_card(model, name=NAME, run=run, report=report)
    text = readme.read_text("utf-8")
    assert text.startswith(f"---\nlicense: mit\n---\nabove\n{BEGIN}\n")
    assert text.endswith(f"{END}\nbelow\n")
    assert "\nold\n" not in text
    assert "- Licence: mit" in text
    assert not has_own_text(model)


def test_writing_again_changes_nothing_but_what_changed(whole: tuple[Path, Path, Path]) -> None:
    model, run, report = whole
    first = write_card(model, name=NAME, run=run, report=report).read_bytes()
    pictures = {path.name for path in (model / "card").iterdir()}
    assert write_card(model, name=NAME, run=run, report=report).read_bytes() == first
    assert {path.name for path in (model / "card").iterdir()} == pictures
    (model / "card" / "mine.txt").write_text("stays")
    text = write_card(model, name=NAME, run=run).read_text("utf-8")
    assert [path.name for path in (model / "card").iterdir()] == ["mine.txt"]
    assert "model-index" not in front_of(text)
    assert sorted(path.name for path in model.iterdir()) == ["README.md", "card", "config.json"]


def test_a_copy_of_the_bases_card_gives_way(tmp_path: Path) -> None:
    base = model_folder(tmp_path / "InternVL2-2B")
    for folder in (base, model_folder(tmp_path / "model")):
        (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# InternVL2-2B\n")
    run = run_folder(tmp_path / "run", path=str(base))
    text = write_card(tmp_path / "model", name=NAME, run=run).read_text("utf-8")
    assert "# InternVL2-2B\n" not in text
    assert front_of(text)["license"] == "apache-2.0"


def test_the_run_that_a_result_lies_in_is_found(tmp_path: Path) -> None:
    run = run_folder(tmp_path / "run")
    text = write_card(model_folder(run / "model"), name=NAME).read_text("utf-8")
    assert "| steps | 20 |" in text


@pytest.mark.parametrize(
    ("kind", "said", "unsaid"),
    [
        ("own", ["ivl chat", "its connector is of a kind"], ["vllm serve", "lmdeploy"]),
        ("bare", ["ivl chat", "official layout needs code"], ["vllm serve", "lmdeploy", "from transformers"]),
        ("code", ["--trust-remote-code", "vllm serve", "lmdeploy serve api_server"], ["from transformers"]),
        ("transformers", ["AutoModelForImageTextToText", "vllm serve"], ["trust-remote-code"]),
        ("adapter", ["--adapter adapter", "ivl merge"], ["vllm serve", "from peft", "lmdeploy serve"]),
        ("peft", ["--adapter adapter", "from peft"], ["vllm serve", "lmdeploy serve"]),
    ],
)
def test_commands_are_those_of_what_can_read_it(tmp_path: Path, kind: str, said: list[str], unsaid: list[str]) -> None:
    folder = tmp_path / "x"
    if kind in ("adapter", "peft"):
        tensors = tensors_of(make_adapter(parts=("language_model",)))
        if kind == "peft":
            tensors = {name.replace("model.", "model.model.", 1): tensor for name, tensor in tensors.items()}
        write_adapter(folder, tensors, base_model_name_or_path="OpenGVLab/InternVL2-2B")
    else:
        model_folder(folder, kind)
    text = write_card(folder, name=NAME).read_text("utf-8")
    assert [each for each in said if each not in text] == []
    assert [each for each in unsaid if each in text] == []
    for words in re.findall(r"^ivl (.*)$", text, re.MULTILINE):
        name, *rest = shlex.split(words)
        command = group.get_command(click.Context(group), name)
        assert command is not None, words
        command.make_context(name, rest)
    if kind in ("adapter", "peft"):
        table = front_of(text)
        assert (table["base_model"], table["base_model_relation"]) == (["OpenGVLab/InternVL2-2B"], "adapter")


def test_a_folder_of_neither_kind_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="neither a model"):
        write_card(tmp_path, name=NAME)


@pytest.mark.parametrize(
    ("path", "model_id"),
    [
        ("/x/hub/models--OpenGVLab--InternVL2-2B/snapshots/" + "a" * 40, "OpenGVLab/InternVL2-2B"),
        ("/x/.cache/modelscope/hub/models/OpenGVLab/InternVL2-2B", "OpenGVLab/InternVL2-2B"),
        ("/x/InternVL2-2B", "OpenGVLab/InternVL2-2B"),  # the shape is the same
        ("/x/InternVL2-8B", None),
        ("models/InternVL2-2B", None),
        ("/x/mine", None),
        ("", None),
    ],
)
def test_a_base_is_named_by_what_is_known(tmp_path: Path, path: str, model_id: str | None) -> None:
    model, run = (
        model_folder(tmp_path / "model", shape="InternVL2-2B"),
        run_folder(tmp_path / "run", path=path),
    )
    table = front_of(write_card(model, name=NAME, run=run).read_text("utf-8"))
    assert table.get("base_model") == ([model_id] if model_id else None)
    assert table.get("base_model_relation") == ("finetune" if model_id else None)


def test_an_adapters_own_word_opens_no_folder(tmp_path: Path) -> None:
    base = model_folder(tmp_path / "InternVL2-2B")
    (base / "LICENSE").write_text(MIT)
    adapter = write_adapter(tmp_path / "a", tensors_of(make_adapter()), base_model_name_or_path=str(base))
    text = write_card(adapter, name=NAME).read_text("utf-8")
    assert "- Licence: unknown" in text
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    ("name", "content", "expected"),
    [
        ("LICENSE", MIT, {"license": "mit"}),
        ("LICENSE.txt", "  Apache License\n Version 2.0", {"license": "apache-2.0"}),
        ("LICENSE", "My own terms", {"license": "other", "license_name": "LICENSE", "license_link": "LICENSE"}),
        ("BASE_README.md", "---\nlicense: mit\n---\n", {"license": "mit"}),
        ("README.txt", "---\nlicense: mit\n---\n", {"license": "unknown"}),
    ],
)
def test_the_licence_is_what_a_file_says(tmp_path: Path, name: str, content: str, expected: dict[str, str]) -> None:
    model = model_folder(tmp_path / "model")
    (model / name).write_text(content)
    table = front_of(write_card(model, name=NAME).read_text("utf-8"))
    assert {key: value for key, value in table.items() if key.startswith("license")} == expected


def test_terms_of_the_data_are_told(tmp_path: Path) -> None:
    for folder, file, content in (
        ("food", "dataset.json", json.dumps({"name": "ivl foods", "licence": "CC BY 4.0"})),
        ("cards", "README.md", "---\nlanguage: [en]\nlicense: cc-by-sa-4.0\n---\n"),
        ("FoodieQA", "sivqa_tidy.json", "[]"),
    ):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / file).write_text(content)
    sources = tuple(DataSource(path=f"{name}/train.json") for name in ("food", "cards", "FoodieQA", "nowhere"))
    run = run_folder(tmp_path / "run", data_root=str(tmp_path), data_path=sources)
    text = write_card(model_folder(tmp_path / "model"), name=NAME, run=run).read_text("utf-8")
    rows = re.findall(r"^\| train\.json \| training \| (.*) \|$", text, re.MULTILINE)
    assert rows[0] == "ivl foods: CC BY 4.0"
    assert rows[1] == "cc-by-sa-4.0"
    assert rows[2].startswith("FoodieQA: CC BY-NC-ND 4.0")
    assert rows[3].startswith("unknown")
    assert front_of(text)["datasets"] == ["lyan62/FoodieQA"]


def test_which_subject_is_meant_must_be_clear(whole: tuple[Path, Path, Path], tmp_path: Path) -> None:
    model, _, report = whole
    path = report / "results.json"
    results = json.loads(path.read_text("utf-8"))
    third = dict(results["subjects"][1], name="third", folder="/elsewhere")
    results["subjects"].append(third)
    path.write_text(json.dumps(results))
    write_card(model, name=NAME, report=report)  # the one that lies there
    results["subjects"][1]["folder"] = "/gone"
    path.write_text(json.dumps(results))
    with pytest.raises(SettingsError, match="compares 3 models"):
        write_card(model, name=NAME, report=report)
    text = write_card(model, name=NAME, report=report, subject="nano").read_text("utf-8")
    assert "nothing to compare it with" in text
    with pytest.raises(SettingsError, match="subject='nobody'"):
        write_card(model, name=NAME, report=report, subject="nobody")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda table: table.update(schema=7), "schema=7"),
        (lambda table: table.pop("sets"), "is not whole"),
        (lambda table: table["sets"][0].update(metric="guess"), "is not whole"),
        (lambda table: table["sets"][0]["results"][1]["score"].update(mean=None), "is not whole"),
    ],
)
def test_a_damaged_report_is_one_line(whole: tuple[Path, Path, Path], damage: object, message: str) -> None:
    model, _, report = whole
    path = report / "results.json"
    table = json.loads(path.read_text("utf-8"))
    damage(table)  # type: ignore[operator]
    path.write_text(json.dumps(table))
    with pytest.raises(InputError, match=message) as caught:
        write_card(model, name=NAME, report=report)
    assert "\n" not in str(caught.value)
    assert not (model / "README.md").exists()


def test_a_damaged_run_names_the_line(whole: tuple[Path, Path, Path], tmp_path: Path) -> None:
    model, run, _ = whole
    path = run / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines) + lines[3][:9])  # the last line was cut off: passed over
    write_card(model, name=NAME, run=run)
    path.write_bytes(b"".join([*lines[:2], b"{oops\n", *lines[3:]]))
    with pytest.raises(InputError, match=r"metrics\.jsonl:3 is damaged"):
        write_card(model, name=NAME, run=run)
    with pytest.raises(InputError, match="holds no run"):
        write_card(model, name=NAME, run=tmp_path)


def test_a_run_that_was_resumed_or_goes_on_says_so(whole: tuple[Path, Path, Path]) -> None:
    model, run, _ = whole
    path = run / "metrics.jsonl"
    lines = path.read_bytes().splitlines(keepends=True)
    again = json.dumps(json.loads(lines[0]) | {"step": 10}).encode() + b"\n"
    path.write_bytes(b"".join([*lines[:-1], again, *lines[-5:-1]]))
    text = write_card(model, name=NAME, run=run).read_text("utf-8")
    assert "| time in steps (2 starts) | 0:00:10 |" in text  # 20 steps of half a second, none counted twice
    assert "The run did not reach its end" in text


def test_the_versions_that_trained_are_those_of_the_runs_page(whole: tuple[Path, Path, Path]) -> None:
    model, run, _ = whole
    told = ", ".join(f"{name} {version}" for name, version in versions().items() if name != "system")
    (run / "report.html").write_text(f"<tr><td>versions</td><td>{told}, system linux x86_64</td></tr>")
    assert f"| versions | {in_markdown(told)} |" in write_card(model, name=NAME, run=run).read_text("utf-8")


def test_words_are_whole_in_both_languages() -> None:
    package = Path(card.__file__).parent
    rows = tomllib.loads((package / "card_words.toml").read_text("utf-8"))
    code = "".join(path.read_text("utf-8") for path in package.glob("card*.py"))
    for key, row in rows.items():
        assert row.keys() == {"en", "zh"}, key
        places = [sorted(set(re.findall(r"\{\w+\}", row[language]))) for language in ("en", "zh")]
        assert places[0] == places[1], key
        family = key.partition("_")[0]
        assert re.search(rf"[\"']({key}[\"']|{family}_\{{)", code), f"{key} is not used"
