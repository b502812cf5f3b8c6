"""Pieces of an upload: what a body has of one, and the act that adds it."""

import base64
import binascii
from typing import Any

from django.utils.translation import gettext as _
from rest_framework import serializers as s
from rest_framework.response import Response

from console.api.problem import bad_request
from console.api.strict_input import Shape

LARGEST_PIECE = 700_000  # bytes; base64 and the JSON around it stay under 1 MiB


class PieceShape(Shape):
    number = s.IntegerField(min_value=0, max_value=2**31 - 1, help_text="From 0, in order.")
    content = s.CharField(max_length=2**20, help_text=f"Base64 of {LARGEST_PIECE} bytes at most.")


def add_piece(view: Any, uploading: Any) -> Response:
    """Add the piece of the body to the row of the path. Raises Problem."""
    row, fields = view.row(), view.body()
    try:
        uploading.add_piece(row, fields["number"], _decoded(fields["content"]))
    except uploading.WrongPiece as wrong:
        text = _("The next piece is number %d.") % wrong.expected
        raise bad_request({"number": [text]}) from None
    response: Response = view.respond(row)
    return response


def _decoded(text: str) -> bytes:
    """Raises Problem."""
    try:
        content = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise bad_request({"content": [_("This is not base64.")]}) from None
    if not content or len(content) > LARGEST_PIECE:
        raise bad_request({"content": [_("A piece has 1 to %d bytes.") % LARGEST_PIECE]})
    return content
