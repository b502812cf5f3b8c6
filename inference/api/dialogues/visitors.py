"""Visitors of a tenant's pages: a widget key gives one a token for some minutes.

The token is signed, and says which key gave it to whom, on which origin. It is asked for anew with
the last one, which keeps the visitor the same person. Its key is looked up for each request, so
that a revoked key closes all its widgets at once.
"""

from dataclasses import dataclass
from uuid import UUID, uuid4

from django.core import signing

from inference.errors import Forbidden, Unauthorized
from inference.models import WidgetKey
from inference.models.assistants.widget_key import WidgetKeyQuerySet
from tenants.models import Person
from tenants.scope import system_scope

PREFIX = "vt-fb-"
LIVES_S, RENEWS_S = 30 * 60, 24 * 3600  # a token opens, and can be renewed, for so long
_SALT = "forebay.widget"
REFERENCE = "visitor:"  # of a person who is known by their token alone


@dataclass(frozen=True, slots=True)
class Visitor:
    key: WidgetKey
    id: UUID
    origin: str

    def token(self) -> str:
        content = {"k": self.key.pk.hex, "v": self.id.hex, "o": self.origin}
        return PREFIX + signing.dumps(content, salt=_SALT)

    def person(self) -> Person:
        """Returns the person, in the tenant's scope; made with their first dialogue."""
        return Person.objects.of(self.key.tenant_id, REFERENCE + self.id.hex)

    def known_person(self) -> Person | None:
        return Person.objects.known(self.key.tenant_id, REFERENCE + self.id.hex)


def admitted(key_text: str, origin: str, token: str) -> Visitor:
    """Returns the visitor who gets a token: the one of an earlier token, else a new one.

    Raises Unauthorized, Forbidden.
    """
    with system_scope():  # nobody knows yet whose key it is
        key = _keys().filter(text=key_text).first()
    if key is None or key.api_key is None:
        raise Unauthorized("this widget key is unknown or revoked", code="invalid_widget_key")
    _check_origin(key, origin)
    earlier = _content(token, RENEWS_S) if token else None
    same = earlier is not None and (earlier["k"], earlier["o"]) == (key.pk.hex, origin)
    return Visitor(key, UUID(earlier["v"]) if earlier and same else uuid4(), origin)


def of_token(token: str, origin: str) -> Visitor:
    """Returns the visitor of a request. Raises Unauthorized, Forbidden."""
    content = _content(token, LIVES_S)
    if content is None:
        text = "this visitor's token has expired; ask for a new one with it"
        raise Unauthorized(text, code="visitor_token_expired")
    with system_scope():
        key = _keys().filter(pk=UUID(content["k"])).first()
    if key is None or key.api_key is None:
        raise Unauthorized("the widget key has been revoked", code="invalid_widget_key")
    if content["o"] != origin:
        raise Forbidden("this token is for pages of another origin", code="origin_not_allowed")
    _check_origin(key, origin)
    return Visitor(key, UUID(content["v"]), origin)


def _keys() -> WidgetKeyQuerySet:
    return WidgetKey.objects.live().select_related("api_key", "tenant")


def _check_origin(key: WidgetKey, origin: str) -> None:
    if origin not in key.origins:
        text = f"pages of {origin[:200] or 'no origin'} may not use this widget key; add the origin"
        raise Forbidden(f"{text} to the key in the console", code="origin_not_allowed")


def _content(token: str, most_age_s: int) -> dict[str, str] | None:
    try:
        content = signing.loads(token.removeprefix(PREFIX), salt=_SALT, max_age=most_age_s)
    except signing.BadSignature:
        return None
    return content if isinstance(content, dict) else None
