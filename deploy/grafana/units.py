"""Figures as people read them, by the names that Grafana has for units."""

from collections.abc import Callable

_SUFFIX = "suffix: "


def said(value: float, unit: str, *, short: bool = False) -> str:
    """`short`: for an axis."""
    if unit.startswith(_SUFFIX):
        return _short(value) + ("" if short else f" {unit.removeprefix(_SUFFIX)}")
    return _SAID[unit](value)


def _short(value: float) -> str:
    """Three significant figures."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            return f"{value / max(size, 1e3 if letter == 'k' else size):.3g}{letter}"
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _seconds(value: float) -> str:
    if 0 < value < 1:
        return f"{value * 1000:.3g} ms"
    for size, name in ((86_400, "d"), (3_600, "h"), (60, "min")):
        if value >= 2 * size:
            return f"{value / size:.3g} {name}"
    return f"{value:.3g} s"


def _bytes(value: float) -> str:
    for size, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
        if value >= size:
            return f"{value / size:.3g} {name}"
    return f"{value:.0f} B"


_SAID: dict[str, Callable[[float], str]] = {
    "none": _short,
    "short": _short,
    "s": _seconds,
    "bytes": _bytes,
    "percentunit": lambda value: f"{value * 100:.3g} %",
    "percent": lambda value: f"{value:.3g} %",
    "reqps": lambda value: f"{_short(value)} /s",
    "celsius": lambda value: f"{value:.3g} °C",
    "watt": lambda value: f"{_short(value)} W",
    "joule": lambda value: f"{_short(value)} J",
}
