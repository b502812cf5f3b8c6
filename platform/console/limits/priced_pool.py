"""The check that the pool of a price belongs to the model of that price."""

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from inference.models import Pool


def check_pool(model: str, pool: str) -> str:
    """Returns the name of the pool, which may not exist yet. Raises ValidationError."""
    row = Pool.objects.select_related("model").filter(name=pool.strip()).first()
    if row and row.model.name != model.strip():
        raise ValidationError(_("This pool is of the model %(name)s.") % {"name": row.model.name})
    return pool.strip()
