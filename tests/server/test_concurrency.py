"""Many clients at once, some of whom leave or send nonsense: everyone else gets what he gets alone."""

import random
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from exact_pipeline import assert_baseline
from ivl.session import Pipeline
from ivl.types import GenerationConfig, ImagePart
from ivl.zoo import sample_pictures
from random_requests import eventually
from server.test_chat import data_uri
from server.test_errors import BOMB

CLIENTS, TURNS = 8, 3
# One tile a picture.
LOW = {"detail": "low"}
QUESTIONS = ("What is this?", "这是什么？")


def test_nothing_is_lost_or_mixed(serve: Callable[..., Any], pipe: Pipeline) -> None:
    pictures = sample_pictures()[:3]
    own = GenerationConfig(max_new_tokens=6)
    alone = {
        (which, question): pipe((question, ImagePart(source=str(picture), max_tiles=1)), own).text
        for which, picture in enumerate(pictures)
        for question in QUESTIONS
    }
    assert len(set(alone.values())) > 3
    uris = [data_uri(picture) for picture in pictures]

    def visit(number: int) -> int:
        chance, right = random.Random(number), 0
        with live.openai() as client:
            for _ in range(TURNS):
                which, question = chance.randrange(3), chance.choice(QUESTIONS)
                mood = chance.choice(("stays", "stays", "leaves", "hostile"))
                url = BOMB if mood == "hostile" else uris[which]
                parts: list[Any] = [
                    {"type": "image_url", "image_url": {"url": url, **LOW}},
                    {"type": "text", "text": question},
                ]
                body: dict[str, Any] = {"messages": [{"role": "user", "content": parts}], "max_tokens": 6}
                if mood == "hostile":
                    assert live.ask(**body).status_code == 400
                    continue
                stream = client.chat.completions.create(model="small", stream=True, **body)
                if mood == "leaves":
                    next(stream)
                    stream.close()
                    continue
                text = "".join(chunk.choices[0].delta.content or "" for chunk in stream)
                assert text == alone[which, question]
                right += 1
        return right

    with serve() as live, ThreadPoolExecutor(CLIENTS) as pool:
        assert sum(pool.map(visit, range(CLIENTS))) >= CLIENTS
        assert_baseline(pipe)
        # The last client has its answer a moment before the server has put everything away.
        eventually(lambda: not live.state.running)
        assert live.state.gate.num_answers == live.state.bodies.held == live.state.tiles.held == 0
        assert all(line["status"] in (200, 400) for line in live.lines(CLIENTS * TURNS))
