"""Work in other processes: in order, with errors told, and ended when one is killed."""

import os
import signal
from dataclasses import dataclass

import pytest

from ivl.data.workers import choose_workers, run_chunks
from ivl.errors import DataError, SettingsError


@dataclass
class Doubling:
    """Doubles numbers; some make trouble."""

    refused: int = -1
    deadly: int = -1

    def __call__(self, numbers):
        if self.refused in numbers:
            raise SettingsError(f"{self.refused} is not allowed")
        if self.deadly in numbers:
            os.kill(os.getpid(), signal.SIGKILL)
        return [2 * number for number in numbers]


def test_chunks_come_in_order():
    found = list(run_chunks(Doubling(), range(23), workers=0, chunk_size=5))
    assert [len(numbers) for numbers, _ in found] == [5, 5, 5, 5, 3]
    assert [each for _, result in found for each in result] == list(range(0, 46, 2))
    assert list(run_chunks(Doubling(), [], workers=0, chunk_size=5)) == []


def test_processes_give_chunks_in_order_and_our_errors_as_they_are():
    found = []
    results = (
        found.extend(result) for _, result in run_chunks(Doubling(refused=37), range(50), workers=1, chunk_size=2)
    )
    with pytest.raises(SettingsError, match=r"^37 is not allowed$"):
        list(results)
    assert found == list(range(0, 72, 2))


def test_a_killed_process_ends_the_work():
    before = signal.getsignal(signal.SIGINT)
    with pytest.raises(DataError, match="was killed"):
        list(run_chunks(Doubling(deadly=3), range(1000), workers=1, chunk_size=2))
    assert signal.getsignal(signal.SIGINT) is before
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, ())


def test_few_records_are_worth_no_process():
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    assert choose_workers(None, 10, 100) == 0
    assert choose_workers(None, 199, 100) == 0
    assert choose_workers(None, 10**9, 100) in (0, min(cores, 32))
    assert choose_workers(3, 10**9, 100) == 3
    assert choose_workers(3, 1, 100) == 1
    assert choose_workers(0, 10**9, 100) == 0
