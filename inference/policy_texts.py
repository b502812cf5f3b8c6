"""Problems of a pool's policy in the reader's language; inference/policy.py has them in English."""

from django.utils.translation import gettext_noop

from inference.log_translation import Wordings

_WORDS = Wordings(
    [
        gettext_noop("there is no class %s, only %s"),
        gettext_noop("must be an object"),
        gettext_noop("%s is none of %s"),
        gettext_noop("must be a whole number from 0 to %s"),
        gettext_noop("overflow begins after how many milliseconds of wait?"),
        gettext_noop("all shares together must be at most %s"),
        gettext_noop("%s may hold %s and %s"),
        gettext_noop("%s of %s must be 1 to %s"),
        gettext_noop("%s of %s must be more than 0 and at most %s"),
        gettext_noop("%s of %s must be 0 to %s slots"),
        gettext_noop("%s of %s must be 0 to %s"),
        gettext_noop("it opens and closes at the same time"),
        gettext_noop("its ramp is longer than half of it, or a number is negative"),
        gettext_noop("it has hours, ramp_minutes and outside, not %s"),
        gettext_noop('`hours` must be a text like "22:00-06:00"'),
        gettext_noop("ramp_minutes and outside must be whole numbers"),
        gettext_noop("%s is no time of day like 22:00"),
    ]
)


def in_words(reason: str) -> str:
    """Returns the translated reason; an unknown one unchanged."""
    return _WORDS.of(reason) or reason
