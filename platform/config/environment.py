"""What the process was told: environment variables, or what a running `make run` left for us."""

import base64
import json
import os
import secrets
import tomllib
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

PROJECT = Path(__file__).resolve().parents[2]
HOME = Path(os.environ.get("FOREBAY_HOME") or PROJECT / "var").resolve()


class EnvironmentProblem(SystemExit):
    """Ends the program with one line that says what to do."""


def found(name: str, default: str = "") -> str:
    """A variable of the environment, else what the supervisor of this home has running."""
    return os.environ.get(name) or _running().get(name) or default


def _running() -> dict[str, str]:
    try:
        left: dict[str, str] = json.loads((HOME / "run" / "env.json").read_text())
    except (OSError, ValueError):
        return {}
    return left


def number(name: str, default: int) -> int:
    raw = os.environ.get(name, "")
    try:
        return int(raw) if raw else default
    except ValueError:
        raise EnvironmentProblem(f"{name} must be a whole number, not {raw!r}") from None


def public_url(host: str, port: int) -> str:
    """As people see this installation, without a slash at the end."""
    near = f"[{host}]" if ":" in host else host
    url = found("FOREBAY_PUBLIC_URL", f"http://{near}:{port}").rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise EnvironmentProblem("FOREBAY_PUBLIC_URL must begin with http:// or https://")
    return url


def master_key() -> bytes:
    """The 32 bytes that every other key hangs from: FOREBAY_MASTER_KEY (base64) or a file."""
    given = os.environ.get("FOREBAY_MASTER_KEY")
    text = given or _master_key_file(HOME / "secrets" / "master.key")
    try:
        key = base64.b64decode(text, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise EnvironmentProblem(
            "the master key must be 32 bytes in base64: restore FOREBAY_MASTER_KEY or "
            f"{HOME / 'secrets' / 'master.key'} from your backup"
        )
    return key


def _master_key_file(path: Path) -> str:
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        with open(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600), "w") as new:
            new.write(base64.b64encode(secrets.token_bytes(32)).decode())
    except FileExistsError:
        pass
    return path.read_text().strip()


def engines() -> dict[str, dict[str, Any]]:
    """FOREBAY_ENGINES, inline JSON or the path of a TOML or JSON file: model name -> its engine."""
    raw = found("FOREBAY_ENGINES")
    if not raw:
        return {}
    try:
        return _parsed_engines(raw)
    except (OSError, ValueError) as problem:
        raise EnvironmentProblem(f"FOREBAY_ENGINES: {problem}") from None


def _parsed_engines(raw: str) -> dict[str, dict[str, Any]]:
    if raw.lstrip().startswith("{"):
        found_engines = json.loads(raw)
    elif raw.endswith(".toml"):
        found_engines = tomllib.loads(Path(raw).read_text())
    else:
        found_engines = json.loads(Path(raw).read_text())
    if not isinstance(found_engines, dict):
        raise ValueError('must name an engine for each model: {"model": {"kind": …, "url": …}}')
    for name, engine in found_engines.items():
        if not isinstance(engine, dict) or not {"kind", "url"} <= engine.keys():
            raise ValueError(f"engine {name!r} needs at least kind and url")
    return dict(found_engines)


def one_of(name: str, default: str, *others: str) -> str:
    """A word out of a few."""
    word = os.environ.get(name) or default
    if word not in (default, *others):
        known = " or ".join((default, *others))
        raise EnvironmentProblem(f"{name} must be {known}, not {word!r}")
    return word


def oidc() -> list[dict[str, Any]]:
    """FOREBAY_OIDC, inline JSON or a JSON file: the identity providers that people sign in by.

    A list of {id, name, server_url, client_id, client_secret}, as django-allauth takes them.
    `domains`: the only ones about whose addresses of email the provider is believed.
    """
    raw = os.environ.get("FOREBAY_OIDC", "").strip()
    if not raw:
        return []
    try:
        given = json.loads(raw if raw.startswith("[") else Path(raw).read_text())
        return [_identity_provider(entry) for entry in given]
    except (OSError, ValueError, TypeError, AttributeError) as problem:
        raise EnvironmentProblem(f"FOREBAY_OIDC: {problem}") from None


def _identity_provider(entry: dict[str, Any]) -> dict[str, Any]:
    missing = {"id", "name", "server_url", "client_id", "client_secret"} - entry.keys()
    if missing:
        raise ValueError(f"a provider lacks {', '.join(sorted(missing))}")
    domains = [str(domain).lower() for domain in entry.get("domains", [])]
    return {
        "provider_id": entry["id"],
        "name": entry["name"],
        "client_id": entry["client_id"],
        "secret": entry["client_secret"],
        "settings": {
            "server_url": entry["server_url"],
            "email_authentication": True,
            "domains": domains,
        },
    }


def origin(identity_provider: dict[str, Any]) -> str:
    """Of a provider's server: scheme, host and port."""
    url = urlsplit(identity_provider["settings"]["server_url"])
    return f"{url.scheme}://{url.netloc}"
