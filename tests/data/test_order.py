"""Orders that come out the same everywhere."""

from ivl.data.order import bits, drawn, shuffled

BITS = [2039379465286703853, 3696958443939182512]
ORDER = [5, 0, 7, 1, 3, 6, 4, 2]


def test_numbers_are_the_same_in_every_process_and_release():
    assert bits(2, "samples", 42, 0).tolist() == BITS
    assert shuffled(8, "samples", 42, 0).tolist() == ORDER


def test_a_key_has_its_own_order():
    orders = {tuple(shuffled(50, *key)) for key in [("a", 1), ("a", 2), ("b", 1), (1, "a"), ("a", 1, 0)]}
    assert len(orders) == 5
    assert all(sorted(order) == list(range(50)) for order in orders)


def test_draws_take_everything_once_before_anything_twice():
    stream = drawn(7, 0, 21, "x").tolist()
    assert [sorted(stream[start : start + 7]) for start in (0, 7, 14)] == [list(range(7))] * 3
    assert stream[:7] != stream[7:14]
    assert [*drawn(7, 0, 5, "x"), *drawn(7, 5, 5, "x"), *drawn(7, 10, 11, "x")] == stream
    assert drawn(7, 3, 0, "x").tolist() == []
