"""Aims: the limits that figures should keep."""

from dataclasses import dataclass


@dataclass(slots=True)
class Aim:
    """A figure with its limit; `met` is None where it was not measured."""

    text: str
    value: float | None
    unit: str
    limit: float
    at_least: bool

    @property
    def met(self) -> bool | None:
        if self.value is None:
            return None
        return self.value >= self.limit if self.at_least else self.value <= self.limit


def at_least(text: str, value: float | None, unit: str, limit: float) -> Aim:
    return Aim(text, value, unit, limit, at_least=True)


def at_most(text: str, value: float | None, unit: str, limit: float) -> Aim:
    return Aim(text, value, unit, limit, at_least=False)
