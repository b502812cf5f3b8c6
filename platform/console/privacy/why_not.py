"""Texts for refusals to decide about somebody's data or access."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from tenants.personal_data.deciding import WhyNot

_TEXTS: dict[WhyNot, Promise] = {
    WhyNot.LEFT_ALREADY: _("They have left already."),
    WhyNot.LAST_OWNER: _("A tenant keeps at least one owner."),
    WhyNot.ABOVE: _("This role may do more than yours: ask an owner."),
    WhyNot.OWN_REQUEST: _("You cannot approve your own request: another person has to."),
}


def refusal_text(refusal: WhyNot) -> str:
    """Returns the reason in the reader's language."""
    return str(_TEXTS[refusal])
