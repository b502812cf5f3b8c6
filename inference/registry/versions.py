"""What a new version of an engine is to be: what the operator says, else as the old one is."""

import re
from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from audit.keys.configuration import origin
from inference.models import Engine
from inference.models.served import LONGEST_NAME, encrypted
from inference.pools import AUTO, in_numbers, name_problem, version_problem
from inference.registry.checking import check_given
from inference.registry.launched import with_server

_NUMBERED = re.compile(r"(.+)\.v(\d{1,9})")
_SAME = ("kind", "url", "hosted")


def proposed(engine: Engine, given: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    """A name that is free, and all fields. `given`: those of an engine, `name` and `version`.

    Options are added to those of the old one; one that is null is left out. Raises ValidationError.
    """
    version = str(given.get("version") or "")
    name = str(given.get("name") or _free_name(engine.name, version))
    if problem := name_problem(name):
        raise ValidationError({"name": problem})
    as_before = {field: getattr(engine, field) for field in _SAME} | _slots(engine)
    wanted = {field: given.get(field, before) for field, before in as_before.items()}
    fields = dict(in_numbers(wanted, engine.slots))
    fields["options"] = _options(engine, given) | {"version": version or _last_part(name)}
    _refuse_the_same(engine, fields["options"]["version"])
    if fields["options"].get("launch"):
        return name, _launched(engine, name, fields, given)
    check_given(engine.pool, name, fields)
    return name, {**fields, "api_key": _api_key(engine, given, fields["url"])}


def _slots(engine: Engine) -> dict[str, Any]:
    return {"slots": AUTO if engine.auto_slots else engine.slots}


def _refuse_the_same(engine: Engine, version: str) -> None:
    """Or what one of them had begun could be gone on with by the other."""
    if version == engine.options.get("version"):
        message = _("The old one is this version already: call the new one otherwise.")
        raise ValidationError({"version": message})


def _options(engine: Engine, given: Mapping[str, Any]) -> dict[str, Any]:
    """A new address is that of another server: the old one's `launch` does not go with it."""
    before = {n: v for n, v in engine.options.items() if n != "launch" or not given.get("url")}
    options = {**before, **given.get("options", {})}
    return {name: value for name, value in options.items() if value is not None}


def _launched(
    engine: Engine, name: str, fields: dict[str, Any], given: Mapping[str, Any]
) -> dict[str, Any]:
    """A server of ours, with an address and a key of its own."""
    asked = {n: v for n, v in fields.items() if n != "url"}
    own = {n: given[n] for n in ("url", "api_key") if given.get(n)}
    found = with_server(name, {**asked, **own})
    check_given(engine.pool, name, found)
    return {**found, "api_key": encrypted(found["api_key"], engine.pool.name, found["url"])}


def _api_key(engine: Engine, given: Mapping[str, Any], url: str) -> str:
    """The old one's is not sent to another server: nobody is shown it."""
    if "api_key" in given:
        return encrypted(given["api_key"], engine.pool.name, url)
    if engine.api_key and origin(url) != origin(engine.url):
        message = _("Send the key of the new address, or an empty one.")
        raise ValidationError({"api_key": message})
    return engine.api_key


def _free_name(engine: str, version: str) -> str:
    """`gpu-1` becomes `gpu-1.v2`, then `gpu-1.v3`; with a version of one's own, `gpu-1.<that>`."""
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


def _last_part(name: str) -> str:
    """As a version where none is given."""
    return name.rpartition(".")[2][-60:]
