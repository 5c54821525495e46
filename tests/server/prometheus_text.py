"""Prometheus's text format, read strictly enough to find a line that a scraper would not take."""

import re

_LINE = re.compile(r'(?P<series>[a-z_]+(\{[a-z_]+="[^"]*"(,[a-z_]+="[^"]*")*\})?) (?P<value>[0-9.e+-]+)')


def parse(text: str) -> dict[str, float]:
    """Each series and its value; every series belongs to a name whose type was told, buckets only grow."""
    values: dict[str, float] = {}
    types: dict[str, str] = {}
    assert text.endswith("\n")
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            _, _, name, kind = line.split(" ")
            assert name not in types, f"{name} is told twice"
            types[name] = kind
        elif not line.startswith("# HELP "):
            match = _LINE.fullmatch(line)
            assert match, f"not a line of the format: {line!r}"
            name = match["series"].partition("{")[0]
            base = re.sub(r"_(bucket|sum|count)$", "", name) if name not in types else name
            assert base in types, f"{name} has no type"
            assert match["series"] not in values, f"{match['series']} stands twice"
            values[match["series"]] = float(match["value"])
    for name in (name for name, kind in types.items() if kind == "histogram"):
        counts = [value for series, value in values.items() if series.startswith(f"{name}_bucket")]
        assert counts == sorted(counts)
        assert counts[-1] == values[f"{name}_count"]
    return values
