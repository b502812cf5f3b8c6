"""Checks before it is sent that a question with its files fits into a model's context."""

import math

import msgspec
from django.utils.translation import gettext as _

from inference.chat import content, prompt
from inference.chat.attachments.words import refused
from inference.chat.content import Content
from inference.chat.problems import ChatRefused
from inference.chat.prompt import Earlier
from inference.engines.base import Engine


class Fit(msgspec.Struct, frozen=True):
    """Estimated tokens of a question with its files. `text` says it to a person."""

    fits: bool
    tokens: int
    text: str


def check(engine: Engine, model: str, earlier: Earlier, question: Content) -> None:
    """Check a question with files as it is sent. Raises ChatRefused."""
    images = bool(content.images_in(question))
    _check(engine, model, earlier, prompt.content_tokens(question), has_images=images)


def fit(engine: Engine, model: str, earlier: Earlier, tokens: float, *, has_images: bool) -> Fit:
    """Returns what `check` says of so many estimated tokens, and what is left of the context."""
    counted = math.ceil(tokens * earlier.scale)
    try:
        _check(engine, model, earlier, tokens, has_images=has_images)
    except ChatRefused as refusal:
        return Fit(False, counted, refusal.problem.text if refusal.problem else "")
    return Fit(True, counted, _room_text(engine, earlier, tokens, counted))


def _check(
    engine: Engine, model: str, earlier: Earlier, tokens: float, *, has_images: bool
) -> None:
    if has_images and not content.takes_images(engine):
        raise refused("no_images", model=model)
    over = tokens - _room(earlier, engine)
    if over > 0:
        raise refused("does_not_fit", over=f"{math.ceil(over * earlier.scale):,}", model=model)


def _room(earlier: Earlier, engine: Engine) -> float:
    return prompt.question_room(earlier, engine)


def _room_text(engine: Engine, earlier: Earlier, tokens: float, counted: int) -> str:
    before = sum(prompt.content_tokens(message["content"]) for message in earlier.messages)
    remaining = math.floor((_room(earlier, engine) - tokens - before) * earlier.scale)
    if remaining >= 0:
        text = _("About %(tokens)s tokens; %(left)s are left for this conversation.")
        return text % {"tokens": f"{counted:,}", "left": f"{remaining:,}"}
    text = _("About %(tokens)s tokens; the oldest messages are left out to make room for them.")
    return text % {"tokens": f"{counted:,}"}
