"""Reasons of hand-overs in words."""

from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

REASONS: dict[str, Promise] = {
    "asked": _("The person asked for a human"),
    "taken_over": _("A member took it over"),
    "action_unknown": _("Nobody knows whether an action was done"),
    "action_failed": _("An action failed"),
    "unavailable": _("The assistant's model did not answer"),
    "not_understood": _("The assistant did not understand the person"),
    "not_confirmed": _("The person said neither yes nor no to an action"),
    "rule": _("The assistant's rule for this question"),
    "turn_limit": _("The dialogue took many turns"),
    "not_helped": _("The answers did not help"),
    "not_accepted": _("The person did not accept the answer"),
    "nothing": _("Nothing was found that answers the question"),
    "action_refused": _("A service refused an action"),
}


def reason_text(code: str) -> str:
    """Returns the words of a reason, and the code itself where it has none."""
    return str(REASONS.get(code, code))
