"""Kinds of witnesses by the scheme of their URL; each kind is one file."""

from collections.abc import Callable
from typing import Any

from audit.witnesses.file import File
from audit.witnesses.syslog import Syslog
from audit.witnesses.webhook import Webhook

KINDS: dict[str, Callable[[str], Any]] = {
    "file": File,
    "http": Webhook,
    "https": Webhook,
    "syslog": Syslog,
    "syslog+tcp": Syslog,
    "syslog+tls": Syslog,
}
