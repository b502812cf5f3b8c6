"""Texts for refusals to decide about somebody's data or access."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tenants.personal_data.deciders import RefusalReason

_TEXTS: dict[RefusalReason, Promise] = {
    RefusalReason.LEFT_ALREADY: _("They have left already."),
    RefusalReason.NO_MEMBER: _("They are no member: there is nothing to leave or to delete."),
    RefusalReason.LAST_OWNER: _("A tenant keeps at least one owner."),
    RefusalReason.ABOVE: _("This role may do more than yours: ask an owner."),
    RefusalReason.OWN_REQUEST: _("You cannot approve your own request: another person has to."),
}


def refusal_text(refusal: RefusalReason | None) -> str:
    """Returns the reason in the reader's language, "" if there is none."""
    return str(_TEXTS[refusal]) if refusal else ""
