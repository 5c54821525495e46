"""A record's format is told by its keys."""

import pytest

from ivl.data.formats import read_record
from ivl.data.pictures import PictureFolder
from ivl.errors import DataError
from ivl.processing.placement import arrange


@pytest.fixture
def read(tmp_path):
    """Reads a record; gives each message's pieces, pictures by their files' names."""
    for name in ("1.jpg", "2.jpg"):
        (tmp_path / name).write_bytes(b"x")
    folder = PictureFolder(tmp_path)

    def one(record):
        return [
            [each if isinstance(each, str) else each.source.rpartition("/")[2] for each in arrange(message, position)]
            for position, message in enumerate(read_record(record, folder))
        ]

    return one


TURNS = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "Tofu"}]
CHAT = [{"role": "user", "content": "What?"}, {"role": "assistant", "content": "Tofu"}]


@pytest.mark.parametrize(
    "record",
    [
        {"id": 1, "image": "1.jpg", "conversations": TURNS, "source": "ours", "height": 3},
        {"images": ["1.jpg"], "conversations": CHAT},
        {"images": ["1.jpg"], "messages": CHAT},
        {"images": ["1.jpg"], "messages": TURNS},
        {"image": "1.jpg", "question": "What?", "answer": "Tofu"},
        {"file_name": "1.jpg", "prompt": "What?", "text": "Tofu"},
        {"image": ["1.jpg"], "question": "<image>\nWhat?", "caption": "Tofu", "system": ""},
    ],
)
def test_every_format_says_the_same(read, record):
    assert read(record) == [["1.jpg", "\nWhat?"], ["Tofu"]]


@pytest.mark.parametrize(
    ("record", "messages"),
    [
        ({"image": "1.jpg; 2.jpg", "question": "A?", "answer": "B"}, [["1.jpg", "\n", "2.jpg", "\nA?"], ["B"]]),
        ({"image": "1.jpg;2.jpg", "question": "<image>,<image>", "answer": "B"}, [["1.jpg", ",", "2.jpg"], ["B"]]),
        ({"image": "", "question": "A?", "answer": "B"}, [["A?"], ["B"]]),
        ({"question": "A?", "answer": "B", "system": "C"}, [["C"], ["A?"], ["B"]]),
        ({"file_name": "1.jpg", "text": "Tofu"}, [["1.jpg", "\nDescribe this picture."], ["Tofu"]]),
        ({"file_name": "1.jpg", "text": "豆腐"}, [["1.jpg", "\n请描述这张图片。"], ["豆腐"]]),
    ],
)
def test_pairs_of_question_and_answer(read, record, messages):
    assert read(record) == messages


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"question": "a", "chosen": "b", "rejected": "c", "image": "1.jpg"}, "is a preference pair"),
        ({"messages": CHAT, "rejected_response": "c"}, "is a preference pair"),
        ({"question": "a", "choices": ["b"], "answer": "0", "food_meta": {}}, "run `ivl data foodieqa FOLDER -o OUT`"),
        (
            {"instruction": "a", "output": "b"},
            "known formats; its keys: 'instruction', 'output'; allowed: .*'messages'",
        ),
        ({}, "its keys: none"),
        ({"image": "1.jpg", "question": "", "answer": "B"}, "turn 1 is an empty question"),
        ({"image": "1.jpg", "question": "A", "answer": ""}, "turn 2 is an empty answer"),
        ({"image": "1.jpg", "question": "A", "answer": None}, "answer is None: a text"),
        ({"image": "1.jpg;2.jpg", "question": "<image>", "answer": "B"}, "1 <image> and the record has 2 images"),
        ({"image": 7, "question": "A", "answer": "B"}, "7 is no path of a picture"),
        ({"image": "", "text": "B"}, "neither a question nor a picture"),
    ],
)
def test_what_cannot_be_trained_on_is_refused(read, record, reason):
    with pytest.raises(DataError, match=reason):
        read(record)
