"""From turns to messages: marks and pictures fit, and what would be trained wrongly is an error."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ivl.data.conversations import Turn, build, read_official
from ivl.data.pictures import PictureFolder
from ivl.errors import DataError
from ivl.processing.messages import to_messages
from ivl.processing.placement import arrange
from ivl.types import ImagePart, TextPart, VideoPart


@pytest.fixture
def folder(tmp_path):
    for name in ("1.jpg", "2.jpg", "3.jpg", "film.mp4"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / "frames").mkdir()
    return PictureFolder(tmp_path)


@pytest.fixture
def read(folder):
    """Reads a record whose turns are written as "human: text"."""

    def one(*turns, **record):
        pairs = [turn.partition(": ") for turn in turns]
        conversations = [{"from": role, "value": text} for role, _, text in pairs]
        return read_official({"conversations": conversations, **record}, folder)

    return one


def shown(messages):
    """Messages as the processor arranges them, pictures by their files' names."""
    return [
        (message.role, [each if isinstance(each, str) else each.source.rpartition("/")[2] for each in pieces])
        for position, message in enumerate(to_messages(list(messages)))
        for pieces in [arrange(message, position)]
    ]


def test_text_only(read):
    assert shown(read("human: Hi", "gpt: Hello", "human: 1+1?", "gpt: 2")) == [
        ("user", ["Hi"]),
        ("assistant", ["Hello"]),
        ("user", ["1+1?"]),
        ("assistant", ["2"]),
    ]


def test_one_image_without_a_mark_comes_before_the_first_question(read):
    turns = ("system: Be brief.", "human: What?", "gpt: Tofu", "human: And?", "gpt: Rice")
    expected = ("user", ["1.jpg", "\nWhat?"])
    for image in ("1.jpg", ["1.jpg"]):
        messages = shown(read(*turns, image=image, width=3, height=4, width_list=[3]))
        assert messages[0] == ("system", ["Be brief."])
        assert messages[1] == expected
        assert messages[3] == ("user", ["And?"])


def test_an_opening_answer_is_kept_for_the_template_to_drop(read):
    messages = shown(read("gpt: Hello", "human: What?", "gpt: Tofu", image="1.jpg"))
    assert messages[:2] == [("assistant", ["Hello"]), ("user", ["1.jpg", "\nWhat?"])]


def test_a_mark_keeps_its_place(read):
    messages = shown(read("human: Hi", "gpt: Hello", "human: What\n<image>", "gpt: Tofu", image="1.jpg"))
    assert messages[2] == ("user", ["What\n", "1.jpg"])
    assert shown(read("human: <IMAGE_TOKEN>?", "gpt: Tofu", image="1.jpg"))[0] == ("user", ["1.jpg", "?"])


def test_several_images_go_to_their_marks_in_order(read):
    messages = shown(
        read("human: A <image> B <image>", "gpt: ok", "human: <image>C", "gpt: ok", image=["2.jpg", "1.jpg", "3.jpg"])
    )
    assert messages[0] == ("user", ["A ", "2.jpg", " B ", "1.jpg"])
    assert messages[2] == ("user", ["3.jpg", "C"])


@pytest.mark.parametrize(
    ("question", "image", "counts"),
    [
        ("What?", ["1.jpg", "2.jpg"], "0 <image> and the record has 2 images"),
        ("<image> What?", ["1.jpg", "2.jpg"], "1 <image> and the record has 2 images"),
        ("<image><image>", "1.jpg", "2 <image> and the record has 1 image:"),
        ("<image>", None, "1 <image> and the record has 0 images"),
        ("<image>", [], "1 <image> and the record has 0 images"),
        ("<image>", "", "1 <image> and the record has 0 images"),
    ],
)
def test_a_wrong_count_is_named(read, question, image, counts):
    with pytest.raises(DataError, match=rf"the questions have {counts}.* write <image> once for each"):
        read(f"human: {question}", "gpt: ok", image=image)


def test_marks_in_answers_and_system_messages_are_text(read):
    messages = shown(read("system: <image>", "human: What?", "gpt: <image> <video>", image="1.jpg"))
    assert [pieces for _, pieces in messages] == [["<image>"], ["1.jpg", "\nWhat?"], ["<image> <video>"]]


def test_a_video(read):
    (question, _) = read("human: What?", "gpt: Soup", video="film.mp4")
    assert question.parts[0] == VideoPart(source=question.parts[0].source)
    assert question.parts[1].text == "<video>\nWhat?"
    (question, _) = read("human: What?<video>\n", "gpt: Soup", video=["frames"])
    assert question.parts[1].text == "What?<video>\n"
    (question, _) = read("human: the tag <video>", "gpt: Soup")
    assert question.parts == (TextPart(text="the tag <video>"),)


def test_a_clip_bounds_the_video(read):
    (question, _) = read("human: What?", "gpt: Soup", video="film.mp4", clip=[1, 2.5])
    assert (question.parts[0].start_s, question.parts[0].end_s) == (1.0, 2.5)


@pytest.mark.parametrize(
    "record",
    [
        {"video": "film.mp4", "clip": [3, 1]},
        {"video": "film.mp4", "clip": [-1, 1]},
        {"video": "film.mp4", "clip": [0, float("inf")]},
        {"video": "film.mp4", "clip": ["0", 1]},
        {"video": "film.mp4", "clip": 3},
        {"video": "frames", "clip": [0, 1]},
        {"clip": [0, 1]},
    ],
)
def test_a_wrong_clip_is_refused(read, record):
    with pytest.raises(DataError, match=r"clip="):
        read("human: What?", "gpt: Soup", **record)


@pytest.mark.parametrize(
    ("turns", "reason"),
    [
        (["human: a"], "the last turn is no answer"),
        (["gpt: a"], "there is an answer and no question"),
        (["human: a", "gpt: b", "human: c"], "the last turn is no answer"),
        (["human: a", "human: b", "gpt: c"], "turns 1 and 2 are both of the user"),
        (["human: a", "gpt: b", "gpt: c"], "turns 2 and 3 are both of the assistant"),
        (["human: a", "system: b", "gpt: c"], "turn 2 is a system message"),
        (["human: a", "gpt: "], "turn 2 is an empty answer"),
        (["human: a", "gpt:  \n "], "turn 2 is an empty answer"),
        (["human:  ", "gpt: a"], "turn 1 is an empty question"),
        (["tool: a", "gpt: a"], "turn 1 is of 'tool': human"),
    ],
)
def test_turns_that_do_not_fit_are_refused(read, turns, reason):
    with pytest.raises(DataError, match=reason):
        read(*turns)


@pytest.mark.parametrize(
    ("conversations", "reason"),
    [
        (None, "conversations is None: a list"),
        ([], "conversations is"),
        ("text", "conversations is 'text'"),
        ([1], "turn 1 is 1"),
        ([{"from": "human", "value": 3}], "turn 1 holds 3: a text is needed"),
        ([{"from": 1, "value": "a"}], "turn 1 is of 1"),
        ([{"value": "a"}], "turn 1 is of None"),
    ],
)
def test_what_is_no_conversation_is_refused(folder, conversations, reason):
    with pytest.raises(DataError, match=reason):
        read_official({"conversations": conversations}, folder)


@pytest.mark.parametrize(
    "text",
    [
        "<ref>egg</ref><box>[[0, 10, 500, 1000]]</box>",
        "<box>[[1,2,3,4], [5, 6, 7, 8]]</box> and <box>[[1,2,3,4]]</box>",
    ],
)
def test_boxes_in_thousandths_are_read(read, text):
    assert read("human: Where?", f"gpt: {text}")[1].parts[0].text == text


@pytest.mark.parametrize(
    "box",
    [
        *("[[0.1, 0.2, 0.3, 0.4]]", "[[0, 0, 1200, 3]]", "[[1, 2, 3, -4]]", "[[1, 2, 3, 99999999999999]]"),
        *("[[1, 2, 3]]", "[[1, 2, 3, 4, 5]]", "[1, 2, 3, 4]", "[[1, 2, 3, 4]", "[[1, 2, 3, 4], 5]", "[[]]", "", "a"),
    ],
)
def test_boxes_in_another_unit_are_refused(read, box):
    for turns in (["human: Where?", f"gpt: <box>{box}</box>"], [f"human: <box>{box}</box>?", "gpt: egg"]):
        with pytest.raises(DataError, match=r"no list of boxes: .* thousandths of the picture's width and height"):
            read(*turns)


def test_a_box_without_an_end_is_refused(read):
    with pytest.raises(DataError, match=r"a <box> has no </box>"):
        read("human: Where?", "gpt: <box>[[1, 2, 3, 4]]")


def test_image_and_images_together_are_refused(read):
    with pytest.raises(DataError, match=r"both image and images"):
        read("human: <image>", "gpt: a", image="1.jpg", images=["2.jpg"])


PIECES = st.lists(st.sampled_from(["<image>", "<video>", "\n", "a", " <box"]), min_size=1, max_size=5).map("".join)


@given(texts=st.lists(PIECES, min_size=1, max_size=3), num_images=st.integers(0, 4), num_videos=st.integers(0, 2))
def test_what_is_built_is_what_the_processor_takes(texts, num_images, num_videos):
    """Either it is refused here, or every picture has its place, in order, and no mark is left over."""
    turns = [turn for text in texts for turn in (Turn(role="user", text=text), Turn(role="assistant", text="x"))]
    images = [ImagePart(source=f"image {number}") for number in range(num_images)]
    videos = [VideoPart(source=f"video {number}") for number in range(num_videos)]
    try:
        messages = build(turns, images, videos)
    except DataError:
        return
    pieces = [piece for position, message in enumerate(messages) for piece in arrange(message, position)]
    assert [piece for piece in pieces if isinstance(piece, ImagePart)] == images
    assert [piece for piece in pieces if isinstance(piece, VideoPart)] == videos
    assert not any("<image>" in piece for piece in pieces if isinstance(piece, str))
