"""A secret as a file: of Docker, Compose, Kubernetes, or of systemd's LoadCredential=."""

import stat
from pathlib import Path

_MOST_BYTES = 65_536


def read(name: str, path: str, given: str = "") -> str:
    """`given`: what the variable itself says. Raises ValueError: one line for a person."""
    asked = f"{name}_FILE"
    try:
        mode = Path(path).stat().st_mode
        text = _text(path)
    except OSError as error:
        raise ValueError(
            f"{asked}: {path}: {error.strerror}; put the value of {name} there, readable for the "
            "user that Forebay runs as"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"{asked}: {path} is not text") from None
    if mode & stat.S_IRWXO:
        raise ValueError(
            f"{asked}: everybody may read {path}: chmod o= {path} (Kubernetes: defaultMode: 0440 "
            "beside fsGroup; Compose and Swarm: mode: 0440)"
        )
    if not text:
        raise ValueError(f"{asked}: {path} is empty: put the value of {name} there")
    if "\n" in text:
        raise ValueError(f"{asked}: {path} has several lines, and must have one")
    if given and given != text:
        raise ValueError(f"{name} and {asked} are both set, and differ: unset one of them")
    return text


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read(_MOST_BYTES).strip()
