"""Questions over HTTP: answered in pieces, one visitor apart from the other, stopped, asked again, refused."""

import pytest

from exact_pipeline import assert_baseline
from random_requests import eventually
from ui.conftest import Live, Tab, picture_bytes, sent
from videos import moving_picture

SLOW = ("tiny", 0, 0.8, 3000, "en")


@pytest.fixture
def tab(live: Live, request):
    with live.tab(f"tab-{abs(hash(request.node.name))}") as opened:
        yield opened


def test_an_answer_comes_in_pieces_and_ends_with_counts(tab):
    seen = [
        str(value["turns"][0]["answer"]) if value["turns"] else ""
        for value in tab.values(("tiny", 0, 0.8, 200, "en"), {"do": "ask", "number": 7, "text": "hello"})
    ]
    assert len(set(seen)) > 2
    counts = tab.value["turns"][0]["counts"]
    assert counts["answer"] == 200
    assert counts["finish"] == "length"
    assert counts["prompt"] > 3
    assert tab.value["taken"] == 7
    assert not tab.value["busy"]
    assert tab.value["error"] == ""


def test_the_answer_is_the_pipelines_own(tab, pipe):
    from ivl.types import GenerationConfig

    data = picture_bytes("blue")
    own = pipe(("What is it?", data), gen_config=GenerationConfig(max_new_tokens=12, temperature=0))
    assert tab.ask("What is it?", sent(data), tokens=12)["turns"][0]["answer"] == own.text


def test_a_second_question_knows_the_first(tab):
    tab.ask("one")
    value = tab.ask("two")
    assert [turn["text"] for turn in value["turns"]] == ["one", "two"]
    assert value["turns"][1]["counts"]["prompt"] > value["turns"][0]["counts"]["prompt"] + 8


def test_two_pictures_and_their_places(tab):
    value = tab.ask("first <image> second <image>", sent(picture_bytes("red")), sent(picture_bytes("blue")))
    assert len(value["turns"][0]["pictures"]) == 2
    assert all(uri.startswith("data:image/webp;base64,") for uri in value["turns"][0]["pictures"])
    assert value["turns"][0]["counts"]["tiles"] == 2


def test_a_video_is_read_as_frames(tab, pipe):
    from ivl.types import GenerationConfig, ImagePart, Message, TextPart, VideoPart

    film, picture = moving_picture("GIF"), picture_bytes("blue")
    parts = (VideoPart(source=film), ImagePart(source=picture), TextPart(text="What moves?"))
    own = pipe([Message(role="user", parts=parts)], gen_config=GenerationConfig(max_new_tokens=12, temperature=0))
    value = tab.ask("What moves?", sent(picture), sent(film, "video/gif"), tokens=12)
    (turn,) = value["turns"]
    assert (len(turn["videos"]), len(turn["pictures"]), turn["counts"]["tiles"]) == (1, 1, 9)
    assert turn["answer"] == own.text
    assert tab.ask("and then?", tokens=4)["turns"][1]["counts"]["tiles"] == 9


def test_a_dish_needs_no_upload(tab):
    value = tab.ask("what?", {"dish": [0, 0]})
    assert len(value["turns"][0]["pictures"]) == 1


def test_again_replaces_the_answer_and_what_follows(tab):
    tab.ask("one")
    tab.ask("two")
    for _ in tab.values(("tiny", 0, 0.8, 4, "en"), {"do": "again", "turn": 0}, "view"):
        pass
    assert [turn["text"] for turn in tab.value["turns"]] == ["one"]
    assert tab.value["turns"][0]["counts"]["answer"] == 4


def test_edit_keeps_the_picture(tab):
    tab.ask("one", sent(picture_bytes()))
    for _ in tab.values(("tiny", 0, 0.8, 4, "en"), {"do": "edit", "turn": 0, "text": "other"}, "view"):
        pass
    assert tab.value["turns"][0]["text"] == "other"
    assert len(tab.value["turns"][0]["pictures"]) == 1


def test_clear_forgets(tab):
    tab.ask("one")
    assert tab.join("view", "clear", []).status_code == 200
    list(tab.messages())
    assert tab.ask("two")["turns"][0]["text"] == "two"


def test_stop_ends_the_engines_work_and_keeps_what_was_said(tab, pipe):
    is_stopped = False
    for value in tab.values(SLOW, {"do": "ask", "number": 1, "text": "go on"}):
        if not is_stopped and value["turns"] and value["turns"][0]["answer"]:
            is_stopped = tab.join("composer", "stop", []).is_success
    turn = tab.value["turns"][0]
    assert turn["counts"]["finish"] == "abort"
    assert 0 < turn["counts"]["answer"] < 3000
    assert turn["answer"]
    assert_baseline(pipe)
    assert tab.ask("and now?")["turns"][1]["text"] == "and now?"


def test_a_closed_tab_ends_its_answer(live, pipe):
    with live.tab("closing") as tab:
        with tab.http.stream("GET", "/gradio_api/heartbeat/closing") as heartbeat:
            lines = heartbeat.iter_lines()  # held: a generator that is dropped closes the stream
            assert next(lines) == "data: ALIVE"
            assert (
                tab.join("composer", "submit", [*SLOW], {"do": "ask", "number": 1, "text": "go on"}).status_code == 200
            )
            eventually(lambda: live.models.num_running == 1)
        eventually(lambda: live.models.num_running == 0, 1)
    assert_baseline(pipe)


def test_two_visitors_at_once_see_only_their_own(live):
    with live.tab("ann") as ann, live.tab("bob") as bob:
        streams = [
            tab.values(("tiny", 0, 0.8, 150, "en"), {"do": "ask", "text": f"I am {tab.session}"}) for tab in (ann, bob)
        ]
        while streams:
            streams = [stream for stream in streams if next(stream, None) is not None]
        for tab, other in ((ann, "bob"), (bob, "ann")):
            assert [turn["text"] for turn in tab.value["turns"]] == [f"I am {tab.session}"]
            assert f"I am {other}" not in str(tab.value)


def test_another_visitors_session_is_refused(live):
    with live.tab("mine") as mine, live.tab("mine") as thief:
        mine.ask("my secret")
        # Whoever guesses a session's name has not its cookie.
        assert thief.http.get("/gradio_api/queue/data", params={"session_hash": "mine"}).status_code == 403
        assert thief.http.get("/gradio_api/heartbeat/mine").status_code == 403
        thief.join("view", "submit", ["tiny", 0, 0.8, 4, "en"], {"do": "again", "turn": 0})
        thief.join("view", "clear", [])
        messages = str(list(mine.messages()))
        assert "my secret" not in messages
        assert mine.ask("still there?")["turns"][0]["text"] == "my secret"


def test_one_answer_at_a_time(tab, live):
    is_asked, told = False, ""
    for value in tab.values(SLOW, {"do": "ask", "number": 1, "text": "go on"}):
        if value["turns"] and value["turns"][0]["answer"] and not is_asked:
            is_asked = tab.join("composer", "submit", [*SLOW], {"do": "ask", "number": 2, "text": "me too"}).is_success
        if value["error"] and not told:
            told = value["error"]
            tab.join("composer", "stop", [])
    assert "under way" in told
    assert [turn["text"] for turn in tab.value["turns"]] == ["go on"]
    assert live.models.num_running == 0


HOSTILE = [
    None,
    [],
    "text",
    3,
    {},
    {"do": "format"},
    {"do": "ask"},
    {"do": "ask", "text": 3},
    {"do": "ask", "text": ""},
    {"do": "ask", "text": "x" * 100_001},
    {"do": "ask", "text": "a", "pictures": "b"},
    {"do": "ask", "text": "a", "pictures": [{"data": "file:///etc/passwd"}]},
    {"do": "ask", "text": "a", "pictures": [{"data": "/etc/passwd"}]},
    {"do": "ask", "text": "a", "pictures": [{"data": "http://127.0.0.1:1/x.png"}]},
    {"do": "ask", "text": "a", "pictures": [{"data": "data:image/png;base64,????"}]},
    {"do": "ask", "text": "a", "pictures": [{"data": "data:image/png;base64,AAAA"}]},
    {"do": "ask", "text": "a", "pictures": [{"data": "data:video/mp4;base64,AAAA"}]},
    {"do": "ask", "text": "a", "pictures": [sent(moving_picture("GIF", 1), "video/gif")]},
    {"do": "ask", "text": "a", "pictures": [{"file": "/etc/passwd"}]},
    {"do": "ask", "text": "a", "pictures": [{"dish": [0, 9]}]},
    {"do": "ask", "text": "a", "pictures": [{"dish": [-1, 0]}]},
    {"do": "ask", "text": "a", "pictures": [{"dish": "../../etc/passwd"}]},
    {"do": "ask", "text": "a", "pictures": [{"dish": [0, 0]}] * 17},
    {"do": "again", "turn": 4},
    {"do": "again", "turn": -1},
    {"do": "edit", "turn": True, "text": "a"},
    {"do": "ask", "text": "<image>"},
]


@pytest.mark.parametrize("asked", HOSTILE, ids=range(len(HOSTILE)))
def test_a_hostile_question_is_told_in_one_line_and_changes_nothing(tab, asked):
    for _ in tab.values(("tiny", 0, 0.8, 4, "en"), asked):
        pass
    error = tab.value["error"]
    assert error
    assert "\n" not in error
    assert "Traceback" not in error
    assert "0x" not in error
    assert tab.value["turns"] == []
    assert not tab.value["busy"]


def test_a_path_in_gradios_own_form_is_refused_unread(tab):
    """Gradio looks for files in whatever a browser sends."""
    tab.join("composer", "submit", [*SLOW], {"do": "ask", "text": "a", "pictures": [{"path": "/etc/passwd"}]})
    told = str(list(tab.messages()))
    assert "'success': False" in told
    assert "root:" not in told


SVG = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
HTML = b"<html><script>alert(1)</script></html>"


@pytest.mark.parametrize(("data", "kind"), [(SVG, "image/svg+xml"), (HTML, "text/html"), (SVG, "image/png")])
def test_what_is_no_picture_is_refused(tab, data, kind):
    assert tab.ask("a", sent(data, kind))["error"]


@pytest.mark.parametrize(
    "settings",
    [
        ("nobody", 0, 0.8, 4, "en"),
        (None, 0, 0.8, 4, "en"),
        ("tiny", "hot", 0.8, 4, "en"),
        ("tiny", 0, 0.8, 1e300, "en"),
        ("tiny", 0, 0.8, -1, "en"),
        ("tiny", 1, 7, 4, "en"),
        ("tiny", float("inf"), 0.8, 4, "xx"),
    ],
)
def test_hostile_settings_answer_nothing(tab: Tab, settings, live):
    from json import dumps

    target = tab.component("composer")
    index = next(d["id"] for d in tab.config["dependencies"] if [target, "submit"] in d["targets"])
    body = {
        "data": list(settings),
        "fn_index": index,
        "session_hash": tab.session,
        "trigger_id": target,
        "event_data": {"do": "ask", "text": "a"},
    }
    raw = dumps(body).encode()
    response = tab.http.post("/gradio_api/queue/join", content=raw, headers={"content-type": "application/json"})
    if response.status_code == 200:
        told = str(list(tab.messages()))
        assert "Traceback" not in told
        assert "'answer': '" not in told or "'turns': []" in told
    assert live.models.num_running == 0


def test_a_picture_of_too_many_pixels_is_refused(serve):
    with serve(max_image_pixels=4000) as small, small.tab() as tab:
        assert "pixels" in tab.ask("a", sent(picture_bytes(size=(70, 70))))["error"]


def test_too_many_tiles_are_refused(serve):
    with serve(max_tiles=1) as small, small.tab() as tab:
        value = tab.ask("a", sent(picture_bytes()), sent(picture_bytes("blue")))
        assert "tiles" in value["error"]
        assert value["turns"] == []


def test_a_video_of_too_many_frames_is_refused(serve):
    with serve(max_tiles=8) as small, small.tab() as tab:
        assert not tab.ask("a", sent(moving_picture("GIF"), "video/gif"), tokens=2)["error"]
        assert "tiles" in tab.ask("a", sent(picture_bytes()))["error"]
    with serve(max_video_pixels=1000) as small, small.tab() as tab:
        assert "too long" in tab.ask("a", sent(moving_picture("GIF"), "video/gif"))["error"]


def test_a_full_page_says_so(serve):
    with serve(max_running=1, max_queue=0) as small, small.tab("one") as one, small.tab("two") as two:
        for value in one.values(SLOW, {"do": "ask", "text": "go on"}):
            if value["turns"] and value["turns"][0]["answer"] and not two.value:
                assert "under way" in two.ask("me")["error"]
                one.join("composer", "stop", [])
