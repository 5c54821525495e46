"""OpenAI's and ms-swift's records."""

import pytest

from ivl.data.chat_records import read_chat
from ivl.data.pictures import PictureFolder
from ivl.errors import DataError
from ivl.processing.placement import arrange

PIXEL = "data:image/png;base64,AAAA"


@pytest.fixture
def read(tmp_path):
    """Reads a record; gives each message's role and pieces, pictures by their files' names."""
    for name in ("1.jpg", "2.jpg", "film.mp4"):
        (tmp_path / name).write_bytes(b"x")
    folder = PictureFolder(tmp_path)

    def one(*messages, **record):
        read = read_chat(
            {"messages": [{"role": role, "content": content} for role, content in messages], **record}, folder
        )
        return [
            (message.role, [each if isinstance(each, str) else each.source.rpartition("/")[2] for each in pieces])
            for position, message in enumerate(read)
            for pieces in [arrange(message, position)]
        ]

    return one


def text(words):
    return {"type": "text", "text": words}


def image(url, **fields):
    return {"type": "image_url", "image_url": {"url": url, **fields}}


def test_openai_parts_keep_their_places(read):
    content = [text("First "), image("1.jpg"), text("then "), {"type": "image_url", "image_url": PIXEL}, text("?")]
    assert read(("system", "Be brief."), ("user", content), ("assistant", [text("Tofu"), text(".")])) == [
        ("system", ["Be brief."]),
        ("user", ["First ", "1.jpg", "\nthen ", "png;base64,AAAA", "\n?"]),
        ("assistant", ["Tofu."]),
    ]


def test_typed_marks_place_the_parts(read):
    content = [image("1.jpg"), image("2.jpg"), text("<image> or <image>?")]
    assert read(("user", content), ("assistant", "A"))[0] == ("user", ["1.jpg", " or ", "2.jpg", "?"])


def test_swift_images_go_to_their_marks(read):
    messages = (("user", "<image>What?"), ("assistant", "A"), ("user", "And <image>"), ("assistant", "B"))
    for images in (["1.jpg", "2.jpg"], [{"path": "1.jpg", "bytes": None}, {"path": "2.jpg"}]):
        shown = read(*messages, images=images)
        assert [pieces for _, pieces in shown] == [["1.jpg", "What?"], ["A"], ["And ", "2.jpg"], ["B"]]


def test_a_video_part(read):
    content = [{"type": "video", "video": "film.mp4"}, text("What?")]
    assert read(("user", content), ("assistant", "A"))[0] == ("user", ["film.mp4", "What?"])
    assert read(("user", "<video>What?"), ("assistant", "A"), videos=["film.mp4"])[0][1] == ["film.mp4", "What?"]


def test_low_detail_is_one_tile(tmp_path):
    (tmp_path / "1.jpg").write_bytes(b"x")
    messages = [{"role": "user", "content": [image("1.jpg", detail="low")]}, {"role": "assistant", "content": "A"}]
    assert read_chat({"messages": messages}, PictureFolder(tmp_path))[0].parts[0].max_tiles == 1


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ([image("https://a.example/x.jpg")], "is an address, and nothing is fetched .* download it"),
        ([image("../x.jpg")], "outside of the image folder"),
        ([image("1.jpg", detail="high res")], "detail='high res'"),
        ([image("1.jpg"), text("<image><image>")], "2 <image> and the record has 1 image"),
        ([{"type": "input_audio"}], "turn 1 has a part of type 'input_audio'"),
        (["text"], "turn 1 has a part of type None"),
        ([{"type": "image_url"}], "None is no path of a picture"),
        ([text(3)], "turn 1 holds 3"),
        (None, "turn 1 holds None"),
        ([], "turn 1 is an empty question"),
    ],
)
def test_parts_that_cannot_be_used_are_refused(read, content, reason):
    with pytest.raises(DataError, match=reason):
        read(("user", content), ("assistant", "A"))


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"tools": [{"type": "function"}]}, "the record has 'tools'"),
        ({"audios": ["a.wav"]}, "the record has 'audios'"),
        ({"objects": {"bbox": [[1, 2]]}}, "the record has 'objects'"),
        ({"messages": "text"}, "messages is 'text'"),
        ({"messages": [1]}, "turn 1 is 1"),
        ({"messages": [{"role": "user", "content": "a", "tool_calls": [1]}]}, "turn 1 has 'tool_calls'"),
        ({"messages": [{"role": "tool", "content": "a"}]}, "turn 1 is of 'tool'"),
        ({"messages": [{"role": "assistant", "content": "a", "weight": 0}]}, "not to be trained by its weight"),
        ({"images": ["1.jpg"]}, "both within its turns and beside them"),
    ],
)
def test_what_would_be_trained_otherwise_is_refused(tmp_path, change, reason):
    (tmp_path / "1.jpg").write_bytes(b"x")
    turns = [{"role": "user", "content": [image("1.jpg")]}, {"role": "assistant", "content": "A"}]
    record = {"messages": turns, "tools": [], "name": "unused", **change}
    with pytest.raises(DataError, match=reason):
        read_chat(record, PictureFolder(tmp_path))


def test_a_picture_in_an_answer_is_refused(read):
    with pytest.raises(DataError, match=r"turn 2 of the assistant holds a picture"):
        read(("user", "a"), ("assistant", [image("1.jpg")]))
