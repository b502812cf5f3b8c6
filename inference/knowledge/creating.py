"""Creates knowledge bases: of a model that makes embeddings, in a PostgreSQL with vectors."""

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from inference.engines import is_open_to, served
from inference.intake.access.allowed import behind
from inference.knowledge import vectors
from inference.models import KnowledgeBase
from tenants.models import Tenant


def create(tenant: Tenant, name: str, model: str, *, by: str) -> KnowledgeBase:
    """Create a base. Raises ValidationError, NoVectors.

    An alias is followed once: what it stands for later would make other vectors.
    """
    vectors.check()
    own = behind(tenant.id, model)
    engine = served().get(own)
    if engine is None or not is_open_to(tenant.id, own):
        raise ValidationError({"model": _("This model is not served to the tenant.")})
    if not engine.capabilities.embeddings:
        raise ValidationError({"model": _("This model makes no embeddings.")})
    return KnowledgeBase.create(tenant, name, own, by=by)


def models_for(tenant: Tenant) -> list[str]:
    """Returns the names of the tenant's models that make embeddings alone, then all others."""
    names = [name for name, engine in served().items() if engine.capabilities.embeddings]
    own = [name for name in names if is_open_to(tenant.id, name)]
    return sorted(own, key=lambda name: (served()[name].capabilities.text, name))
