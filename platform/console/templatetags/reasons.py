"""The reason for the state of an engine or breaker, in the reader's language.

Engines, breakers and logs give it in English (`inference/engines/transport/failure_reason.py`,
`EngineFailed.cause`).
"""

from django import template
from django.utils.translation import gettext_noop

from inference.log_translation import Wordings

register = template.Library()
_WORDS = Wordings(
    [
        gettext_noop("it answered %s"),
        gettext_noop("it gives no answer: the log of the process that asked says more"),
        gettext_noop(
            "an engine's address must not be link-local, multicast or a metadata service's"
        ),
        gettext_noop(
            "its address is outside FOREBAY_INTERNAL_NETWORKS: such an engine must be hosted"
        ),
        gettext_noop("it broke off an answer"),
        gettext_noop("it did not answer in time"),
        gettext_noop("it did not answer within %s s"),
        gettext_noop("it holds connections and says nothing"),
        gettext_noop("it says that it is in trouble"),
        gettext_noop("its certificate is not accepted: %s"),
        gettext_noop("no connection: connection refused"),
        gettext_noop("no connection: timed out"),
        gettext_noop("no connection: %s"),
        gettext_noop("no TLS: %s"),
        gettext_noop("the probe was answered"),
        gettext_noop("one request is let through"),
        gettext_noop("an operator"),
    ]
)


@register.filter
def in_words(reason: str) -> str:
    """Returns the reason in the reader's language; an unknown one unchanged."""
    return _WORDS.of(reason) or reason
