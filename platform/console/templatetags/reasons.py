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
        # Of adapters: inference/adapters/targets.py
        gettext_noop(
            "no engine of this model can have it: llama.cpp needs a GGUF file, vLLM peft's files"
        ),
        gettext_noop("the version was deleted"),
        gettext_noop("the engines did not load it within %s minutes"),
        gettext_noop("the server of %s did not load it: its log says why"),
        gettext_noop("the server of %s did not load it: %s"),
        gettext_noop(
            "%s is started by its operator: start a server with the adapter, and name the version "
            "in the engine's option `adapters`"
        ),
        gettext_noop("the server with it %s: is it an adapter of this model?"),
        gettext_noop("each engine of this model has room for %s adapters"),
        gettext_noop("a tenant has at most %s adapters on an engine that others share"),
        gettext_noop("engines that others share are replaced %s times an hour: try again then"),
        gettext_noop("an operator ended its loading"),
    ]
)


@register.filter
def in_words(reason: str) -> str:
    """Returns the reason in the reader's language; an unknown one unchanged."""
    return _WORDS.of(reason) or reason
