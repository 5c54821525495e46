"""Data sets opened: formats told by content, places named, meta files expanded, nothing left behind in workers."""

import json
import multiprocessing
import pickle

import pytest

from data_sets import llava_records, write_llava, write_pictures
from ivl.data.settings import DataSettings, DataSource
from ivl.data.sources import open_source, open_sources
from ivl.errors import DataError
from ivl.types import ImagePart


def images(example):
    return [part.source for message in example.messages for part in message.parts if isinstance(part, ImagePart)]


@pytest.fixture
def opens(tmp_path):
    """Opens a path of tmp_path."""

    def source(path, **fields):
        return open_source(DataSource(path=path, **fields), DataSettings(data_root=str(tmp_path)))

    return source


@pytest.fixture
def pictures(tmp_path):
    return write_pictures(tmp_path, 3)


def as_text(layout, records):
    pairs = [(each["image"], each["conversations"][0]["value"], each["conversations"][1]["value"]) for each in records]
    chats = [
        {
            "messages": [{"role": "user", "content": question}, {"role": "assistant", "content": answer}],
            "images": [image],
        }
        for image, question, answer in pairs
    ]
    rows = [(image, question.replace("\n", " "), answer) for image, question, answer in pairs]
    return {
        "jsonl": lambda: "\n".join(map(json.dumps, records)),
        "json": lambda: json.dumps(records, indent=2),
        "chat": lambda: "\n".join(map(json.dumps, chats)),
        "csv": lambda: "image,question,answer\n" + "\n".join(map(",".join, rows)),
        "tsv": lambda: "image\tquestion\tanswer\n" + "\n".join(map("\t".join, rows)),
    }[layout]()


@pytest.mark.parametrize("layout", ["jsonl", "json", "chat", "csv", "tsv"])
@pytest.mark.parametrize("name", ["data.jsonl", "data.json", "data.csv", "data"])
def test_the_format_is_told_by_the_content(tmp_path, opens, pictures, layout, name):
    (tmp_path / name).write_text(as_text(layout, llava_records(pictures)))
    source = opens(name)
    assert len(source) == 3
    for index, (path, colour) in enumerate(pictures):
        example = source[index]
        assert images(example) == [str(tmp_path / path)]
        assert example.messages[-1].parts[0].text == colour
        assert example.where == source.where(index)
        assert example.where.startswith(f"{name}:")


def test_a_recipes_fields_reach_the_examples(tmp_path, opens):
    write_llava(tmp_path, 2)
    source = opens("train.json", max_dynamic_patch=3, data_augment=True, name="colours")
    example = source[1]
    assert (example.max_tiles, example.data_augment, example.id) == (3, True, "colour-1")
    assert (source.name, example.where) == ("colours", "colours:1, record 2")


def test_the_image_folder(tmp_path, pictures):
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "a.json").write_text(json.dumps(llava_records(pictures)))
    here = DataSettings(data_root=str(tmp_path))
    with pytest.raises(DataError, match=r"a.json:1, record 1: picture 'images/000.png' does not exist in .*sets"):
        open_source(DataSource(path="sets/a.json"), here)[0]
    there = DataSettings(data_root=str(tmp_path), image_folder=".")
    assert images(open_source(DataSource(path="sets/a.json"), there)[0]) == [str(tmp_path / "images/000.png")]
    named = DataSource(path="sets/a.json", image_folder=str(tmp_path))
    assert images(open_source(named, here)[0]) == [str(tmp_path / "images/000.png")]
    with pytest.raises(DataError, match=r"a.json: image_folder .*none' does not exist"):
        open_source(DataSource(path="sets/a.json", image_folder="none"), here)


def test_a_path_out_of_the_folder_is_refused_with_its_line(tmp_path, opens, pictures):
    records = llava_records(pictures)
    records[1]["image"] = "../../etc/passwd"
    records[2]["image"] = "model.pkl"
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, records)))
    source = opens("a.jsonl")
    assert images(source[0])
    with pytest.raises(DataError, match=r"^a.jsonl:2: picture '../../etc/passwd' lies outside of the image folder"):
        source[1]
    with pytest.raises(DataError, match=r"^a.jsonl:3: .* a file named .pkl is no picture"):
        source[2]


def test_a_folder_with_a_table(tmp_path, opens, pictures):
    (tmp_path / "notes.json").write_text("{}")
    (tmp_path / "metadata.csv").write_text(as_text("csv", llava_records(pictures)))
    source = opens(".")
    assert (len(source), source.name) == (3, "metadata.csv")
    (tmp_path / "metadata.csv").rename(tmp_path / "metadata.jsonl")
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "images/000.png", "text": "red"}')
    assert opens(".")[0].messages[0].parts[-1].text.endswith("Describe this picture.")


def test_a_folder_that_says_too_little(tmp_path, opens):
    (tmp_path / "a").mkdir()
    with pytest.raises(DataError, match=r"has no data file: name one file, or put a metadata.csv"):
        opens("a")
    for name in ("1.json", "2.json"):
        (tmp_path / "a" / name).write_text("[]")
    with pytest.raises(DataError, match=r"has 1.json, 2.json: name one file"):
        opens("a")
    (tmp_path / "a" / "sivqa_tidy.json").write_text("[]")
    with pytest.raises(DataError, match=r"run `ivl data foodieqa .*` and train on OUT/train.json"):
        opens("a")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ('{"instruction": "a", "output": "b"}', "a.json:1: the record has none of the known formats; its keys: 'instr"),
        ('[{"question": "a", "choices": [], "answer": "0", "food_meta": {}}]', "run `ivl data foodieqa"),
        ('{"question": "a", "chosen": "b", "rejected": "c"}', "a.json:1: the record is a preference pair"),
        ("[]", "has no records"),
        ("\n\n", "a.json"),
        ("price,name\n3,tofu", "a.json:1: neither JSON nor a table"),
    ],
)
def test_unknown_formats_are_refused_when_opened(tmp_path, opens, content, reason):
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=reason):
        opens("a.json")


def test_one_odd_record_does_not_close_the_file(tmp_path, opens, pictures):
    records = llava_records(pictures)
    records[0] = {"instruction": "a"}
    (tmp_path / "a.json").write_text(json.dumps(records))
    source = opens("a.json")
    assert images(source[1])
    with pytest.raises(DataError, match=r"^a.json:1, record 1: the record has none of the known formats"):
        source[0]


def test_bad_lines_at_the_beginning_are_bad_records_only(tmp_path, opens, pictures):
    lines = ["<<<<<<< HEAD", "{broken", *map(json.dumps, llava_records(pictures))]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    source = opens("a.jsonl")
    assert images(source[2])
    for index in (0, 1):
        with pytest.raises(DataError, match=rf"^a.jsonl:{index + 1}: no valid JSON"):
            source[index]


def test_a_missing_file_comes_with_advice(tmp_path, opens):
    write_llava(tmp_path, 1)
    with pytest.raises(DataError, match=r"trian.json' does not exist: did you mean 'train.json'\?"):
        opens("trian.json")
    with pytest.raises(DataError, match=r"nor does its folder .* data_root"):
        opens("no/where/train.json")


def test_a_meta_file_stands_for_its_sets(tmp_path):
    write_llava(tmp_path / "a", 2)
    write_llava(tmp_path / "b", 3)
    meta = {
        "first": {"root": "a", "annotation": "a/train.json", "data_augment": True, "repeat_time": 0.5, "length": 9},
        "second": {"root": "b", "annotation": "b/train.json", "repeat_time": 2, "max_dynamic_patch": 4},
    }
    (tmp_path / "meta.json").write_text(json.dumps(meta, indent=1))
    settings = DataSettings(data_root=str(tmp_path))
    first, second = open_sources((DataSource(path="meta.json", repeat_time=3, max_dynamic_patch=7),), settings)
    assert (first.source.name, first.source.repeat_time, first.source.max_dynamic_patch) == ("first", 1.5, 7)
    assert (second.source.name, second.source.repeat_time, second.source.max_dynamic_patch) == ("second", 6, 4)
    assert first.examples[1].data_augment
    assert not second.examples[1].data_augment
    assert images(second.examples[2]) == [str(tmp_path / "b/images/002.png")]
    assert second.examples.where(2) == "second:1, record 3"
    with pytest.raises(DataError, match=r"names 2 data sets"):
        open_source(DataSource(path="meta.json"), settings)
    # Beside the meta file, where data_root has none of the name.
    (tmp_path / "root").mkdir()
    moved = DataSettings(data_root=str(tmp_path / "root"))
    assert len(open_sources((DataSource(path=str(tmp_path / "meta.json")),), moved)) == 2


@pytest.mark.parametrize(
    ("entry", "reason"),
    [
        ({"annotation": 3, "root": ""}, "meta.json: data set 'x' has annotation=3"),
        ({"annotation": "a.json"}, "has root=None"),
        ({"annotation": "a.json", "root": "", "repeat_time": "2"}, "has repeat_time='2'"),
        ({"annotation": "a.json", "root": "", "repeat_time": -1}, "has repeat_time=-1"),
        ({"annotation": "a.json", "root": "", "max_dynamic_patch": 0}, "has max_dynamic_patch=0"),
        ({"annotation": "a.json", "root": "", "data_augment": "yes"}, "has data_augment='yes'"),
        ({"annotation": "meta.json", "root": "."}, "is a meta file inside of another"),
    ],
)
def test_a_meta_files_mistakes_are_named(tmp_path, opens, entry, reason):
    (tmp_path / "meta.json").write_text(json.dumps({"x": entry}))
    with pytest.raises(DataError, match=reason):
        opens("meta.json")


def test_files_of_one_name_are_told_apart(tmp_path):
    for name in ("a", "b"):
        write_llava(tmp_path / name, 1)
    sources = tuple(DataSource(path=f"{name}/train.json") for name in ("a", "b"))
    opened = open_sources(sources, DataSettings(data_root=str(tmp_path)))
    assert [each.examples.name for each in opened] == ["a/train.json", "b/train.json"]
    assert opened[1].examples[0].where == "b/train.json:1"


def test_it_can_be_sent_to_a_worker(tmp_path, opens):
    write_llava(tmp_path, 4)
    source = opens("train.json")
    source[0]
    assert pickle.loads(pickle.dumps(source))[3] == source[3]
    with multiprocessing.get_context("fork").Pool(2) as pool:
        found = pool.map(source.where, range(4)), pool.map(source.__getitem__, [3, 1, 2, 0] * 20)
    assert found[0] == [source.where(index) for index in range(4)]
    assert found[1] == [source[index] for index in [3, 1, 2, 0] * 20]


def test_its_identity_changes_with_the_file(tmp_path, opens):
    write_llava(tmp_path, 2)
    before = opens("train.json")
    assert opens("train.json").identity == before.identity
    assert opens("train.json", max_dynamic_patch=2).identity != before.identity
    write_llava(tmp_path, 3)
    assert opens("train.json").identity != before.identity


def test_a_wrong_index_is_the_callers_mistake(tmp_path, opens):
    write_llava(tmp_path, 2)
    for index in (-1, 2):
        with pytest.raises(IndexError):
            opens("train.json")[index]
