"""Why a build or a trial failed, and what to do, in words of the reader's language."""

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

_WORDS: dict[str, Promise] = {
    "access_revoked": gettext_lazy(
        "The key or member who asked for the build has lost access. Build it again yourself."
    ),
    "tenant_closed": gettext_lazy("The tenant is closed."),
    "model_not_found": gettext_lazy(
        "The embedding model is not served to this tenant. Write a version that names another, "
        "or ask an operator for this one."
    ),
    "limit_reached": gettext_lazy(
        "The examples never fit into the limits of whoever asked for the build. Raise the limit "
        "of tokens per minute, or build it with another key."
    ),
    "interrupted": gettext_lazy("The build broke off several times. Build it again."),
    "useless_vectors": gettext_lazy(
        "The embedding model gave vectors without a direction. Name another model."
    ),
    "spec_gone": gettext_lazy("Its content cannot be read: the tenant's key was destroyed."),
    "not_built": gettext_lazy("It is not built: its examples are not learnt yet."),
    "model_busy": gettext_lazy("The embedding model has no room right now. Try again."),
    "other_vectors": gettext_lazy(
        "The embedding model gives other vectors than at the build. Build the version again."
    ),
}


def problem_words(code: str) -> str:
    """Returns a sentence about an error code; "" for ""."""
    if not code:
        return ""
    text = _WORDS.get(code)
    return str(text) if text else _("The embedding model refused the examples (%s).") % code
