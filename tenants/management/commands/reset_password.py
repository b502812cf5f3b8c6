"""Makes a link for a person who forgot their password, if nobody at the console may help."""

from typing import Any

from tenants.accounts import password_reset
from tenants.management.commands._json_command import Answer, PersonCommand, person_named


class Command(PersonCommand):
    help = "Makes a link with which a person sets a new password, once, within a day."
    sentence = "{email}: {link}"

    def answer(self, **options: Any) -> Answer:
        person = person_named(options["email"])
        link = password_reset.issue_by_operator(person, by="command:reset_password")
        return {"email": person.email, "link": link}
