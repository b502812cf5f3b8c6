"""Evidence of an erasure in the reader's language: counts of each store, notified recipients."""

from typing import Any

from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, pgettext_lazy

_NAMES: dict[str, Promise] = {
    "accounts": gettext_lazy("Accounts closed"),
    "action_calls": gettext_lazy("Calls of actions"),
    "answers": gettext_lazy("Idempotent replies"),
    "batches": gettext_lazy("Batches"),
    "cancelled": gettext_lazy("Requests cancelled"),
    "contests": gettext_lazy("Contests"),
    "conversations": gettext_lazy("Conversations"),
    "data_set_versions": gettext_lazy("Versions of data sets"),
    "decisions": gettext_lazy("Decisions"),
    "dialogues": gettext_lazy("Dialogues"),
    "emptied": gettext_lazy("Versions emptied"),
    "evaluations": gettext_lazy("Evaluations"),
    "explanations": gettext_lazy("Explanations"),
    "exports": gettext_lazy("Exports"),
    "files": gettext_lazy("Files"),
    "held": gettext_lazy("Versions on legal hold"),
    "history": gettext_lazy("Past requests without their owner"),
    "jobs": gettext_lazy("Jobs"),
    "kept_answers": gettext_lazy("Answer cache"),
    "keys": gettext_lazy("Keys"),
    "marked": gettext_lazy("Models marked"),
    "members": gettext_lazy("Members"),
    "messages": gettext_lazy("Messages"),
    "models": gettext_lazy("Models marked"),
    "people": gettext_lazy("People known by reference"),
    "policy_evaluations": gettext_lazy("Evaluations of policies"),
    "recipients": gettext_lazy("Recipients"),
    "refusals": gettext_lazy("Refusals"),
    "removed": gettext_lazy("Memberships and keys removed"),
    "responses": gettext_lazy("Stored responses"),
    "rows": gettext_lazy("Rows"),
    "sessions": gettext_lazy("Sessions of clients"),
    "streams": gettext_lazy("Resumable streams"),
    "texts": gettext_lazy("Texts"),
    "told": pgettext_lazy("of recipients", "Notified"),
}
_HOW: dict[str, Promise] = {
    "webhook": gettext_lazy("by webhook"),
    "log": gettext_lazy("in the file of recipients"),
}
NOBODY = "none"  # there was no recipient to notify


def shown(evidence: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns names and values as a page shows them; unknown names stay as they are."""
    return [(str(_NAMES.get(name, name)), _value(name, value)) for name, value in evidence.items()]


def _value(name: str, value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(_notice(entry) for entry in value) or "–"
    if name == "told" and value == NOBODY:
        return _("no notice needed")
    return f"{value:,}" if isinstance(value, int) else str(value)


def _notice(entry: Any) -> str:
    if not isinstance(entry, dict):
        return str(entry)
    how = _HOW.get(entry["told"], entry["told"])
    return f"{entry['recipient']} ({how}, {entry['at'][:16]})"
