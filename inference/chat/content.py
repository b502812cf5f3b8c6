"""The content of a message for a model: a text, or parts: images, and one text after them."""

from typing import Any

from inference.engines.base import Engine

IMAGE_TOKENS = 1_500  # of an image; models differ, from 250 to 3,000
Part = dict[str, Any]
Content = str | list[Part]


def of(text: str, images: list[Part]) -> Content:
    """Returns the content. Engines refuse a part with an empty text."""
    if not images:
        return text
    return [*images, {"type": "text", "text": text}] if text else images


def text_in(content: Content) -> str:
    if isinstance(content, str):
        return content
    return "".join(part["text"] for part in content if part["type"] == "text")


def images_in(content: Content) -> list[Part]:
    return [] if isinstance(content, str) else [part for part in content if part["type"] != "text"]


def joined(first: Content, second: Content) -> Content:
    text = "\n\n".join(filter(None, (text_in(first), text_in(second))))
    return of(text, [*images_in(first), *images_in(second)])


def takes_images(engine: Engine) -> bool:
    """Returns whether an image may be sent, by the rules of `/v1`."""
    return engine.capabilities.images and "image_url" in engine.parts


def readable_by(engine: Engine, content: Content) -> Content:
    """Returns the content, without images where the model takes none."""
    return content if takes_images(engine) else text_in(content)
