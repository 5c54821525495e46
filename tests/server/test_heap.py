"""Memory bounds of other libraries: set where nobody has, and free memory given back at a sober pace."""

import weakref

import pytest

from ivl.server import heap


def test_what_a_person_has_set_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    name = "ONEDNN_PRIMITIVE_CACHE_CAPACITY"
    monkeypatch.setenv(name, "7")
    heap.bound_kernel_cache()
    assert heap.os.environ[name] == "7"
    monkeypatch.delenv(name)
    heap.bound_kernel_cache()
    assert heap.os.environ[name] == "128"
    monkeypatch.delenv(name)


class Loop:
    """Two of them that hold each other stay until garbage is collected."""

    other: "Loop"


@pytest.mark.parametrize("system", [heap.sys.platform, "darwin"])
def test_what_holds_itself_is_gone_after_tidying(system: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heap.sys, "platform", system)
    one, two = Loop(), Loop()
    one.other, two.other = two, one
    gone = weakref.ref(one)
    heap.gc.disable()
    try:
        del one, two
        assert gone() is not None
        heap.trimmer()()
        assert gone() is None
    finally:
        heap.gc.enable()


def test_it_is_due_after_work_and_not_too_often() -> None:
    now = 0.0
    pace = heap.Pace(5, clock=lambda: now)
    assert not pace.is_due(1)
    now = 5.0
    assert pace.is_due(1)
    assert not pace.is_due(2)
    now = 20.0
    assert pace.is_due(2)
    now = 40.0
    assert not pace.is_due(2)


def test_what_is_loaded_is_not_looked_at() -> None:
    with heap.loaded():
        assert heap.gc.get_freeze_count() > 1000
    assert heap.gc.get_freeze_count() == 0
