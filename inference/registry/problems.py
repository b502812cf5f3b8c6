"""Problems of an entry in the reader's language. Logs and commands have them in English."""

import re

from django.utils.translation import gettext_noop

from inference.log_translation import Wordings

_WORDS = Wordings(
    [
        gettext_noop("%s must be %s to %s seconds"),
        gettext_noop("model must be 1 to %s printable characters"),
        gettext_noop("%s must be %s to %s"),
        gettext_noop("normal_form must be empty or one of %s"),
        gettext_noop("unknown capability %s; known are %s"),
        gettext_noop("capabilities must be an object like %s"),
        gettext_noop("Expected %s, got %s - at %s"),
        gettext_noop("a name is %s characters too long"),
        gettext_noop("the url must begin with http:// or https:// and name a host"),
        gettext_noop("the url holds a blank, a line break or a character beyond ASCII"),
        gettext_noop("the url must name its host by a name or an address"),
        gettext_noop(
            "the api_key holds a line break or a character beyond ASCII, or a blank at its ends"
        ),
        gettext_noop(
            "an engine's address must not be link-local, multicast or a metadata service's"
        ),
        gettext_noop(
            "its address is outside FOREBAY_INTERNAL_NETWORKS: such an engine must be hosted"
        ),
    ]
)
_ENGINE_NAME = re.compile(r"^engine '[^']*': ")


def in_words(problem: str) -> str:
    """Returns the translated problem; an unknown one unchanged."""
    what = _ENGINE_NAME.sub("", problem)
    return _WORDS.of(what) or problem
