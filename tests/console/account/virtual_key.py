"""A security key that Chromium pretends to have."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from playwright.sync_api import CDPSession, Page


@dataclass
class Key:
    session: CDPSession
    id: str

    def forget(self) -> int:
        """Loses what it knows. Returns how many credentials it had."""
        found = self.session.send("WebAuthn.getCredentials", {"authenticatorId": self.id})
        self.session.send("WebAuthn.clearCredentials", {"authenticatorId": self.id})
        return len(found["credentials"])


@contextmanager
def virtual_key(page: Page) -> Iterator["Key"]:
    """A security key that answers by itself, as if touched."""
    session = page.context.new_cdp_session(page)
    session.send("WebAuthn.enable")
    added = session.send(
        "WebAuthn.addVirtualAuthenticator",
        {
            "options": {
                "protocol": "ctap2",
                "transport": "usb",
                "hasResidentKey": False,
                "hasUserVerification": True,
                "isUserVerified": True,
                "automaticPresenceSimulation": True,
            }
        },
    )
    yield Key(session, added["authenticatorId"])
    session.detach()
