"""What is wrong with an entry, in the reader's language; logs and commands say it in English."""

import re

from django.utils.translation import gettext_noop

from inference.translating import Wordings

_WORDS = Wordings(
    [
        gettext_noop("slots must be 1 to %s"),
        gettext_noop("silence_s must be 1 to %s seconds"),
        gettext_noop("stall_s must be 1 to %s seconds"),
        gettext_noop("first_token_s must be 1 to %s seconds"),
        gettext_noop("between_tokens_s must be 1 to %s seconds"),
        gettext_noop("normal_form must be empty or one of %s"),
        gettext_noop("unknown capability %s; known are %s"),
        gettext_noop("capabilities must be an object like %s"),
        gettext_noop("Expected %s, got %s - at %s"),
        gettext_noop("a name is %s characters too long"),
        gettext_noop("the url must begin with http:// or https:// and name a host"),
    ]
)
_WHOSE = re.compile(r"^engine '[^']*': ")


def in_words(problem: str) -> str:
    """Unchanged where nobody has foreseen it."""
    what = _WHOSE.sub("", problem)
    return _WORDS.of(what) or problem
