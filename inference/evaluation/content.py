"""The content of a task set: its kind, its options and its items.

The hash of all of it names a version, so that two reports with the same hash had the same tasks.
"""

from hashlib import sha256
from typing import Any, Literal

import msgspec
from django.db import models
from django.utils.translation import gettext_lazy as _

BUCKETS = 100


class Kind(models.TextChoices):
    PERPLEXITY = "perplexity", _("Perplexity of texts")
    CHOICES = "choices", _("Likelihood of choices")
    EXACT = "exact", _("Exact match")
    AGREEMENT = "agreement", _("Agreement of two models")


SCORED = (Kind.PERPLEXITY, Kind.CHOICES)  # these need the likelihood of given texts


class Item(msgspec.Struct, frozen=True, omit_defaults=True):
    """One task. A kind fills in its own fields (inference/evaluation/lines.py)."""

    text: str = ""
    prompt: str = ""
    messages: list[dict[str, str]] = []
    choices: list[str] = []
    right: int = 0  # index of the right choice
    answers: list[str] = []  # any of them is right
    group: str = ""

    @property
    def bucket(self) -> int:
        """Returns a number below BUCKETS that depends on the item alone."""
        return int(sha256(_encoded(self)).hexdigest()[:8], 16) % BUCKETS


class Options(msgspec.Struct, frozen=True, omit_defaults=True):
    """Options of a task set, which are part of its hash.

    `separator` stands between a prompt and each of its choices. `window` is the number of tokens
    that are read together in a text. Items are tests up to `test_percent` of the buckets; the
    others are for development and never asked.
    """

    separator: str = " "
    max_tokens: int = 32
    match: Literal["exact", "relaxed"] = "relaxed"
    window: int = 256
    test_percent: int = BUCKETS


class Content(msgspec.Struct, frozen=True):
    kind: str
    items: list[Item]
    options: Options = Options()

    @property
    def sha256(self) -> str:
        return sha256(_encoded(self)).hexdigest()

    @property
    def test_items(self) -> list[Item]:
        """Returns the items that are asked, in the order of the file."""
        most = self.options.test_percent
        return [item for item in self.items if item.bucket < most]


def packed(content: Content) -> bytes:
    return msgspec.msgpack.encode(content)


def unpacked(data: bytes) -> Content:
    return msgspec.msgpack.decode(data, type=Content)


def _encoded(value: msgspec.Struct) -> bytes:
    return msgspec.json.encode(value, order="sorted")


def as_fields(options: Options) -> dict[str, Any]:
    """Returns all options, also those with their defaults."""
    return msgspec.structs.asdict(options)
