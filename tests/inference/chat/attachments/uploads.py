"""Attaches a file as the page's script does."""

from typing import Any

from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from tenants.models import Member

BACKEND = "allauth.account.auth_backends.AuthenticationBackend"


def sign_in(member: Member) -> Client:
    client = Client()
    client.force_login(member.user, BACKEND)
    return client


def begin(client: Client, name: str, size: int) -> Any:
    return client.post("/chat/attachments/", {"name": name, "size": size})


def add_piece(client: Client, address: str, number: int, content: bytes) -> Any:
    file = SimpleUploadedFile("piece", content)
    return client.post(f"{address}pieces/", {"piece": number, "file": file})


def attach(client: Client, name: str, content: bytes) -> Any:
    """Returns the last answer: of the end, or of a refusal before it."""
    begun = begin(client, name, len(content))
    if begun.status_code != 201:
        return begun
    address = f"/chat/attachments/{begun.json()['id']}/"
    size = begun.json()["piece"]
    for number, start in enumerate(range(0, len(content), size)):
        added = add_piece(client, address, number, content[start : start + size])
        if added.status_code != 204:
            return added
    return client.post(f"{address}end/")
