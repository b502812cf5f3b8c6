"""Promotes a version: an engine that serves it takes another's place (inference/replacing).

The roll-back is the replacement's own. A server of this machine starts once the driver has made a
copy of the files (`make_copy`).
"""

from collections.abc import Mapping
from typing import Any

from django.core.exceptions import ValidationError
from django.db import transaction
from django.db.models import F
from django.utils.translation import gettext as _

from audit.actions import Action
from inference import engine_launch
from inference.model_registry import gates
from inference.model_registry.manifest import Tampered
from inference.model_registry.opening import NoRoom, NotThere, local_copy
from inference.models import Engine, ModelVersion, Replacement, VersionKind, VersionState
from inference.registry.versions import proposed
from infrastructure.objects.content import Damaged
from infrastructure.objects.place import StoreError

COPY_PROBLEMS = (NotThere, NoRoom, Tampered, Damaged, StoreError, OSError)
SERVABLE = (VersionKind.BASE, VersionKind.FULL, VersionKind.QUANTISED, VersionKind.DISTILLED)


def promote(
    version: ModelVersion,
    engine: Engine,
    *,
    by: str,
    changes: Mapping[str, Any] | None = None,
    **switch_options: Any,
) -> Replacement:
    """Begin to switch an engine to a version. Runs in the system's scope.

    `changes` are fields of the new engine as `proposed` takes them, such as the url of a server
    that has the version already. Without a url, the server is one that Forebay starts here. Raises
    GateRefused and ValidationError.
    """
    _refuse_unservable(version, engine)
    gates.check(version, engine, by=by)
    wanted = {**(changes or {}), "version": version.label}
    if not wanted.get("url"):
        wanted["options"] = {**wanted.get("options", {}), "launch": _launch(version, engine)}
    name, fields = proposed(engine, wanted, promoted=version.pk)
    with transaction.atomic():
        replacement = Replacement.begin(engine, name, fields, by=by, **switch_options)
        names = {"engine": engine.name, "new": name, "pool": engine.pool.name}
        version.record(Action.MODEL_VERSION_PROMOTE, by, **names)
    return replacement


def _refuse_unservable(version: ModelVersion, engine: Engine) -> None:
    if version.state != VersionState.READY:
        raise ValidationError({"version": _("The version is not ready.")})
    if version.kind not in SERVABLE:
        raise ValidationError({"version": _("A version of this kind serves no requests alone.")})
    if version.tenant_id and version.tenant_id != engine.pool.model.only_for:
        raise ValidationError(
            {
                "version": _(
                    "It is a tenant's own: it serves in a model that is open to that tenant alone."
                )
            }
        )


def _launch(version: ModelVersion, engine: Engine) -> dict[str, str]:
    """Returns the launch of a server of this machine. Raises ValidationError."""
    if not engine.launched or version.format != "gguf":
        message = _("Give the address of a server that serves this version.")
        raise ValidationError({"url": message})
    files = version.files.filter(name__endswith=".gguf").values_list("name", flat=True)
    if len(files) != 1:
        raise ValidationError({"version": _("A server is started for one GGUF file alone.")})
    return {"model": engine_launch.registry_name(str(version.pk), files[0])}


def is_of_registry(engine: Engine) -> bool:
    """Returns whether a server of this machine needs a copy of a version."""
    launch = engine.options.get("launch") or {}
    return engine_launch.is_of_registry(str(launch.get("model", "")))


def make_copy(engine: Engine) -> None:
    """Bring the files of a promoted version here, and have the supervisor look at its engine.

    Raises what `local_copy` raises.
    """
    assert engine.model_version_id
    local_copy(ModelVersion.objects.get(pk=engine.model_version_id))
    Engine.objects.filter(pk=engine.pk).update(staged=F("staged"))  # a trigger announces it
