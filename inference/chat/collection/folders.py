"""A member's folders of conversations. Their names are encrypted under the member's key."""

from typing import Any
from uuid import uuid4

from django.db.models import QuerySet

from audit.keys.keyring import Unreadable, keyring
from inference.chat.conversations import LOCKED
from inference.chat.membership import CHATTING
from inference.chat.problems import ChatRefused
from inference.models import ConversationFolder
from tenants.models import Member, User
from tenants.models.model_changes import lock
from tenants.models.tenant import State

NAME_LENGTH = 60
MOST = 100  # of a member


def of_member(member: Member) -> QuerySet[ConversationFolder]:
    """Returns a member's, except for locked ones (tenants/accounts/text_lock.py)."""
    owned = ConversationFolder.objects.filter(tenant_id=member.tenant_id, member=member)
    return owned.filter(~LOCKED).order_by("created_at")


def of_user(user: User) -> QuerySet[ConversationFolder]:
    """Returns those in every open tenant where the person may chat."""
    owned = ConversationFolder.objects.filter(member__user=user, member__role__in=CHATTING)
    return owned.filter(~LOCKED, member__tenant__state=State.ACTIVE).select_related("member")


def create(member: Member, name: str) -> ConversationFolder:
    """Create a folder. Raises ChatRefused if there are too many, Barred."""
    lock(member)
    if of_member(member).count() >= MOST:
        raise ChatRefused("too_many_folders")
    folder = ConversationFolder(id=uuid4(), tenant_id=member.tenant_id, member=member)
    _set_name(folder, member, name)
    folder.save(force_insert=True)
    return folder


def rename(folder: ConversationFolder, name: str) -> None:
    """Rename it. Raises Barred."""
    _set_name(folder, folder.member, name)
    folder.save(update_fields=["data_key_id", "name_ciphertext"])


def name_of(folder: ConversationFolder) -> str:
    """Returns the name; "" if the member's key has been destroyed."""
    try:
        cipher = keyring.by_id_now(folder.data_key_id)
        return cipher.decrypt(bytes(folder.name_ciphertext), _aad(folder)).decode()
    except Unreadable:
        return ""


def listed(folder: ConversationFolder) -> dict[str, Any]:
    return {"id": folder.id, "name": name_of(folder)}


def _set_name(folder: ConversationFolder, member: Member, name: str) -> None:
    cipher = keyring.of_subject_now(member.tenant_id, member.subject_id)
    folder.data_key_id = cipher.key_id
    clean = " ".join(name.split())[:NAME_LENGTH]
    folder.name_ciphertext = cipher.encrypt(clean.encode(), _aad(folder))


def _aad(folder: ConversationFolder) -> bytes:
    ids = folder.tenant_id.bytes, folder.id.bytes
    return b"inference_conversationfolder|%b|%b|name" % ids
