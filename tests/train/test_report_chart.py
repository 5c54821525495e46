import math
import xml.etree.ElementTree as ET

import pytest

from ivl.train.report_chart import HEIGHT, LEFT, WIDTH, Curve, draw_chart


def parsed(*curves, name="Loss", **options):
    return ET.fromstring(draw_chart(name, list(curves), **options))


def places(line):
    return [tuple(map(float, place.split(","))) for place in line.attrib["points"].split()]


def test_a_curve_goes_from_corner_to_corner():
    chart = parsed(Curve(points=[(0, 2.0), (50, 1.0), (100, 0.0)], look="main"))
    (line,) = chart.iter("polyline")
    (left, top), (middle_x, middle_y), (right, bottom) = places(line)
    assert (left, line.attrib["class"]) == (LEFT, "main")
    assert top < middle_y < bottom < HEIGHT
    assert middle_x == pytest.approx((left + right) / 2, abs=0.1)
    assert middle_y == pytest.approx((top + bottom) / 2, abs=0.1)


def test_values_and_steps_are_written_beside_it():
    words = [text.text for text in parsed(Curve(points=[(0, 0.0), (20_000, 3e-5)], look="main")).iter("text")]
    assert {"0", "1e-5", "2e-5", "3e-5", "20k"} <= set(words)


def test_shares_go_from_0_to_100_percent():
    chart = parsed(Curve(points=[(0, 0.4), (10, 0.5)], look="third", has_dots=True), is_share=True)
    assert {"0%", "100%"} <= {text.text for text in chart.iter("text")}
    assert len(list(chart.iter("circle"))) == 2


def test_only_named_curves_with_points_are_in_the_legend():
    curves = [
        Curve(points=[(1, 1.0), (2, 2.0)], look="main", name="<training>"),
        Curve(points=[(1, 1.0)], look="faint"),
    ]
    assert not [text for text in parsed(*curves).iter("text") if "training" in text.text]
    more = Curve(points=[(1, 1.5)], look="second", name="validation")
    assert {"<training>", "validation"} <= {text.text for text in parsed(*curves, more).iter("text")}


@pytest.mark.parametrize("points", [[], [(0, 1.0)], [(7, 0.0), (8, 0.0)], [(1, 1e30), (2, -1e30)]])
def test_odd_curves_are_drawn_inside_the_picture(points):
    chart = parsed(Curve(points=points, look="main"))
    for line in chart.iter("polyline"):
        assert all(math.isfinite(x) and 0 <= x <= WIDTH and 0 <= y <= HEIGHT for x, y in places(line))


def test_a_long_run_stays_small():
    assert len(draw_chart("Loss", [Curve(points=[(step, step % 7) for step in range(100_000)], look="faint")])) < 20_000
