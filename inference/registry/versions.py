"""The fields of an engine's new version: those of the operator, else those of the old one."""

import re
from collections.abc import Mapping
from typing import Any
from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from inference.engine_entries import AUTO, in_numbers, name_problem, version_problem
from inference.models import Engine
from inference.models.served import LONGEST_NAME, encrypted
from inference.registry.checking import check_fields, with_server

_NUMBERED = re.compile(r"(.+)\.v(\d{1,9})")
_SAME = ("kind", "url", "hosted")


def proposed(
    engine: Engine, changes: Mapping[str, Any], *, promoted: UUID | None = None
) -> tuple[str, dict[str, Any]]:
    """Returns a free name and all fields. `changes` are an engine's fields, `name` and `version`.

    Options are added to those of the old one; null removes one. `promoted` is the registry's
    version that is to serve, whose launch was checked. Raises ValidationError.
    """
    version = str(changes.get("version") or "")
    name = str(changes.get("name") or _free_name(engine.name, version))
    if problem := name_problem(name):
        raise ValidationError({"name": problem})
    as_before = {field: getattr(engine, field) for field in _SAME}
    as_before["slots"] = AUTO if engine.auto_slots else engine.slots
    values = {field: changes.get(field, before) for field, before in as_before.items()}
    fields = dict(in_numbers(values, engine.slots))
    fields["options"] = _options(engine, changes) | {
        "version": version or name.rpartition(".")[2][-60:]
    }
    _refuse_the_same(engine, fields["options"]["version"])
    launch, before = fields["options"].get("launch"), engine.options.get("launch")
    if promoted or (launch and launch == before):
        fields["model_version_id"] = promoted or engine.model_version_id
    if launch:
        checked = launch if promoted else before
        return name, _launched(engine, name, fields, changes, checked)
    values = {field: value for field, value in fields.items() if field != "model_version_id"}
    check_fields(engine.pool, name, values)
    return name, {**fields, "api_key": _api_key(engine, changes, fields["url"])}


def _refuse_the_same(engine: Engine, version: str) -> None:
    """Refuse the same version: one of them could continue an answer that the other began."""
    if version == engine.options.get("version"):
        message = _("The old one is this version already: call the new one otherwise.")
        raise ValidationError({"version": message})


def _options(engine: Engine, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the options. With a new address, which is another server's, `launch` is dropped."""
    before = {n: v for n, v in engine.options.items() if n != "launch" or not changes.get("url")}
    options = {**before, **changes.get("options", {})}
    return {name: value for name, value in options.items() if value is not None}


def _launched(
    engine: Engine, name: str, fields: dict[str, Any], changes: Mapping[str, Any], checked: Any
) -> dict[str, Any]:
    others = {n: v for n, v in fields.items() if n != "url"}
    own = {n: changes[n] for n in ("url", "api_key") if changes.get(n)}
    completed = with_server(name, {**others, **own})
    values = {field: value for field, value in completed.items() if field != "model_version_id"}
    check_fields(engine.pool, name, values, checked_launch=checked)
    api_key = encrypted(completed["api_key"], engine.pool.name, completed["url"])
    return {**completed, "api_key": api_key}


def _api_key(engine: Engine, changes: Mapping[str, Any], url: str) -> str:
    """Returns the key. The old one's is not sent to another server, which could reveal it."""
    if "api_key" in changes:
        return encrypted(changes["api_key"], engine.pool.name, url)
    engine.refuse_key_for_other_host(url)
    return engine.api_key


def _free_name(engine: str, version: str) -> str:
    """Returns `gpu-1.v2` for `gpu-1`, then `gpu-1.v3`; with a version `gpu-1.<version>`."""
    numbered = _NUMBERED.fullmatch(engine)
    stem, number = (numbered[1], int(numbered[2])) if numbered else (engine, 1)
    if version:
        if problem := version_problem(version):
            raise ValidationError({"version": problem})
        return f"{stem}.{version}"
    names = set(Engine.objects.filter(name__startswith=stem).values_list("name", flat=True))
    while (name := f"{stem[: LONGEST_NAME - 12]}.v{number + 1}") in names:
        number += 1
    return name
