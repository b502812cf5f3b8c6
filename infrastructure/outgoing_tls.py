"""TLS of outgoing connections: trusted authorities, own certificates and the oldest version.

    FOREBAY_TLS_CA        a PEM file of authorities, beside those that the system trusts
    FOREBAY_TLS_PEERS     a folder; what it has for one host holds for that host:
                          HOST/ca.crt (then these authorities alone), HOST/tls.crt and HOST/tls.key
    FOREBAY_TLS_OUTGOING  1.2 or 1.3

This module imports nothing of Django, because the master key's keeper is called before Django's
settings are loaded.
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
    """The configured TLS files cannot be used."""


class Peer(NamedTuple):
    """TLS files for one host: paths, "" for none."""

    authorities: str
    only: bool  # trust these authorities alone, not the system's
    certificate: str
    key: str


_known: dict[tuple[Any, ...], ssl.SSLContext] = {}
_last: dict[str, ssl.SSLContext] = {}  # by host


def oldest() -> ssl.TLSVersion:
    """Returns the oldest TLS version: FOREBAY_TLS_OUTGOING, else 1.3 if our own ports use TLS, else
    1.2.
    """
    ours = os.environ.get("FOREBAY_TLS") == "on" or os.environ.get("FOREBAY_TLS_CERTIFICATE")
    return VERSIONS[os.environ.get("FOREBAY_TLS_OUTGOING") or ("1.3" if ours else "1.2")]


def context(host: str) -> ssl.SSLContext:
    """Returns the context for one connection to a host, made anew when its files have changed.

    Raises WrongFiles if they never were valid.
    """
    peer = peer_of(host)
    cache_key = (oldest(), *peer, *map(stamp, (peer.authorities, peer.certificate, peer.key)))
    if cache_key not in _known:
        try:
            new = _new_context(peer)
        except OSError as problem:
            return _last_working(host, problem)
        if len(_known) > 256:
            _known.clear()
        _known[cache_key] = new
    _last[host] = _known[cache_key]
    return _known[cache_key]


def peer_of(host: str) -> Peer:
    certificate = key = own = ""
    if (folder := os.environ.get("FOREBAY_TLS_PEERS")) and _HOST.fullmatch(host):
        files = (Path(folder, host, name) for name in ("ca.crt", "tls.crt", "tls.key"))
        own, certificate, key = (str(file) if file.exists() else "" for file in files)
    return Peer(own or os.environ.get("FOREBAY_TLS_CA", ""), bool(own), certificate, key)


def redis_options(host: str) -> Mapping[str, Any]:
    """Returns the TLS options of redis-py, Celery and Channels. The system's authorities stay
    trusted.
    """
    peer = peer_of(host)
    files = {
        "ssl_ca_certs": peer.authorities,
        "ssl_certfile": peer.certificate,
        "ssl_keyfile": peer.key,
    }
    checks = {"ssl_cert_reqs": "required", "ssl_check_hostname": True, "ssl_min_version": oldest()}
    return {**checks, **{name: path for name, path in files.items() if path}}


def _new_context(peer: Peer) -> ssl.SSLContext:
    context_ = ssl.create_default_context(cafile=peer.authorities if peer.only else None)
    context_.minimum_version = oldest()
    if peer.authorities and not peer.only:
        context_.load_verify_locations(peer.authorities)
    if peer.certificate:
        context_.load_cert_chain(peer.certificate, peer.key or None, password="")  # never prompts
    return context_


def _last_working(host: str, problem: OSError) -> ssl.SSLContext:
    """Returns the last working context, for a renewal that is half done. Raises WrongFiles without
    one.
    """
    if host not in _last:
        folder = os.environ.get("FOREBAY_TLS_PEERS") or os.environ.get("FOREBAY_TLS_CA")
        reason = getattr(problem, "reason", None) or problem.strerror or problem
        raise WrongFiles(f"the files of TLS for {host} in {folder} are wrong: {reason}")
    log.error("TLS to %s: keeps the earlier files: %s", host, problem)
    return _last[host]


def stamp(path: str) -> tuple[int, int, int] | None:
    """Returns what differs once a file has been written anew; None for no file."""
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_ino, stat.st_size
