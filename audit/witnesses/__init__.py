"""Kinds of witnesses by the scheme of their URL; each kind is one file.

Each takes a URL and checkpoints, one JSON text each, in order. Raises OSError or ValueError.
"""

from collections.abc import Callable

from audit.witnesses import file, syslog, webhook

KINDS: dict[str, Callable[[str, list[bytes]], None]] = {
    "file": file.hear,
    "http": webhook.hear,
    "https": webhook.hear,
    "syslog": syslog.hear,
    "syslog+tcp": syslog.hear,
    "syslog+tls": syslog.hear,
}
