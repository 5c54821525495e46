"""Answers as text: the stream is the whole in pieces at every split, stops are never shown, n answers keep apart."""

import gc
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest
import torch

import ivl
import ivl.errors
from engine_driver import one_thread
from exact_pipeline import assert_baseline, exact_pipeline, picture
from ivl.engine import TokenOutput
from ivl.processing import load_processor
from ivl.processing.tokenizer import Tokenizer
from ivl.session import Pipeline
from ivl.session.answer import AnswerStream, AnswerText, gather, join, sampling_params
from ivl.types import GenerationConfig, Response
from parity import tiny

GREEDY = GenerationConfig(max_new_tokens=24, ignore_eos=True)
SAMPLED = GenerationConfig(max_new_tokens=24, ignore_eos=True, temperature=1.2, top_p=0.95, random_seed=11)
TEXTS = ("one two  END\n three", "红烧肉，好吃。👨‍👩‍👧 ok", "é́ ñ 🍜🍲 n̈", "���A")


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    with one_thread():
        yield


@pytest.fixture(scope="module")
def pipe(tiny_folder: Callable[[str], Path]) -> Iterator[Pipeline]:
    with exact_pipeline(tiny_folder("tiny-internlm2")) as pipe:
        yield pipe


@pytest.fixture(params=tiny.NAMES, scope="module")
def tokenizer(request: pytest.FixtureRequest, tiny_folder: Callable[[str], Path]) -> Tokenizer:
    return load_processor(tiny_folder(request.param)).tokenizer


def push_all(tokenizer: Tokenizer, ids: list[int], stop_words: tuple[str, ...] = ()) -> list[Response]:
    """The pieces that these tokens make; the last token ends the answer at its full length."""
    text = AnswerText(tokenizer, replace(GREEDY, stop_words=stop_words), 5, 0)
    pieces: list[Response] = []
    for index, token_id in enumerate(ids):
        finish = "length" if index == len(ids) - 1 else None
        pieces.append(text.push(TokenOutput(token_id=token_id, finish_reason=finish)))
        if pieces[-1].finish_reason:
            break
    return pieces


def splits(tokenizer: Tokenizer, text: str) -> list[list[int]]:
    """The text as tokens, cut in two at every place, and as single bytes where the vocabulary has them."""
    own = {tokenizer.token_bytes(each): each for each in range(tokenizer.vocab_size) if not tokenizer.added_token(each)}
    ways = [tokenizer.encode(text)]
    ways += [tokenizer.encode(text[:cut]) + tokenizer.encode(text[cut:]) for cut in range(1, len(text))]
    if all(bytes([byte]) in own for byte in text.encode()):
        ways.append([own[bytes([byte])] for byte in text.encode()])
    return ways


@pytest.mark.parametrize("text", TEXTS)
def test_the_pieces_are_the_whole_however_the_text_is_cut(tokenizer: Tokenizer, text: str) -> None:
    for ids in splits(tokenizer, text):
        pieces = push_all(tokenizer, ids)
        assert join(pieces).text == tokenizer.decode(ids)
        assert join(pieces).token_ids == tuple(ids)
        if "\ufffd" not in text:
            assert not any("\ufffd" in piece.text for piece in pieces), "half a character was shown"


@pytest.mark.parametrize("text", TEXTS)
def test_every_stop_word_at_every_split(tokenizer: Tokenizer, text: str) -> None:
    for ids in splits(tokenizer, text):
        whole = tokenizer.decode(ids)
        words = {whole[start : start + length] for start in range(len(whole)) for length in (1, 2, 3, 5)}
        for word in words:
            pieces = push_all(tokenizer, ids, (word,))
            answer = join(pieces)
            assert answer.text == whole[: whole.index(word)]
            assert answer.finish_reason == "stop"
            assert not any(piece.finish_reason for piece in pieces[:-1])
        assert join(push_all(tokenizer, ids, ("not in it", whole + "x"))).text == whole


def test_cut_off_in_a_character_it_shows_that_something_is_missing(pipe: Pipeline) -> None:
    tokenizer = pipe.processor.tokenizer
    ids = splits(tokenizer, "a🍜")[-1][:-1]
    assert len(ids) == 4
    assert join(push_all(tokenizer, ids)).text == "a\ufffd"


@pytest.mark.parametrize("gen_config", [GREEDY, SAMPLED], ids=["greedy", "sampled"])
def test_stream_and_answer_agree_at_every_stop_word(pipe: Pipeline, gen_config: GenerationConfig) -> None:
    whole = pipe("Tell me of noodles.", gen_config).text
    assert len(whole) > 20
    for start in range(0, len(whole) - 4, 2):
        word = whole[start : start + 3]
        stopping = replace(gen_config, stop_words=(word,))
        pieces = list(pipe.stream("Tell me of noodles.", stopping))
        answer = pipe("Tell me of noodles.", stopping)
        assert "".join(piece.text for piece in pieces) == answer.text == whole[: whole.index(word)]
        assert pieces[-1].finish_reason == answer.finish_reason == "stop"
    assert_baseline(pipe, 1)


def test_n_answers_are_those_of_n_seeds(pipe: Pipeline) -> None:
    prompt = ("What is in this image?", picture(1))
    answers = pipe(prompt, replace(SAMPLED, n=4))
    assert [answer.index for answer in answers] == [0, 1, 2, 3]
    assert len({answer.token_ids for answer in answers}) == 4
    for index, answer in enumerate(answers):
        single = pipe(prompt, replace(SAMPLED, random_seed=11 + index))
        assert answer == replace(single, index=index)
    assert len({answer.token_ids for answer in pipe(prompt, replace(GREEDY, n=3))}) == 1
    seed = 2**63 - 2  # the last seed's neighbours are seeds too
    assert len({answer.token_ids for answer in pipe(prompt, replace(SAMPLED, n=4, random_seed=seed))}) == 4


def test_n_answers_read_the_prompt_once(tiny_folder: Callable[[str], Path]) -> None:
    folder = tiny_folder("tiny-internlm2")
    with exact_pipeline(folder, max_prefill_token_num=4096) as pipe, ThreadPoolExecutor(1) as pool:
        go_on = threading.Event()
        held = pool.submit(pipe.engine.call, lambda core: go_on.wait(30))
        stream = pipe.stream(("What is in this image? " * 4, picture(2, (112, 56))), replace(SAMPLED, n=4))
        go_on.set()  # all four meet in one step
        answers = gather(stream, 4)
        assert held.result(5)
        length, size = answers[0].input_token_len, pipe.engine_config.block_size
        assert pipe.stats.cached_tokens == 3 * ((length - 1) // size * size) > 0
        assert pipe.stats.encoded_tiles == 3  # two and the thumbnail
        assert_baseline(pipe, 1)


@pytest.mark.parametrize("num_read", [0, 1, 7])
def test_closing_a_stream_of_n_answers_frees_all(pipe: Pipeline, num_read: int) -> None:
    stream = pipe.stream(("What?", picture(3)), replace(SAMPLED, n=5, max_new_tokens=200))
    assert pipe.engine.call(lambda core: core.stats.running + core.stats.waiting) == 5
    for _ in range(num_read):
        next(stream)
    stream.close()
    assert pipe.engine.call(lambda core: core.has_work) is False
    assert list(stream) == []
    dropped = pipe.stream("What?", replace(SAMPLED, n=5, max_new_tokens=200))
    del dropped
    gc.collect()
    assert pipe.engine.call(lambda core: core.has_work) is False
    assert_baseline(pipe, 1)


class ClosedMeanwhile:
    """A stream of tokens during whose reading another thread closes the answer."""

    def __init__(self) -> None:
        self.answer: AnswerStream | None = None

    def __next__(self) -> TokenOutput:
        assert self.answer is not None
        self.answer.close()
        return TokenOutput(token_id=5)

    def close(self) -> None:
        pass


@pytest.mark.parametrize("n", [1, 3])
def test_an_answer_that_another_thread_closes_just_ends(pipe: Pipeline, n: int) -> None:
    streams = [ClosedMeanwhile() for _ in range(n)]
    answer = AnswerStream([(each, AnswerText(pipe.processor.tokenizer, GREEDY, 5, 0)) for each in streams])  # type: ignore[misc]
    for each in streams:
        each.answer = answer
    assert len(list(answer)) <= 1


def test_a_list_that_fails_aborts_the_rest_at_once(pipe: Pipeline) -> None:
    prompts = ["", *["Tell me of noodles."] * 20]
    with pytest.raises(ivl.errors.ContextLengthError) as told:
        pipe(["word " * 1000, *prompts], replace(GREEDY, max_new_tokens=250))
    # The error is still held, and with it the frames of the call.
    assert told.value.__traceback__ is not None
    assert pipe.engine.call(lambda core: core.has_work) is False


def test_answers_that_end_at_a_stop_word_leave_the_others_running(pipe: Pipeline) -> None:
    answers = pipe("Tell me.", replace(SAMPLED, n=6))
    word = answers[2].text[4:8]
    stopped = pipe("Tell me.", replace(SAMPLED, n=6, stop_words=(word,)))
    for answer, before in zip(stopped, answers, strict=True):
        assert answer.text == before.text.split(word)[0]
        assert answer.finish_reason == ("stop" if word in before.text else "length")


def test_logprobs_are_the_models_own(pipe: Pipeline) -> None:
    response = pipe("Hello", replace(GREEDY, logprobs=3))
    inputs = pipe.processor([{"role": "user", "content": "Hello"}])
    ids = torch.cat((inputs.input_ids, torch.tensor(response.token_ids[:-1])))
    model = pipe.engine.call(lambda core: core.runner.model)
    with torch.inference_mode():
        logits = model(ids).logits[len(inputs.input_ids) - 1 :]
    reference, top = logits.log_softmax(-1), logits.log_softmax(-1).topk(3)
    assert response.logprobs is not None
    for row, entry in enumerate(response.logprobs):
        assert entry.logprob == pytest.approx(reference[row, entry.token_id].item(), abs=1e-6)
        assert [token_id for token_id, _ in entry.top] == top.indices[row].tolist()
        assert [value for _, value in entry.top] == pytest.approx(top.values[row].tolist(), abs=1e-6)
    streamed = [piece.logprobs for piece in pipe.stream("Hello", replace(GREEDY, logprobs=3))]
    assert [piece[0] for piece in streamed if piece] == list(response.logprobs)
    assert pipe("Hello", GREEDY).logprobs is None


def test_bad_words_and_tokens_do_not_come(pipe: Pipeline) -> None:
    tokenizer = pipe.processor.tokenizer
    config = replace(SAMPLED, max_new_tokens=60)
    for _ in range(6):  # each time what came is forbidden too
        answer = pipe("Hello", config)
        assert not set(config.bad_token_ids or ()) & set(answer.token_ids)
        config = replace(config, bad_token_ids=(*(config.bad_token_ids or ()), *answer.token_ids[:5]))
    whole = pipe("Hello", GREEDY)
    words = [word for word in whole.text.split() if word.isascii() and word.isalpha()]
    assert words
    barred = pipe("Hello", replace(GREEDY, bad_words=tuple(words)))
    assert barred.token_ids != whole.token_ids
    for spelled in (tuple(tokenizer.encode(form)) for word in words for form in (word, " " + word)):
        places = range(len(barred.token_ids) - len(spelled) + 1)
        assert not any(barred.token_ids[place : place + len(spelled)] == spelled for place in places)


def test_stop_tokens_end_the_answer_but_not_before_its_least_length(pipe: Pipeline) -> None:
    whole = pipe("Hello", GREEDY)
    stop = whole.token_ids[9]
    first = whole.token_ids.index(stop)
    stopped = pipe("Hello", replace(GREEDY, stop_token_ids=(stop,)))
    assert stopped.token_ids == whole.token_ids[: first + 1]
    assert stopped.finish_reason == "stop"
    assert stopped.text == pipe.processor.tokenizer.decode(whole.token_ids[:first])
    longer = pipe("Hello", replace(GREEDY, stop_token_ids=(stop,), min_new_tokens=first + 5))
    assert longer.generate_token_len >= first + 5
    assert stop not in longer.token_ids[: first + 5]
    assert longer.token_ids[:first] == whole.token_ids[:first]


def test_pieces_of_answers_that_take_turns_are_told_apart() -> None:
    pieces = [Response(text=text, index=index) for index, text in ((0, "a"), (1, "x"), (0, "b"), (1, "y"), (0, "c"))]
    assert [answer.text for answer in gather(iter(pieces), 2)] == ["abc", "xy"]


def test_settings_left_open_are_off(pipe: Pipeline) -> None:
    plain = sampling_params(ivl.GenerationConfig(), pipe.processor)
    assert (plain.temperature, plain.top_k, plain.top_p, plain.min_p) == (0.0, 0, 1.0, 0.0)
    assert plain.stop_token_ids == pipe.processor.serving_stop_token_ids
    assert sampling_params(GREEDY, pipe.processor).stop_token_ids == frozenset()
    assert sampling_params(ivl.GenerationConfig(temperature=0, top_k=5), pipe.processor).temperature == 0.0
    assert sampling_params(ivl.GenerationConfig(top_k=5), pipe.processor).temperature == 1.0
