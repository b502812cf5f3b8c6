"""The sweeps of this host's engines, in FOREBAY_HOME/energy: `forebay energy sweep` writes them."""

from pathlib import Path

import msgspec

from inference.energy.clock_choice import Point
from infrastructure import private_file


class Sweep(msgspec.Struct, frozen=True):
    """`measured_at`: ISO 8601, in UTC."""

    engine: str
    gpus: list[str]
    measured_at: str
    seconds: float  # of each measurement
    prompt_tokens: int
    answer_tokens: int
    points: list[Point]


def read(home: Path) -> dict[str, Sweep]:
    """Returns sweeps by engine; none where there is no file. Raises ValueError for a wrong one."""
    try:
        encoded = _file(home).read_bytes()
    except FileNotFoundError:
        return {}
    try:
        return msgspec.json.decode(encoded, type=dict[str, Sweep])
    except msgspec.DecodeError as problem:
        raise ValueError(f"{_file(home)}: {problem}") from None


def write(home: Path, sweep: Sweep) -> Path:
    """Add a sweep to the others, in place of an earlier one of its engine. Raises ValueError."""
    sweeps = {**read(home), sweep.engine: sweep}
    file = _file(home)
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    private_file.replace(file, msgspec.json.format(msgspec.json.encode(sweeps)).decode())
    return file


def _file(home: Path) -> Path:
    return home / "energy" / "sweeps.json"
