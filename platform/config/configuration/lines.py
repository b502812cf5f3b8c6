"""The configuration file: NAME=VALUE on each line, `#` before a comment.

systemd (EnvironmentFile=), `docker run --env-file`, Compose (env_file:) and `kubectl create
configmap --from-env-file` read such files, each with rules of its own for quotes, backslashes,
`$` and a `#` behind a value. What they would read differently is refused here: a file that Forebay
takes says the same everywhere.
"""

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from config.configuration.variables import INTERNAL, PRIVATE, SECRETS, nearest, unknown

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_READ_DIFFERENTLY = (
    (re.compile(r"""^["']"""), "begins with a quote"),
    (re.compile(r"\\"), "has a backslash"),
    (re.compile(r"\$"), "has a $"),
    (re.compile(r"\s#"), "has a # behind a blank"),
)


def read(path: str) -> dict[str, str]:
    """Read a configuration file. Raises ValueError: one line for a person."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ValueError(f"FOREBAY_CONFIG: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"FOREBAY_CONFIG: {path} is not UTF-8") from None
    assigned: dict[str, str] = {}
    for place, name, value in _assignments(path, text):
        if name in assigned:
            raise ValueError(f"{place} {name} stands there twice")
        assigned[name] = value
    _check_names(path, assigned)
    _check_modes(path, assigned)
    return {name: value for name, value in assigned.items() if value}


def _assignments(path: str, text: str) -> Iterator[tuple[str, str, str]]:
    for number, line in enumerate(text.splitlines(), start=1):
        place, line = f"FOREBAY_CONFIG: {path}, line {number}:", line.strip()
        if not line or line.startswith("#"):
            continue
        name, equals, value = line.partition("=")
        if not equals or not _NAME.fullmatch(name):
            raise ValueError(f"{place} must be NAME=VALUE, without blanks around the =")
        if value != value.strip():
            raise ValueError(f"{place} a blank stands before the value of {name}")
        for sign, what in _READ_DIFFERENTLY:
            if sign.search(value):
                remedy = f"put it into a file, {name}_FILE" if name in SECRETS else "leave it out"
                raise ValueError(
                    f"{place} the value of {name} {what}: systemd, Compose and Kubernetes disagree "
                    f"on it; {remedy}"
                )
        yield place, name, value


def _check_names(path: str, assigned: dict[str, str]) -> None:
    for name, suggestion in unknown(assigned).items():
        hint = (
            f"; do you mean {suggestion}?" if suggestion else " (docs/operations/configuration.md)"
        )
        raise ValueError(f"FOREBAY_CONFIG: {path}: there is no variable {name}{hint}")
    for name in assigned:
        if name in INTERNAL:
            raise ValueError(f"FOREBAY_CONFIG: {path}: {name} is not for you to set: leave it out")
        suggestion = nearest(name) if "_URL" in name and name not in SECRETS else ""
        if suggestion in ("DATABASE_URL", "REDIS_URL"):
            raise ValueError(
                f"FOREBAY_CONFIG: {path}: nobody reads {name}; do you mean {suggestion}?"
            )


def _check_modes(path: str, assigned: dict[str, str]) -> None:
    mode = Path(path).stat().st_mode
    if mode & stat.S_IWOTH:  # it also names programs that Forebay runs
        raise ValueError(f"FOREBAY_CONFIG: everybody may write to {path}: chmod o-w {path}")
    private = [name for name in PRIVATE if assigned.get(name)]
    if private and mode & stat.S_IRWXO:
        raise ValueError(
            f"FOREBAY_CONFIG: {path} has {private[0]} in it, and everybody may read it: "
            f"chmod o= {path}, or put it into a file of its own, {private[0]}_FILE"
        )
