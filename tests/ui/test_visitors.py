"""Conversations are kept apart, and forgotten in time."""

import pytest

from ivl.errors import InputError
from ivl.ui import visitors as room
from ivl.ui.models import Cancel
from ivl.ui.visitors import Picture, Turn, Visitors


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_session_belongs_to_its_browser():
    visitors = Visitors()
    mine = visitors.find("a", "me")
    assert visitors.find("a", "me") is mine
    with pytest.raises(InputError, match="another visitor"):
        visitors.find("a", "you")
    for session, owner in ((None, "me"), ("", "me"), ("a", "")):
        with pytest.raises(InputError, match="no session"):
            visitors.find(session, owner)


def test_who_was_not_seen_for_an_hour_is_forgotten_unless_being_answered():
    clock = Clock()
    visitors = Visitors(clock)
    visitors.find("idle", "x")
    visitors.find("busy", "x").running = Cancel()
    clock.now = 3601
    visitors.find("new", "x")
    assert visitors.known("idle") is None
    assert visitors.known("busy") is not None


def test_visitors_and_their_pictures_are_bounded(monkeypatch):
    monkeypatch.setattr(room, "MOST_VISITORS", 3)
    monkeypatch.setattr(room, "MOST_BYTES", 1000)
    visitors = Visitors()
    for number in range(10):
        visitors.find(str(number), "x")
    assert len(visitors) == 3
    large = visitors.find("large", "x")
    large.turns = [Turn(text="", pictures=(Picture(data=b"x" * 2000, shown=""),))]
    visitors.find("next", "x")
    assert visitors.known("large") is None


def test_a_question_without_an_answer_is_not_read_again():
    visitor = Visitors().find("a", "me")
    visitor.turns = [Turn(text="one", answer="1"), Turn(text="two"), Turn(text="three")]
    assert [message.role for message in visitor.messages(3)] == ["user", "assistant", "user"]


def test_cancel_works_before_and_after_the_answer_has_begun():
    for is_early in (True, False):
        cancel, stopped = Cancel(), []
        if is_early:
            cancel.set()
        cancel.attach(lambda stopped=stopped: stopped.append(1))
        if not is_early:
            assert stopped == []
            cancel.set()
        assert stopped == [1]
