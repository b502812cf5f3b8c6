"""Releases texts after a password reset by another person's link.

Run it once it is certain that the account is in its owner's hands.
"""

from typing import Any

from tenants.accounts import text_lock
from tenants.management.commands._json_command import Answer, PersonCommand, person_named


class Command(PersonCommand):
    help = "Opens what somebody wrote before their password was reset by another person's link."

    def answer(self, **options: Any) -> Answer:
        person = person_named(options["email"])
        locked = text_lock.of(person) is not None
        text_lock.release(person, by="command:release_texts")
        return {"email": person.email, "released": locked}

    def text(self, answer: Answer) -> str:
        state = "is open again" if answer["released"] else "was not locked"
        return f"What {answer['email']} wrote before {state}."
