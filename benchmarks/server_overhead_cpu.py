"""What a request and a token cost the server, in CPU time of its threads: figures that a busy machine leaves alone.

In: options. Out: results/server-overhead-cpu.json and two lines. An engine that computes nothing gives every answer a
token in each step, and waits between two steps so that each step's tokens go out by themselves, as they do behind a
model. Rounds of short and of long answers take turns; the difference is the tokens', what is left is the requests'.
"""

import argparse
import gc
import statistics
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from measuring import Circumstances, circumstances, write_result
from server_overhead import SERVER, Clients, messages, serving

import ivl
from ivl.engine import EngineStats, EngineWorker, Request, TokenOutput
from ivl.processing import load_processor
from ivl.session import Pipeline
from ivl.zoo import nano_folder

RESULT = Path(__file__).parent / "results" / "server-overhead-cpu.json"
SHORT, LONG = 8, 72
"""Tokens of an answer."""


class IdleCore:
    """What `EngineWorker` needs of an engine. Its tokens are the prompt's own, again and again."""

    def __init__(self, pause_s: float) -> None:
        self._pause_s = pause_s
        self._requests: dict[int, Request] = {}
        self._given: Counter[int] = Counter()
        self._num_added = 0
        self.stats = EngineStats(
            running=0, waiting=0, num_blocks=2**20, free_blocks=2**20, feature_bytes=0, prompt_tokens=0,
            cached_tokens=0, generated_tokens=0, preemptions=0, encoded_tiles=0, cached_tiles=0,
        )  # fmt: skip

    def attach(self) -> None: ...
    def check_idle(self) -> None: ...
    def close(self) -> None: ...

    def prepare(self, request: Request) -> Request:
        return request

    def add(self, request: Request) -> int:
        self._num_added += 1
        self._requests[self._num_added] = request
        return self._num_added

    def abort(self, request_id: int) -> None:
        self._requests.pop(request_id, None)

    @property
    def has_work(self) -> bool:
        return bool(self._requests)

    def step(self) -> list[tuple[int, TokenOutput]]:
        time.sleep(self._pause_s)
        return [(request_id, self._next(request_id, request)) for request_id, request in [*self._requests.items()]]

    def _next(self, request_id: int, request: Request) -> TokenOutput:
        given = self._given[request_id]
        self._given[request_id] += 1
        is_last = given + 1 == request.sampling.max_new_tokens
        if is_last:
            del self._requests[request_id]
        token_id = int(request.input_ids[given % len(request.input_ids)])
        return TokenOutput(token_id=token_id, finish_reason="length" if is_last else None)


@dataclass(frozen=True, kw_only=True)
class Spent:
    """CPU seconds of a round."""

    loop_s: float
    """The event loop's thread."""
    other_s: float
    """The threads that make requests ready."""


@dataclass(kw_only=True)
class Cost:
    """One kind of request; each list has one figure for each pair of rounds."""

    with_picture: bool
    is_stream: bool
    token_us: list[float] = field(default_factory=list)
    """Of the event loop's thread, microseconds."""
    loop_request_ms: list[float] = field(default_factory=list)
    """Of the same without the tokens, milliseconds."""
    prepare_request_ms: list[float] = field(default_factory=list)
    """Of the threads that make requests ready."""


@dataclass(kw_only=True)
class Result:
    """Everything measured in a run."""

    circumstances: Circumstances
    costs: list[Cost] = field(default_factory=list)


class Bench:
    """Rounds of requests to one server."""

    def __init__(self, clients: Clients) -> None:
        self._clients = clients
        ids = {thread.name: thread.ident for thread in threading.enumerate()}
        self._loop, self._engine = (time.pthread_getcpuclockid(ids[name] or 0) for name in (SERVER, "ivl-engine"))

    def round(self, prompts: list[Any], tokens: int, is_stream: bool) -> Spent:
        body = {"max_tokens": tokens, "ignore_eos": True, "stream": is_stream}
        gc.collect()
        before = self._clock()
        told = self._clients.round([{**body, "messages": prompt} for prompt in prompts])
        after = self._clock()
        assert all(told["texts"]), "an answer is empty"
        every, loop, engine, own = (b - a for a, b in zip(before, after, strict=True))
        return Spent(loop_s=loop, other_s=every - loop - engine - own)

    def _clock(self) -> tuple[float, float, float, float]:
        """CPU seconds so far: of the process, of the event loop's thread, of the engine's, of this one."""
        loop, engine = (time.clock_gettime(each) for each in (self._loop, self._engine))
        return time.process_time(), loop, engine, time.thread_time()

    def cost(self, with_picture: bool, is_stream: bool, requests: int, rounds: int) -> Cost:
        prompts = [messages(number, with_picture) for number in range(requests)]
        cost = Cost(with_picture=with_picture, is_stream=is_stream)
        self.round(prompts, LONG, is_stream)
        for _ in range(rounds):
            short, long = (self.round(prompts, tokens, is_stream) for tokens in (SHORT, LONG))
            token_s = (long.loop_s - short.loop_s) / requests / (LONG - SHORT)
            cost.token_us.append(1e6 * token_s)
            cost.loop_request_ms.append(1e3 * (short.loop_s / requests - SHORT * token_s))
            cost.prepare_request_ms.append(1e3 * short.other_s / requests)
        return cost


def report(cost: Cost) -> str:
    """A line."""
    kind = ("a picture and a text" if cost.with_picture else "a text") + (", streamed" if cost.is_stream else ", whole")
    token, loop, prepare = map(statistics.median, (cost.token_us, cost.loop_request_ms, cost.prepare_request_ms))
    return f"{kind}: {token:.1f} us a token; a request {loop:.2f} ms on the event loop, {prepare:.2f} ms before it"


def main(argv: list[str] | None = None) -> Result:
    """Measure, write, print."""
    args = arguments(argv)
    result = Result(circumstances=circumstances(args.commit))
    core: Any = IdleCore(args.pause_ms / 1000)
    folder = nano_folder()
    engine_config = ivl.EngineConfig(device="cpu", max_batch_size=args.requests)
    pipe = Pipeline(folder, load_processor(folder), EngineWorker(core), engine_config)
    with pipe, serving(pipe) as port:
        clients = Clients(port)
        try:
            bench = Bench(clients)
            for with_picture, is_stream in product(args.pictures, (True, False)):
                cost = bench.cost(bool(with_picture), is_stream, args.requests, args.rounds)
                result.costs.append(cost)
                print(report(cost), flush=True)
        finally:
            clients.close()
    if args.out is not None:
        write_result(args.out, result)
    return result


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=7, help="pairs of rounds")
    parser.add_argument("--pictures", nargs="+", type=int, choices=(0, 1), default=[0, 1], help="without, with")
    parser.add_argument("--pause-ms", type=float, default=20, help="between two steps")
    parser.add_argument("--commit", help="where git cannot tell it")
    parser.add_argument("--out", type=Path, default=RESULT, help="the results file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
