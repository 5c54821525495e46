"""What only a process of its own can show: its end in the middle of an answer, Ctrl-C, and a fork."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = Path(__file__).parents[1]

START = """
import asyncio, gc, os, signal, sys, threading, time
import torch
torch.set_num_threads(1)
from ivl.engine import EngineWorker
from ivl.errors import EngineError
from random_model import random_ids
from random_requests import ask, make_core, within
# A run in the background of a shell ignores Ctrl-C: this one shall not.
signal.signal(signal.SIGINT, signal.default_int_handler)
worker = EngineWorker(make_core(session_len=4096, blocks=2048))
long = ask(random_ids(10), 4000)
stream = worker.generate(long)
next(stream)
"""

ENDS = {
    "with a stream that is held": "print('end')",
    "with one that is dropped": "del stream; worker.generate(long); print('end')",
    "with a stream in a cycle": "stream.me = [stream]; del stream; print('end')",
    "with sys.exit": "print('end'); sys.exit(0)",
    "with threads that read": """
def read():
    try: list(worker.generate(long))
    except EngineError: pass
for _ in range(3): threading.Thread(target=read, daemon=True).start()
time.sleep(0.05); print('end')
""",
    "with a loop that reads": """
async def read():
    async for _ in stream: pass
loop = asyncio.new_event_loop(); task = loop.create_task(read())
loop.run_until_complete(asyncio.sleep(0.05)); task.cancel()
try: loop.run_until_complete(task)
except asyncio.CancelledError: print('end')
""",
}


def run(script: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-X", "faulthandler", "-c", START + script],
        capture_output=True,
        text=True,
        timeout=60,
        env=os.environ | {"PYTHONPATH": str(TESTS), "OMP_NUM_THREADS": "1"},
        check=False,
    )


@pytest.mark.parametrize("how", [pytest.param(how, marks=[pytest.mark.slow] * (i > 0)) for i, how in enumerate(ENDS)])
def test_a_process_ends_in_the_middle_of_an_answer(how: str) -> None:
    done = run(ENDS[how])
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "end", "")


def test_ctrl_c_while_streaming() -> None:
    done = run("""
threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
try:
    for _ in stream: pass
    print('not interrupted')
except KeyboardInterrupt:
    print('interrupted', worker.failure)
    stream.close()
    print(worker.call(lambda core: core.has_work), len(list(worker.generate(ask(random_ids(5), 7)))))
    threading.Timer(0.1, lambda: os.kill(os.getpid(), signal.SIGINT)).start()
    for _ in worker.generate(long): pass
""")
    assert done.stdout.splitlines() == ["interrupted None", "False 7"]
    assert done.stderr.endswith("KeyboardInterrupt\n")
    assert "Fatal" not in done.stderr
    assert done.returncode in (130, -2)


def test_a_forked_child_is_told_at_once_and_the_parent_goes_on() -> None:
    done = run("""
import warnings; warnings.simplefilter('ignore')
unread = worker.generate(long)
child = os.fork()
if child == 0:
    uses = (lambda: worker.generate(long), lambda: worker.call(len), lambda: next(stream), lambda: next(unread),
            lambda: asyncio.run(stream.__anext__()))
    for use in uses:
        started = time.monotonic()
        try: within(5, use); told = 'nothing'
        except EngineError as error: told = str(error)
        print('forked' in told and 'make a new pipeline' in told, time.monotonic() - started < 1)
    stream.close(); worker.close(); del stream, unread, worker; gc.collect()
    own = EngineWorker(make_core())
    print(len(list(own.generate(ask(random_ids(5), 7)))), flush=True)
    sys.exit(0)
_, status = os.waitpid(child, 0)
unread.close()
print('parent', status, len([next(stream) for _ in range(50)]))
""")
    assert done.stdout.splitlines() == ["True True"] * 5 + ["7", "parent 0 50"]
    assert (done.returncode, done.stderr) == (0, "")
