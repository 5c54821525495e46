import math

import pytest

from ivl.train.wording import counted, duration, gigabytes, number, percent, short


@pytest.mark.parametrize(
    ("said", "expected"),
    [
        (number(1.23456), "1.235"),
        (number(2.0), "2.000"),
        (number(0), "0.000"),
        (number(0.05712), "0.05712"),
        (number(3e-5), "3.00e-5"),
        (number(2345.0), "2345"),
        (number(None), "–"),
        (number(math.nan), "nan"),
        (short(3210), "3.21k"),
        (short(125_829_120), "126M"),
        (short(2.2e9), "2.2G"),
        (short(16.25), "16.2"),
        (duration(7.4), "0:07"),
        (duration(59.6), "1:00"),
        (duration(3723), "1:02:03"),
        (duration(200_000), "2 d 7:33 h"),
        (duration(math.nan), "?"),
        (duration(-1), "?"),
        (percent(0.4149), "41.5%"),
        (percent(1), "100%"),
        (percent(None), "–"),
        (gigabytes(41.3 * 2**30), "41.3 GB"),
        (counted(1, "step"), "1 step"),
        (counted(2000, "step"), "2,000 steps"),
    ],
)
def test_numbers_are_said_as_people_read_them(said, expected):
    assert said == expected
