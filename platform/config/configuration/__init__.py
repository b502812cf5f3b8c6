"""Sources of variables: the environment, FOREBAY_CONFIG's file, files that hold a secret.

variables  their names, and those that hold a secret
lines      the configuration file

Files that hold a secret are as Docker, Compose, Kubernetes and systemd's LoadCredential= provide
them.
"""

import re
import stat
from collections.abc import MutableMapping
from pathlib import Path

from config.configuration import lines
from config.configuration.variables import SECRETS
from infrastructure.url_form import split_servers

FILE = "FOREBAY_CONFIG"
_MOST_BYTES = 65_536
_ENCODE = (
    "its password must be percent-encoded: write # as %23, % as %25, / as %2F, ? as %3F, @ as %40, "
    "[ as %5B, a blank as %20"
)
_REDIS = ("redis", "valkey", "unix")
# URLs that libpq refuses with the password in its message.
_NOT_OF_LIBPQ = re.compile(r"\s|%(?![0-9A-Fa-f]{2})|%00|^[^/]*//[^/]*@[^/]*@")


def apply(variables: MutableMapping[str, str]) -> None:
    """Add the variables of the configuration file and of files that hold a secret.

    The environment takes precedence over the configuration file. Child processes get values, not
    the files. Raises ValueError: one line for a person.
    """
    if file := variables.get(FILE):
        for name, value in lines.read(file).items():
            if not _is_set(name, variables):
                variables[name] = value
    for name in SECRETS:
        if path := variables.pop(f"{name}_FILE", ""):
            variables[name] = _secret(name, path, variables.get(name, ""))
        if name.endswith("_URL"):
            _check_url(name, variables.get(name, ""))


def _is_set(name: str, variables: MutableMapping[str, str]) -> bool:
    plain = name.removesuffix("_FILE")
    return bool({name, plain} & variables.keys()) or (
        plain in SECRETS and f"{plain}_FILE" in variables
    )


def _secret(name: str, path: str, plain: str) -> str:
    """Read a secret from its file; `plain` is the variable's own value."""
    setting = f"{name}_FILE"
    try:
        with open(path, encoding="utf-8") as file:
            text = file.read(_MOST_BYTES).strip()
        is_open = Path(path).stat().st_mode & stat.S_IRWXO
    except OSError as error:
        raise ValueError(
            f"{setting}: {path}: {error.strerror}; put the value of {name} there, readable for the "
            "user that Forebay runs as"
        ) from None
    except UnicodeDecodeError:
        raise ValueError(f"{setting}: {path} is not text") from None
    if is_open:
        raise ValueError(
            f"{setting}: everybody may read {path}: chmod o= {path} (Kubernetes: defaultMode: 0440 "
            "beside fsGroup; Compose and Swarm: mode: 0440)"
        )
    if not text:
        raise ValueError(f"{setting}: {path} is empty: put the value of {name} there")
    if "\n" in text:
        raise ValueError(f"{setting}: {path} has several lines, and must have one")
    if plain and plain != text:
        raise ValueError(f"{name} and {setting} are both set, and differ: unset one of them")
    return text


def _check_url(name: str, url: str) -> None:
    """Refuse a URL with a password that is not percent-encoded, without showing it.

    It would be read as a part of the host or the port, and an error message about them would show
    it.
    """
    try:
        parts, _hosts = split_servers(url)
        in_query = "@" in parts.query and "@" not in parts.netloc
        breaks_off = bool(parts.fragment) or "@" in parts.path or in_query
    except ValueError:
        breaks_off = True
    if breaks_off or (not url.startswith(_REDIS) and _NOT_OF_LIBPQ.search(url)):
        raise ValueError(f"{name}: {_ENCODE}")
