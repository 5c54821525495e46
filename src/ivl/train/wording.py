"""Numbers as people read them: in progress lines, plots and reports. Knows nothing of runs."""

import math

_PREFIXES = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))
GIB = 2**30


def number(value: float | None) -> str:
    """Four digits: 1.234, 0.05710, 3.00e-5; a dash for None."""
    if value is None:
        return "–"
    if not math.isfinite(value):
        return str(value)
    return f"{value:.2e}".replace("e-0", "e-") if 0 < abs(value) < 1e-3 else f"{value:#.4g}".removesuffix(".")


def short(value: float) -> str:
    """Three digits and a prefix: 3.21k, 12.3M."""
    for size, prefix in _PREFIXES:
        if abs(value) >= size:
            return f"{value / size:.3g}{prefix}"
    return f"{value:.3g}"


def duration(seconds: float) -> str:
    """0:07, 12:34, 1:02:03, 2 d 3:04 h; a question mark where it is not known."""
    if not math.isfinite(seconds) or seconds < 0:
        return "?"
    whole = round(seconds)
    hours, minutes = whole // 3600, whole // 60 % 60
    if hours >= 48:
        return f"{hours // 24} d {hours % 24}:{minutes:02} h"
    return f"{hours}:{minutes:02}:{whole % 60:02}" if hours else f"{minutes}:{whole % 60:02}"


def percent(share: float | None) -> str:
    """41%; a dash for None."""
    return "–" if share is None else f"{100 * share:.3g}%"


def gigabytes(num_bytes: float) -> str:
    """23.1 GB, in units of 2**30."""
    return f"{num_bytes / GIB:.3g} GB"


def counted(num: int, noun: str) -> str:
    """1 sample, 2,000 samples."""
    return f"{num:,} {noun}{'s' * (num != 1)}"
