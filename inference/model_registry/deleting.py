"""Deletes versions and their files.

A file leaves the store once no version of its owner has it. Both are decided under the owner's lock
(`lock_registry`), under which new versions claim their files.
"""

from functools import partial

from django.core.exceptions import ValidationError
from django.db import transaction
from django.utils.translation import gettext as _

from audit.retention import legal_hold
from inference.model_registry.opening import remove_copy
from inference.model_registry.registering import scope_of
from inference.model_registry.storage import store
from inference.models import AdapterPromotion, Job, ModelFile, ModelVersion
from inference.models.model_version import lock_registry


def delete(version: ModelVersion, *, by: str) -> None:
    """Delete a version with its files, in its owner's scope.

    Raises ValidationError while something uses it, and OnHold under a hold of the whole tenant.
    """
    with transaction.atomic():
        if version.tenant_id:  # a hold of a person covers no version: it is nobody's own text
            legal_hold.refuse_if_held(version.tenant_id, version.pk)
        _refuse_used(version)
        version.delete_files(by=by)
        # What fails here, `tidying.give_up` does within the hour.
        transaction.on_commit(partial(remove_files, version), robust=True)


def _refuse_used(version: ModelVersion) -> None:
    if present := user(version):
        raise ValidationError(_("It is in use: %s.") % present)


def user(version: ModelVersion) -> str:
    """Returns an engine, an adapter or a job that uses the version; "" if nobody does.

    What a job makes of a version that is gone could not be registered.
    """
    adapters = AdapterPromotion.objects.wanted().filter(version=version)
    names = (row.adapter.model for row in adapters.select_related("adapter")[:1])
    jobs = (job.public_id for job in Job.objects.unfinished().of_version(version)[:1])
    return next(iter((*version.engine_names, *names, *jobs)), "")


def remove_files(version: ModelVersion) -> None:
    """Remove the files of a deleted or failed version from the store and from this host."""
    with scope_of(version.tenant_id):
        lock_registry(version.tenant_id)
        files = ModelFile.objects.filter(tenant=version.tenant_id)
        present = ModelVersion.objects.of(version.tenant_id).present()
        wanted = set(files.filter(version__in=present).values_list("sha256", flat=True))
        own = files.filter(version=version)
        for digest in set(own.values_list("sha256", flat=True)) - wanted:
            store().delete(version.owner, digest)
        own.delete()
    remove_copy(version.pk)
