"""Composes what a model reads of a question: its files first, then its own text."""

from base64 import b64encode
from collections.abc import Iterable
from html import escape

from inference.chat import content
from inference.chat.attachments.encryption import content_of, name_of
from inference.chat.content import Content, Part
from inference.models import Attachment

_END = "</file>"


def composed(text: str, attachments: Iterable[Attachment]) -> Content:
    """Returns the content of a message. Raises Unreadable, MasterKeyUnavailable."""
    words, images = list[str](), list[Part]()
    for attachment in attachments:
        if attachment.media_type:
            images.append(_image(attachment))
        else:
            words.append(_document(attachment))
    return content.of("\n\n".join(filter(None, [*words, text])), images)


def _document(attachment: Attachment) -> str:
    """Returns its text between marks, which it cannot end itself."""
    text = content_of(attachment).decode().replace(_END, "</ file>")
    return f'<file name="{escape(name_of(attachment))}">\n{text}\n{_END}'


def _image(attachment: Attachment) -> Part:
    encoded = b64encode(content_of(attachment)).decode()
    url = f"data:{attachment.media_type};base64,{encoded}"
    return {"type": "image_url", "image_url": {"url": url}}
