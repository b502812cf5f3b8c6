"""A parameter of an order: its type, bounds and default, and the check of a value."""

from dataclasses import dataclass
from math import inf
from typing import Any

from trainer.refusals import bad_order

Value = int | float | bool | str | None
Type = type[int] | type[float] | type[bool] | type[str]


@dataclass(frozen=True, slots=True)
class Parameter:
    """One row of the table. A default of None means: chosen by the trainer, as `meaning` says."""

    name: str
    type: Type
    default: Value
    meaning: str
    least: float | None = None
    most: float | None = None
    choices: tuple[str, ...] = ()

    def checked(self, value: Any) -> Value:
        """Returns the value in its type."""
        if value is None and self.default is None:
            return None
        if isinstance(value, bool) != (self.type is bool) or not isinstance(value, self._types()):
            raise bad_order("bad_parameter", f"{self.name} must be {self._words()}")
        if self.choices and value not in self.choices:
            raise bad_order("bad_parameter", f"{self.name} must be {self._words()}")
        if not self._within(value):
            raise bad_order("bad_parameter", f"{self.name} must be {self._words()}")
        return self.type(value)

    def _types(self) -> tuple[Type, ...]:
        return (int, float) if self.type is float else (self.type,)

    def _within(self, value: Any) -> bool:
        """Says whether a number is in its bounds; NaN is in none."""
        if self.type in (bool, str):
            return True
        low = -inf if self.least is None else self.least
        return bool(low <= value <= (inf if self.most is None else self.most))

    def _words(self) -> str:
        if self.choices:
            return "one of " + ", ".join(self.choices)
        word = {int: "a whole number", float: "a number", bool: "true or false", str: "a text"}
        bounds = [f"at least {self.least:g}"] if self.least is not None else []
        bounds += [f"at most {self.most:g}"] if self.most is not None else []
        return " ".join([word[self.type], " and ".join(bounds)]).strip()


def whole(name: str, default: int | None, least: int, most: int, meaning: str) -> Parameter:
    return Parameter(name, int, default, meaning, least, most)


def number(name: str, default: float | None, least: float, most: float, meaning: str) -> Parameter:
    return Parameter(name, float, default, meaning, least, most)


def choice(name: str, default: str | None, choices: tuple[str, ...], meaning: str) -> Parameter:
    return Parameter(name, str, default, meaning, choices=choices)


def flag(name: str, default: bool, meaning: str) -> Parameter:
    return Parameter(name, bool, default, meaning)


def text(name: str, default: str | None, meaning: str) -> Parameter:
    return Parameter(name, str, default, meaning)
