"""Secrets in files, as Docker, Compose, Kubernetes and systemd's LoadCredential= provide them."""

import stat
from pathlib import Path

_MOST_BYTES = 65_536


def read(name: str, path: str, given: str = "") -> str:
    """Read a secret from its file; `given` is the variable's own value.

    Raises ValueError: one line for a person.
    """
    setting = f"{name}_FILE"
    try:
        mode = Path(path).stat().st_mode
        text = _text(path)
    except OSError as error:
        raise ValueError(
            f"{setting}: {path}: {error.strerror}; put the value of {name} there, readable for the "
            "user that Forebay runs as"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"{setting}: {path} is not text") from None
    if mode & stat.S_IRWXO:
        raise ValueError(
            f"{setting}: everybody may read {path}: chmod o= {path} (Kubernetes: defaultMode: 0440 "
            "beside fsGroup; Compose and Swarm: mode: 0440)"
        )
    if not text:
        raise ValueError(f"{setting}: {path} is empty: put the value of {name} there")
    if "\n" in text:
        raise ValueError(f"{setting}: {path} has several lines, and must have one")
    if given and given != text:
        raise ValueError(f"{name} and {setting} are both set, and differ: unset one of them")
    return text


def _text(path: str) -> str:
    with open(path, encoding="utf-8") as file:
        return file.read(_MOST_BYTES).strip()
