"""Checks the fields of an engine by its kind, with strict types.

Of engines with a server of this platform an operator can only choose a model of the folders in
FOREBAY_MODELS: neither a command nor an argument comes from here. The supervisor starts the server
(config/supervisor/engines/launches.py).
"""

import random
import socket
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import fields
from typing import Any
from uuid import UUID

import msgspec
from django.conf import settings
from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from audit.keys import configuration_secrets
from inference import classes, engine_launch, pool_policy
from inference.engine_entries import HOSTED, MOST_SLOTS, EngineEntry, in_numbers, secret_problem
from inference.engines import built
from inference.engines.base import LONGEST_SILENCE_S, EngineConfig
from inference.log_translation import in_words
from inference.models import Engine, Pool
from inference.models.served import LONGEST_NAME
from infrastructure import networks

_DERIVED = {"name", "id", "seat", "from_file"}  # derived from the model and the engine
KEYS = {field.name for field in fields(EngineConfig)} - _DERIVED
_COLUMNS = {"kind", "url", "api_key", "slots", "auto_slots", "hosted"}
_WAITS = ("silence_s", "stall_s", "first_token_s", "between_tokens_s")
OPTIONS = KEYS - _COLUMNS  # keys without a column of their own
RANGES = {
    "slots": (1, MOST_SLOTS),
    "context_length": (1, 100_000_000),
    "template_tokens": (0, 1_000_000),
    "created": (0, 2**33),
} | dict.fromkeys(_WAITS, (1, int(LONGEST_SILENCE_S)))
LONGEST_MODEL = 500  # may be a path
_PORTS = range(17000, 32000)  # below those of outgoing connections
LAUNCHED_KIND = "llama_cpp"


def check(entry: EngineEntry) -> None:
    """Check an entry. Raises ValueError, in one line."""
    if unknown := sorted(entry.fields.keys() - KEYS):
        raise ValueError(f"engine {entry.engine!r}: there is no key {unknown[0]!r}")
    if long := max((entry.model, entry.pool, entry.engine), key=len)[LONGEST_NAME:]:
        raise ValueError(
            f"engine {entry.engine[:LONGEST_NAME]!r}: a name is {len(long)} characters too long"
        )
    try:
        pool_policy.check(entry.policy, classes.names())
    except pool_policy.BadPolicy as problem:
        raise ValueError(f"pool {entry.pool!r}: {problem}") from None
    if launch := entry.fields.get("launch"):
        _check_launch(entry, launch)
    values = {"name": entry.model, "model": entry.model, **entry.fields}
    try:
        msgspec.convert(values, EngineConfig)
    except msgspec.ValidationError as problem:
        raise ValueError(f"engine {entry.engine!r}: {problem}") from None
    if entry.fields.get("sleeps") and entry.fields["kind"] != "vllm":
        raise ValueError(f"engine {entry.engine!r}: sleeps is for the kind vllm")
    if entry.policy.lending and len(entry.pool) > pool_policy.LONGEST_LENDER:
        most = pool_policy.LONGEST_LENDER
        raise ValueError(f"pool {entry.pool!r}: the name of one that lends has at most {most}")
    if not all(map(_is_id, entry.fields.get("adapters") or ())):
        raise ValueError(f"engine {entry.engine!r}: adapters must be ids of versions")
    if out_of_range := _out_of_range(entry.fields):
        raise ValueError(f"engine {entry.engine!r}: {out_of_range}")
    built(entry)


def _is_id(text: str) -> bool:
    """Returns whether it is a version's id: the name of a file that a server reads."""
    try:
        return str(UUID(text)) == text
    except ValueError:
        return False


def _out_of_range(fields: Mapping[str, Any]) -> str:
    for name, (least, most) in RANGES.items():
        if name in fields and not least <= fields[name] <= most:
            unit = " seconds" if name.endswith("_s") else ""
            return f"{name} must be {least} to {most}{unit}"
    model = fields.get("model", "-")
    if not model.isprintable() or not 0 < len(model.strip()) <= LONGEST_MODEL:
        return f"model must be 1 to {LONGEST_MODEL} printable characters"
    return ""


def _check_launch(entry: EngineEntry, launch: Any) -> None:
    try:
        engine_launch.read(str(entry.fields["kind"]), launch)
        if not entry.fields.get("url"):
            raise ValueError("launch without a url is for `make run`, which chooses a port")
        engine_launch.port_of(entry.fields["url"])
    except ValueError as problem:
        raise ValueError(f"engine {entry.engine!r}: {problem}") from None


def check_fields(
    pool: Pool, name: str, values: Mapping[str, Any], *, checked_launch: Any = None
) -> None:
    """Check the fields of the API or a form for an engine of this name.

    `checked_launch` is one that the engine has already, or a promotion's, whose file may still be
    to come. Raises ValidationError.
    """
    options = values["options"]
    if unknown := sorted(options.keys() - OPTIONS):
        raise ValidationError({"options": _("There is no such option: %s.") % unknown[0]})
    if configuration_secrets.is_encrypted(str(values.get("api_key") or "")):
        raise ValidationError({"api_key": _("Send the key itself: it is stored encrypted.")})
    if problem := secret_problem(str(values.get("api_key") or "")):
        raise ValidationError({"api_key": in_words(problem)})
    if (launch := options.get("launch")) and launch != checked_launch:
        check_launch(str(values["kind"]), launch)
    own = in_numbers({field: value for field, value in values.items() if field != "options"})
    try:
        check(EngineEntry(pool.model.name, pool.name, name, {**options, **own}))
    except ValueError as problem:
        raise ValidationError({"options": in_words(str(problem))}) from None
    hosted = bool(values.get("hosted")) or str(values["kind"]) in HOSTED
    if reason := networks.url_refusal_reason(str(values["url"]), hosted=hosted):
        raise ValidationError({"url": in_words(reason)})


def check_launch(kind: str, launch: Any) -> None:
    """Raises ValidationError for settings that are reserved for FOREBAY_ENGINES."""
    if kind != LAUNCHED_KIND or not isinstance(launch, dict) or launch.keys() != {"model"}:
        raise ValidationError(
            {
                "options": _(
                    "Here, launch takes a model alone, and the kind llama_cpp. What runs a "
                    "command on the machine has to stand in FOREBAY_ENGINES."
                )
            }
        )
    try:
        engine_launch.model_file(settings.MODEL_FOLDERS, str(launch["model"]))
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
    completed["url"] = engine_launch.url_of(str(completed.get("kind")), _free_port())
    completed["api_key"] = engine_launch.api_key(_secret(), name)
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
            probe.bind((engine_launch.HOST, port))
        except OSError:
            return False
    return True
