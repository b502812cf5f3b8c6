"""Engines with a server of this platform that an operator adds at runtime.

An operator can only choose a model of the folders in FOREBAY_MODELS: neither a command nor an
argument comes from here. The supervisor starts the server (config/supervisor/engines/launches.py).
"""

import random
import socket
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from inference import launching
from inference.models import Engine

_PORTS = range(17000, 32000)  # below those of outgoing connections
KIND = "llama_cpp"


def check_launch(kind: str, launch: Any) -> None:
    """Raises ValidationError for settings that are reserved for FOREBAY_ENGINES."""
    if kind != KIND or not isinstance(launch, dict) or launch.keys() != {"model"}:
        raise ValidationError(
            {
                "options": _(
                    "Here, launch takes a model alone, and the kind llama_cpp. What runs a "
                    "command on the machine has to stand in FOREBAY_ENGINES."
                )
            }
        )
    try:
        launching.model_file(settings.MODEL_FOLDERS, str(launch["model"]))
    except ValueError as problem:
        raise ValidationError({"options": str(problem)}) from None


def with_server(name: str, fields: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the fields, with address and key if there is `launch`. Raises ValidationError."""
    completed = dict(fields)
    if not completed.get("options", {}).get("launch"):
        if not completed.get("url"):
            raise ValidationError({"url": _("An engine needs an address.")})
        return completed
    if completed.get("url") or completed.get("api_key"):
        raise ValidationError(
            {"url": _("A server that Forebay starts gets its address and its key from Forebay.")}
        )
    completed["url"] = launching.url_of(str(completed.get("kind")), _free_port())
    completed["api_key"] = launching.api_key(_secret(), name)
    return completed


def _secret() -> bytes:
    """Returns the host's secret of engine keys. Several hosts have different ones."""
    with suppress(OSError):
        if not settings.SEVERAL_HOSTS:
            return bytes(settings.ENGINE_KEYS_FILE.read_bytes().strip())
    message = _("No `make run` on this machine could start a server: give an address.")
    raise ValidationError({"options": message})


def _free_port() -> int:
    urls = set(Engine.objects.values_list("url", flat=True))
    for port in random.sample(_PORTS, 200):
        if not any(f":{port}" in url for url in urls) and _is_free(port):
            return port
    raise ValidationError({"url": _("There is no free port.")})


def _is_free(port: int) -> bool:
    with socket.socket() as probe:
        try:
            probe.bind((launching.HOST, port))
        except OSError:
            return False
    return True
