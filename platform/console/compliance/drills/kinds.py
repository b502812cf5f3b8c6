"""The kinds of drills, by name. Their texts are in content/drills.toml."""

from dataclasses import dataclass

from console.compliance.texts import Text, content


@dataclass(frozen=True, slots=True)
class Kind:
    name: str
    label: Text
    breaks: Text
    lasts_s: float = 0.0  # it stays broken for so long, however early answers come again
    bound_s: float = 120.0  # answers come again within
    takes_over: bool = False  # another server has to become primary before it is undone
    must_stop: bool = False  # without a majority nothing may be answered
    none_fails: bool = False


KINDS = {name: Kind(name, **fields) for name, fields in content("drills").items()}
