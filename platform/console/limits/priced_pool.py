"""A price of a model in one pool: the pool has to be the model's, if there is one of that name."""

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from inference.models import Pool


def check_pool(model: str, pool: str) -> str:
    """A price may be set before its pool is there. Raises ValidationError."""
    found = Pool.objects.select_related("model").filter(name=pool.strip()).first()
    if found and found.model.name != model.strip():
        raise ValidationError(_("This pool is of the model %(name)s.") % {"name": found.model.name})
    return pool.strip()
