"""Settings of a conversation: a system prompt, and parameters within the bounds of `/v1`."""

from typing import Any

import msgspec
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from audit.keys.keyring import Unreadable, keyring
from inference.chat.problems import ChatRefused
from inference.chat.protocol import ChatSettings, Problem
from inference.engines.fields import CHAT
from inference.models import Conversation

LONGEST_SYSTEM = 20_000  # characters
LONGEST_STOP = 100
MOST_TOKENS = 2**31 - 1
EFFORTS = CHAT["reasoning_effort"].schema["enum"]
NO_SETTINGS = ChatSettings()
_PARAMETERS = ("temperature", "top_p", "seed", "stop", "reasoning_effort")
_TEXTS: dict[str, Promise] = {
    "system": _("The system prompt may have 20,000 characters at most."),
    "temperature": _("The temperature must be a number from 0 to 2."),
    "top_p": _("Top p must be a number from 0 to 1."),
    "max_tokens": _("The longest answer must be a whole number of tokens, 1 at least."),
    "seed": _("The seed must be a whole number."),
    "stop": _("There may be 16 stop texts at most, of 100 characters each."),
    "reasoning_effort": _("This reasoning effort does not exist."),
}


def read(text: str) -> ChatSettings:
    """Returns checked settings of JSON. Raises ChatRefused, which names the field."""
    try:
        settings = msgspec.json.decode(text, type=ChatSettings)
    except msgspec.ValidationError as problem:
        raise _refused(str(problem).rpartition("`$.")[2].rstrip("`")) from None
    except msgspec.DecodeError:
        raise ChatRefused("invalid_message") from None
    check(settings)
    return settings


def check(settings: ChatSettings) -> None:
    """Raises ChatRefused."""
    for name, value in parameters(settings).items():
        if not CHAT[name].holds(value):
            raise _refused(name)
    if len(settings.system) > LONGEST_SYSTEM:
        raise _refused("system")
    if settings.max_tokens is not None and not 1 <= settings.max_tokens <= MOST_TOKENS:
        raise _refused("max_tokens")
    if any(len(stop) > LONGEST_STOP for stop in settings.stop):
        raise _refused("stop")


def parameters(settings: ChatSettings) -> dict[str, Any]:
    """Returns the fields of a request's body, but for the limit of its answer."""
    fields = {name: getattr(settings, name) for name in _PARAMETERS}
    return {name: value for name, value in fields.items() if value not in (None, "", [])}


def settings_of(conversation: Conversation) -> ChatSettings:
    """Returns the settings; none if the member's key has been destroyed."""
    if conversation.settings_key_id is None:
        return NO_SETTINGS
    try:
        cipher = keyring.by_id_now(conversation.settings_key_id)
        clear = cipher.decrypt(bytes(conversation.settings_ciphertext or b""), _aad(conversation))
    except Unreadable:
        return NO_SETTINGS
    return msgspec.json.decode(clear, type=ChatSettings)


def set_settings(conversation: Conversation, settings: ChatSettings) -> None:
    """Raises ChatRefused, Barred."""
    check(settings)
    member = conversation.member
    cipher = keyring.of_subject_now(conversation.tenant_id, member.subject_id)
    conversation.settings_key_id = cipher.key_id
    clear = msgspec.json.encode(settings)
    conversation.settings_ciphertext = cipher.encrypt(clear, _aad(conversation))
    conversation.save(update_fields=["settings_key_id", "settings_ciphertext"])


def _aad(conversation: Conversation) -> bytes:
    ids = conversation.tenant_id.bytes, conversation.id.bytes
    return b"inference_conversation|%b|%b|settings" % ids


def _refused(name: str) -> ChatRefused:
    name = name.partition("[")[0]
    if name not in _TEXTS:
        return ChatRefused("invalid_message")
    return ChatRefused(f"bad_{name}", Problem(f"bad_{name}", str(_TEXTS[name])))
