"""The limits of a pool's queue in words: each that has been set, even to 0."""

from collections.abc import Mapping
from typing import Any

from django.utils.translation import gettext as _
from django.utils.translation import gettext_noop

from inference.policy import LIMITS

_WORDS = {
    "waiting": gettext_noop("%(n)s requests waiting"),
    "wait_s": gettext_noop("%(n)s s of wait"),
    "share": gettext_noop("share %(n)s"),
    "share_after_s": gettext_noop("share after %(n)s s without a turn"),
    "ageing_s": gettext_noop("one class higher each %(n)s s without a turn"),
    "reserved": gettext_noop("%(n)s slots kept free"),
    "headroom": gettext_noop("%(n)s slots kept free while it comes"),
    "lower_slots": gettext_noop("%(n)s slots for lower classes while it comes"),
    "reserved_vip": gettext_noop("%(n)s slots for VIPs alone"),
}


def limit_words(limits: Mapping[str, Mapping[str, Any]]) -> list[tuple[str, list[str]]]:
    """Returns the words of each class."""
    return [(name, _words(limit)) for name, limit in limits.items()]


def _words(limit: Mapping[str, Any]) -> list[str]:
    names = (name for name in LIMITS if name in limit)
    return [_(_WORDS[name]) % {"n": f"{limit[name]:,}"} for name in names]
