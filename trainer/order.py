"""The order of one run: read from a JSON file, and checked against the table of kinds."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.kinds import KINDS, Kind
from trainer.parameters import Value
from trainer.refusals import bad_order

_KEYS = {"kind", "base", "data", "output", "checkpoints", "parameters", "threads", "seed"}
_NEEDED = {"kind", "output", "checkpoints"}
LARGEST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True)
class Order:
    """Paths are absolute; `parameters` has every parameter of the kind."""

    kind: str
    base: Path | None
    train: Path | None
    held_out: Path | None
    output: Path
    checkpoints: Path
    parameters: Mapping[str, Any]
    threads: int
    seed: int

    @classmethod
    def read(cls, path: Path) -> "Order":
        try:
            if path.stat().st_size > LARGEST_BYTES:
                raise bad_order("unreadable_order", "The order is larger than 1 MiB")
            fields = json.loads(path.read_bytes())
        except (OSError, ValueError, RecursionError) as error:
            raise bad_order("unreadable_order", "The order is no JSON file") from error
        return cls.of(fields)

    @classmethod
    def of(cls, fields: object) -> "Order":
        if not isinstance(fields, dict):
            raise bad_order("unreadable_order", "The order is no JSON object")
        _names("key", fields, _KEYS)
        if missing := sorted(_NEEDED - fields.keys()):
            raise bad_order("missing_key", f"The order lacks {', '.join(missing)}")
        kind = _kind(fields["kind"])
        data = _object(fields, "data")
        _names("key of data", data, {"train", "held_out"})
        order = cls(
            kind=fields["kind"],
            base=_path(fields, "base"),
            train=_path(data, "train"),
            held_out=_path(data, "held_out"),
            output=_folder(fields, "output"),
            checkpoints=_folder(fields, "checkpoints"),
            parameters=parameters_of(fields["kind"], _object(fields, "parameters")),
            threads=_whole(fields, "threads", 1, 1024, default=1),
            seed=_whole(fields, "seed", 0, 2**63 - 1, default=0),
        )
        return order._with_what_it_needs(kind)

    def fields(self) -> dict[str, object]:
        """Returns what `of` reads, for another process."""
        paths = {name: getattr(self, name) for name in ("base", "train", "held_out")}
        texts = {name: str(path) for name, path in paths.items() if path is not None}
        return {
            "kind": self.kind, "base": texts.pop("base", None), "data": texts,
            "output": str(self.output), "checkpoints": str(self.checkpoints),
            "parameters": dict(self.parameters), "threads": self.threads, "seed": self.seed,
        }  # fmt: skip

    def _with_what_it_needs(self, kind: Kind) -> "Order":
        if kind.needs_base and self.base is None:
            raise bad_order("missing_key", f"An order of kind {self.kind} needs a base")
        if kind.needs_data and self.train is None:
            raise bad_order("missing_key", f"An order of kind {self.kind} needs data.train")
        return self


def parameters_of(kind: str, values: Mapping[str, object]) -> dict[str, Value]:
    """Returns each parameter of the kind, checked, or its default."""
    table = {each.name: each for each in _kind(kind).parameters}
    _names(f"parameter of {kind}", values, set(table))
    return {
        name: each.checked(values[name]) if name in values else each.default
        for name, each in table.items()
    }


def _kind(name: object) -> Kind:
    if not isinstance(name, str) or name not in KINDS:
        raise bad_order("unknown_kind", f"kind must be one of {', '.join(KINDS)}")
    return KINDS[name]


def _names(word: str, fields: Mapping[str, object], allowed: set[str]) -> None:
    if unknown := sorted(fields.keys() - allowed):
        names = ", ".join(name[:40] for name in unknown[:3])
        raise bad_order(
            "unknown_key", f"Unknown {word}: {names} (known: {', '.join(sorted(allowed))})"
        )


def _object(fields: Mapping[str, Any], name: str) -> dict[str, Any]:
    value = fields.get(name) or {}
    if not isinstance(value, dict):
        raise bad_order("bad_key", f"{name} must be an object")
    return value


def _path(fields: Mapping[str, Any], name: str) -> Path | None:
    value = fields.get(name)
    if value is None:
        return None
    if not isinstance(value, str) or "\0" in value or not Path(value).is_absolute():
        raise bad_order("bad_key", f"{name} must be an absolute path")
    if not Path(value).exists():
        raise bad_order("missing_file", f"The file or folder of {name} is not there")
    return Path(value)


def _folder(fields: Mapping[str, Any], name: str) -> Path:
    value = fields[name]
    if not isinstance(value, str) or "\0" in value or not Path(value).is_absolute():
        raise bad_order("bad_key", f"{name} must be an absolute path")
    Path(value).mkdir(parents=True, exist_ok=True)
    return Path(value)


def _whole(fields: Mapping[str, Any], name: str, least: int, most: int, *, default: int) -> int:
    value = fields.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise bad_order("bad_key", f"{name} must be a whole number from {least} to {most}")
    return value
