"""Videos through OpenAI's own client, as vLLM and SGLang name them; and files that pretend to be one."""

import base64
import io
import time
from collections.abc import Callable, Iterator
from typing import Any

import openai
import pytest
from openai import OpenAI
from PIL import Image

from exact_pipeline import assert_baseline
from ivl.server.settings import ServerSettings
from ivl.server.video import video_limits
from ivl.session import Pipeline
from ivl.types import GenerationConfig, Message, VideoPart
from server.conftest import Live
from server.test_chat import image_part
from videos import drawn, moving_picture, video

QUESTION = {"type": "text", "text": "What happens?"}
PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nfile:///etc/passwd\n"


def video_part(data: bytes, kind: str = "video/mp4", **options: Any) -> dict[str, Any]:
    url = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    return {"type": "video_url", "video_url": {"url": url, **options}}


def ask(client: OpenAI, *parts: dict[str, Any], **settings: Any) -> Any:
    messages: Any = [{"role": "user", "content": list(parts)}]
    return client.chat.completions.create(model="small", messages=messages, max_tokens=8, **settings)


def expected(pipe: Pipeline, *parts: dict[str, Any]) -> Any:
    return pipe([{"role": "user", "content": list(parts)}], GenerationConfig(max_new_tokens=8))


@pytest.fixture(scope="module")
def client(live: Live) -> Iterator[OpenAI]:
    with live.openai() as made:
        yield made


@pytest.fixture(scope="module")
def clip() -> bytes:
    return video(24)


@pytest.mark.parametrize("kind", ["video/mp4", "image/gif", "image/webp"])
def test_a_video_is_its_frames(client: OpenAI, pipe: Pipeline, clip: bytes, kind: str) -> None:
    data = clip if kind == "video/mp4" else moving_picture(kind.partition("/")[2].upper())
    answer = ask(client, video_part(data, kind, num_frames=2), QUESTION)
    own = expected(pipe, {"type": "video", "video": data, "num_frames": 2}, QUESTION)
    assert answer.choices[0].message.content == own.text
    assert answer.usage.prompt_tokens == own.input_token_len
    tokens_per_frame = pipe.processor.config.tokens_per_tile
    assert 2 * tokens_per_frame < answer.usage.prompt_tokens < 2 * tokens_per_frame + 150
    assert own.text == expected(pipe, *_as_frames(data, 2), QUESTION).text


def _as_frames(data: bytes, count: int) -> list[dict[str, Any]]:
    """What the official examples write for a video: numbered lines, each with a picture of one tile."""
    from ivl.processing.video import load_frames

    marks = "".join(f"Frame{number}: <image>\n" for number in range(1, count + 1))
    pictures = [{"type": "image", "image": frame, "max_tiles": 1} for frame in load_frames(data, count)]
    return [{"type": "text", "text": marks}, *pictures]


def test_a_video_streams(client: OpenAI, clip: bytes) -> None:
    parts = (video_part(clip, num_frames=2), QUESTION)
    chunks = ask(client, *parts, stream=True)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks)
    assert text == ask(client, *parts).choices[0].message.content


def test_frames_are_eight_where_nothing_is_said(client: OpenAI, pipe: Pipeline, clip: bytes) -> None:
    answer = ask(client, video_part(clip), QUESTION)
    assert answer.usage.prompt_tokens > 8 * pipe.processor.config.tokens_per_tile
    as_vllm = ask(client, video_part(clip), QUESTION, extra_body={"media_io_kwargs": {"video": {"num_frames": 2}}})
    assert as_vllm.usage.prompt_tokens == ask(client, video_part(clip, num_frames=2), QUESTION).usage.prompt_tokens


def test_frames_that_a_client_took_itself(client: OpenAI, pipe: Pipeline) -> None:
    frames = []
    for idx in range(3):
        buffer = io.BytesIO()
        Image.fromarray(drawn(idx)).save(buffer, "JPEG")
        frames.append(base64.b64encode(buffer.getvalue()).decode())
    url = "data:video/jpeg;base64," + ",".join(frames)
    answer = ask(client, {"type": "video_url", "video_url": {"url": url}}, QUESTION)
    assert answer.usage.prompt_tokens == expected(pipe, *_as_frames(moving_picture("GIF"), 3), QUESTION).input_token_len


def test_pictures_and_videos_stand_in_their_places(client: OpenAI, pipe: Pipeline, clip: bytes) -> None:
    red = Image.new("RGB", (40, 40), "red")
    text = {"type": "text", "text": "First <video> then <image>: what is red?"}
    answer = ask(client, image_part(red), video_part(clip, num_frames=2), text)
    own = expected(pipe, {"type": "image", "image": red}, {"type": "video", "video": clip, "num_frames": 2}, text)
    assert answer.choices[0].message.content == own.text
    assert answer.usage.prompt_tokens == own.input_token_len


LONG = {"num_frames": 65}
BAD: list[tuple[Any, str]] = [
    (video_part(b"no video at all"), "no readable video"),
    (video_part(PLAYLIST), "no readable video"),
    (video_part(PLAYLIST, "application/vnd.apple.mpegurl"), "data URI of kind"),
    (video_part(video(24)[:900]), "cut off or damaged"),
    (video_part(moving_picture("GIF"), "image/gif", **LONG), "65 frames of one tile each: at most 64"),
    (video_part(moving_picture("GIF", 1), "image/gif"), "single picture"),
    (video_part(b"x", num_frames=0), "num_frames=0"),
    (video_part(b"x", num_frames=10**9), "num_frames=1000000000"),
    (video_part(b"x", fps=1), "fps"),
    ({"type": "video_url", "video_url": {"url": "file:///etc/passwd"}}, "switched off"),
    ({"type": "video_url", "video_url": {"url": "/etc/passwd"}}, "paths are not allowed"),
    ({"type": "video_url", "video_url": {"url": "https://example.org/v.mp4?secret=1"}}, "switched off"),
    ({"type": "video_url", "video_url": {"url": "data:video/jpeg;base64,AAAA,!!!!"}}, "picture in the data URI"),
    ({"type": "video_url", "video_url": {"url": "data:video/jpeg;base64," + "," * 600}}, "more than 512 frames"),
    ({"type": "video"}, '"video_url"'),
]


@pytest.mark.parametrize(("part", "words"), BAD, ids=[words for _, words in BAD])
def test_a_bad_video_is_a_400_in_one_line(live: Live, client: OpenAI, part: Any, words: str) -> None:
    began = time.monotonic()
    with pytest.raises(openai.BadRequestError) as raised:
        ask(client, part, QUESTION)
    message = raised.value.body["message"]  # type: ignore[index]
    assert words in message
    assert "\n" not in message
    assert "secret" not in message
    assert len(message) < 400
    assert time.monotonic() - began < 3
    assert_baseline(live.state.pipe, 2)


def test_a_bomb_is_refused_before_it_is_decoded(serve: Callable[..., Any]) -> None:
    with serve(max_image_pixels=64 * 47, max_tiles=4) as live:
        for part in (video_part(video(12), num_frames=2), video_part(moving_picture("GIF"), "image/gif", num_frames=2)):
            response = live.ask(messages=[{"role": "user", "content": [part, QUESTION]}])
            assert response.status_code == 400
            assert "max_pixels" in response.json()["error"]["message"]
        assert live.line(response)["images"] == 1
        assert live.state.tiles.held == 0


def test_videos_of_a_request_share_what_may_be_decoded() -> None:
    def most(count: int) -> int:
        message = Message(role="user", parts=(VideoPart(source=b"x"),) * count)
        return video_limits([message], ServerSettings()).max_decoded_pixels

    assert most(1) == 2 * most(2) == 16 * most(16)
    assert most(0) == most(1)


def test_frames_count_as_tiles(serve: Callable[..., Any], clip: bytes) -> None:
    wide = image_part(Image.new("RGB", (448, 224)))  # three tiles
    with serve(max_tiles=4) as live:
        response = live.ask(messages=[{"role": "user", "content": [wide, video_part(clip, num_frames=2), QUESTION]}])
        assert "5 tiles: at most 4" in response.json()["error"]["message"]
        response = live.ask(
            messages=[{"role": "user", "content": [video_part(clip, num_frames=4), QUESTION]}], max_tokens=1
        )
        assert response.status_code == 200
        assert live.line(response)["tiles"] == 4
