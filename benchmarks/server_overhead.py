"""What HTTP costs: the same requests to one engine directly, and through the server to clients in another process.

In: options. Out: results/server-overhead.json and a table. In turns, A B C A B C: `core` is the engine driven by hand
with ready-made inputs, as `ivl bench` drives it; `pipeline` is `pipe([...])`; `stream` and `whole` are clients of
`ivl serve`'s app, streamed and not. Every side must give the same texts, else there is no result.
"""

import argparse
import base64
import gc
import io
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from measuring import circumstances, pairwise_ratio, write_result
from PIL import Image
from server_figures import Figures, FirstToken, Load, Result, Round, report, report_first

import ivl
from ivl.engine import TokenOutput
from ivl.server.app import create_app
from ivl.server.heap import loaded
from ivl.server.keys import Keys
from ivl.server.run import Server, bind
from ivl.server.settings import ServerSettings
from ivl.session import Pipeline
from ivl.session.answer import AnswerText, make_request, sampling_params

RESULT = Path(__file__).parent / "results" / "server-overhead.json"
CHAT = "/v1/chat/completions"
SERVER = "serving"
"""The name of the event loop's thread."""
SIDES = ("core", "pipeline", "stream", "whole")


class Clients:
    """The process that asks."""

    def __init__(self, port: int) -> None:
        script = Path(__file__).with_name("stream_client.py")
        self._process = subprocess.Popen(
            [sys.executable, script, str(port)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def round(self, bodies: list[dict[str, Any]]) -> dict[str, Any]:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        print(json.dumps({"path": CHAT, "bodies": [json.dumps(body) for body in bodies]}), file=self._process.stdin)
        self._process.stdin.flush()
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError("the clients have failed: see above")
        return dict(json.loads(line))

    def close(self) -> None:
        self._process.communicate()


@contextmanager
def serving(pipe: Pipeline) -> Iterator[int]:
    """A server over this pipeline on a thread; gives its port."""
    settings = ServerSettings(port=0, max_running=pipe.engine_config.max_batch_size)
    with Path(os.devnull).open("w") as log, bind(settings) as listener:
        app = create_app(pipe, settings, Keys(), log)
        server = Server(app, settings)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, name=SERVER)
        thread.start()
        while not server.started:
            time.sleep(0.01)
        try:
            yield listener.getsockname()[1]
        finally:
            server.drain()
            thread.join()
            app.state.ivl.threads.shutdown()


def messages(number: int, with_picture: bool) -> list[dict[str, Any]]:
    """A question like no other, of some 50 tokens, about a picture like no other of one tile."""
    text = f"Question {number}: what is to be seen here, what is it made of, and where would you look for it? " * 2
    if not with_picture:
        return [{"role": "user", "content": text}]
    image, file = Image.effect_noise((448, 448), 40).convert("RGB"), io.BytesIO()
    image.paste((number * 37 % 255, number * 91 % 255, number * 53 % 255), (20, 20, 200, 200))
    image.save(file, "JPEG")
    url = "data:image/jpeg;base64," + base64.b64encode(file.getvalue()).decode()
    return [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}},
                                         {"type": "text", "text": text}]}]  # fmt: skip


class Sides:
    """The same requests, asked in four ways."""

    def __init__(self, pipe: Pipeline, clients: Clients, prompts: list[Any], new_tokens: int) -> None:
        self._pipe = pipe
        self._clients = clients
        self._prompts = prompts
        self._config = ivl.GenerationConfig(max_new_tokens=new_tokens, ignore_eos=True)
        self._bodies = [{"messages": prompt, "max_tokens": new_tokens, "ignore_eos": True} for prompt in prompts]

    def run(self, side: str) -> Round:
        gc.collect()
        return getattr(self, f"_{side}")()  # type: ignore[no-any-return]

    def first_token_s(self, side: str, number: int) -> float:
        """Of one request alone."""
        if side == "server":
            body = {**self._bodies[number], "stream": True, "max_tokens": 4}
            return float(self._clients.round([body])["first_s"][0])
        begun = time.perf_counter()
        answers = self._pipe.stream(self._prompts[number], ivl.GenerationConfig(max_new_tokens=4, ignore_eos=True))
        next(answers)
        seconds = time.perf_counter() - begun
        for _ in answers:
            pass
        return seconds

    def _core(self) -> Round:
        inputs = [self._pipe.processor(prompt) for prompt in self._prompts]
        sampling = sampling_params(self._config, self._pipe.processor)
        requests = [make_request(each, sampling, None, None) for each in inputs]
        wall, cpu = time.perf_counter(), time.process_time()

        def drive(core: Any) -> list[list[TokenOutput]]:
            outputs: dict[int, list[TokenOutput]] = {core.add(request): [] for request in requests}
            while core.has_work:
                for request_id, output in core.step():
                    outputs[request_id].append(output)
            return list(outputs.values())

        answers = self._pipe.engine.call(drive)
        seconds = time.perf_counter() - wall, time.process_time() - cpu
        return Round(wall_s=seconds[0], cpu_s=seconds[1], texts=tuple(self._text(answer) for answer in answers))

    def _text(self, outputs: list[TokenOutput]) -> str:
        text = AnswerText(self._pipe.processor.tokenizer, self._config, 0, 0)
        return "".join(text.push(output).text for output in outputs)

    def _pipeline(self) -> Round:
        wall, cpu = time.perf_counter(), time.process_time()
        answers = self._pipe(self._prompts, self._config)
        return Round(
            wall_s=time.perf_counter() - wall,
            cpu_s=time.process_time() - cpu,
            texts=tuple(answer.text for answer in answers),
        )

    def _stream(self) -> Round:
        return self._http(True)

    def _whole(self) -> Round:
        return self._http(False)

    def _http(self, is_stream: bool) -> Round:
        cpu = time.process_time()
        told = self._clients.round([{**body, "stream": is_stream} for body in self._bodies])
        return Round(
            wall_s=told["wall_s"],
            cpu_s=time.process_time() - cpu,
            texts=tuple(told["texts"]),
            first_s=tuple(told["first_s"]) if is_stream else (),
        )


def measure_load(pipe: Pipeline, clients: Clients, with_picture: bool, args: argparse.Namespace) -> Load:
    """All requests at once, each side in turn. Raises RuntimeError where more than one text in eight differs."""
    prompts = [messages(number, with_picture) for number in range(args.requests)]
    sides = Sides(pipe, clients, prompts, args.new_tokens)
    load = Load(requests=args.requests, new_tokens=args.new_tokens, with_picture=with_picture)
    load.sides = {name: Figures() for name in args.sides}
    for name in args.sides if args.warm else ():
        sides.run(name)
    for _ in range(args.rounds):
        rounds = {name: sides.run(name) for name in args.sides}
        first, *others = rounds.values()
        for other in others:
            # Requests meet in other steps, and rounding may then turn a token that has an equal rival.
            differ = sum(a != b for a, b in zip(first.texts, other.texts, strict=True))
            if 8 * differ > args.requests:
                raise RuntimeError(f"{differ} of {args.requests} texts differ: there is nothing to compare")
        for name, each in rounds.items():
            figures = load.sides[name]
            figures.wall_s.append(each.wall_s)
            figures.cpu_s.append(each.cpu_s)
            figures.tokens_per_s.append(args.requests * args.new_tokens / each.wall_s)
            if each.first_s:
                figures.first_token_median_s.append(statistics.median(each.first_s))
    for name, figures in load.sides.items():
        if "core" in load.sides:
            load.wall_over_core[name] = pairwise_ratio(figures.wall_s, load.sides["core"].wall_s)
        if "pipeline" in load.sides:
            load.wall_over_pipeline[name] = pairwise_ratio(figures.wall_s, load.sides["pipeline"].wall_s)
            load.cpu_over_pipeline[name] = pairwise_ratio(figures.cpu_s, load.sides["pipeline"].cpu_s)
    return load


def measure_first_token(pipe: Pipeline, clients: Clients, with_picture: bool, repeats: int) -> FirstToken:
    """One request at a time, directly and through HTTP in turns, every one a new prompt."""
    prompts = [messages(1000 + number, with_picture) for number in range(repeats + 2)]
    sides = Sides(pipe, clients, prompts, 4)
    result = FirstToken(with_picture=with_picture)
    for number in range(repeats + 2):
        pair = [sides.first_token_s(side, number) for side in ("pipeline", "server")]
        if number >= 2:  # the first are warm-up
            result.pipeline_s.append(pair[0])
            result.server_s.append(pair[1])
    added = [there - here for here, there in zip(result.pipeline_s, result.server_s, strict=True)]
    result.added_ms = 1000 * statistics.median(added)
    return result


def main(argv: list[str] | None = None) -> Result:
    """Measure, write, print."""
    args = arguments(argv)
    torch.set_num_threads(args.threads)
    result = Result(circumstances=circumstances(args.commit))
    config = ivl.EngineConfig(device=args.device, dtype=args.dtype, enable_prefix_caching=False, vision_cache_bytes=0)
    with ivl.pipeline(args.model, engine_config=config) as pipe, loaded(), serving(pipe) as port:
        pipe.engine.call(lambda core: torch.set_num_threads(args.threads))
        clients = Clients(port)
        try:
            for with_picture in args.pictures:
                if args.repeats:
                    first = measure_first_token(pipe, clients, with_picture, args.repeats)
                    result.first_token.append(first)
                    print(report_first(first), flush=True)
                if args.rounds:
                    load = measure_load(pipe, clients, with_picture, args)
                    result.loads.append(load)
                    print(report(load), flush=True)
        finally:
            clients.close()
    if args.out is not None:
        write_result(args.out, result)
    return result


def arguments(argv: list[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", help="a folder or hub id; the model in the package where it is left out")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--requests", type=int, default=64)
    parser.add_argument("--new-tokens", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=5, help="rounds of all requests; 0 leaves them out")
    parser.add_argument("--repeats", type=int, default=40, help="requests alone; 0 leaves them out")
    parser.add_argument("--sides", nargs="+", choices=SIDES, default=list(SIDES))
    parser.add_argument("--pictures", nargs="+", type=int, choices=(0, 1), default=[0, 1], help="without, with")
    parser.add_argument("--no-warm", dest="warm", action="store_false", help="no round before those that count")
    parser.add_argument("--threads", type=int, default=torch.get_num_threads(), help="threads of the engine")
    parser.add_argument("--commit", help="where git cannot tell it")
    parser.add_argument("--out", type=Path, default=RESULT, help="the results file")
    return parser.parse_args(argv)


if __name__ == "__main__":
    main()
