"""TLS of connections that we open: whom we trust, what we show, and the oldest version.

    FOREBAY_TLS_CA        a PEM file of authorities, beside those that the system trusts
    FOREBAY_TLS_PEERS     a folder; what it has for one host holds for that host:
                          HOST/ca.crt (then these authorities alone), HOST/tls.crt and HOST/tls.key
    FOREBAY_TLS_OUTGOING  1.2 or 1.3

Nothing of Django is imported: the master key's keeper is asked before anything is set up.
"""

import logging
import os
import re
import ssl
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

log = logging.getLogger(__name__)
VERSIONS = {"1.2": ssl.TLSVersion.TLSv1_2, "1.3": ssl.TLSVersion.TLSv1_3}
_HOST = re.compile(r"[A-Za-z0-9_:][A-Za-z0-9_.:-]*")


class WrongFiles(OSError):
    """Ours, of TLS."""


class Peer(NamedTuple):
    """What holds for one host: paths, "" for none."""

    authorities: str
    only: bool  # of them, and none of the system's
    certificate: str
    key: str


_known: dict[tuple[Any, ...], ssl.SSLContext] = {}
_last: dict[str, ssl.SSLContext] = {}  # by host


def oldest() -> ssl.TLSVersion:
    """1.3 where our own ports have it, unless FOREBAY_TLS_OUTGOING says otherwise."""
    ours = os.environ.get("FOREBAY_TLS") == "on" or os.environ.get("FOREBAY_TLS_CERTIFICATE")
    return VERSIONS[os.environ.get("FOREBAY_TLS_OUTGOING") or ("1.3" if ours else "1.2")]


def context(host: str) -> ssl.SSLContext:
    """For one connection to a host; the files are read again when they have changed.

    Raises WrongFiles where they never were any good.
    """
    peer = peer_of(host)
    what = (oldest(), *peer, *map(_stamp, (peer.authorities, peer.certificate, peer.key)))
    if what not in _known:
        try:
            made = _made(peer)
        except OSError as problem:
            return _before(host, problem)
        _forget_some()
        _known[what] = made
    _last[host] = _known[what]
    return _known[what]


def peer_of(host: str) -> Peer:
    certificate = key = own = ""
    if (folder := os.environ.get("FOREBAY_TLS_PEERS")) and _HOST.fullmatch(host):
        found = Path(folder, host)
        own, certificate, key = (_there(found / n) for n in ("ca.crt", "tls.crt", "tls.key"))
    return Peer(own or os.environ.get("FOREBAY_TLS_CA", ""), bool(own), certificate, key)


def redis_options(host: str) -> Mapping[str, Any]:
    """As redis-py, Celery and Channels take them. The system's authorities are trusted too."""
    peer = peer_of(host)
    given = {
        "ssl_ca_certs": peer.authorities,
        "ssl_certfile": peer.certificate,
        "ssl_keyfile": peer.key,
    }
    asked = {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_min_version": oldest()}
    return {**asked, **{name: path for name, path in given.items() if path}}


def _made(peer: Peer) -> ssl.SSLContext:
    made = ssl.create_default_context(cafile=peer.authorities if peer.only else None)
    made.minimum_version = oldest()
    if peer.authorities and not peer.only:
        made.load_verify_locations(peer.authorities)
    if peer.certificate:
        made.load_cert_chain(peer.certificate, peer.key or None, password="")  # never asks anybody
    return made


def _before(host: str, problem: OSError) -> ssl.SSLContext:
    """Half a renewal keeps what was there. Raises WrongFiles where nothing was."""
    if host not in _last:
        where = os.environ.get("FOREBAY_TLS_PEERS") or os.environ.get("FOREBAY_TLS_CA")
        why = getattr(problem, "reason", None) or problem.strerror or problem
        raise WrongFiles(f"the files of TLS for {host} in {where} are wrong: {why}")
    log.error("TLS to %s: keeps the files of before: %s", host, problem)
    return _last[host]


def _forget_some() -> None:
    if len(_known) > 256:
        _known.clear()


def _there(path: Path) -> str:
    return str(path) if path.exists() else ""


def _stamp(path: str) -> tuple[int, int] | None:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_mtime_ns, found.st_ino
