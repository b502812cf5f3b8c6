"""Makes a link for a person who forgot their password, if nobody at the console may help."""

from typing import Any

from django.core.management.base import CommandParser

from tenants.accounts import password_reset
from tenants.management.commands._json_command import Answer, JsonCommand
from tenants.management.commands.reset_mfa import person_named


class Command(JsonCommand):
    help = "Makes a link with which a person sets a new password, once, within a day."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("email")

    def answer(self, **options: Any) -> Answer:
        person = person_named(options["email"])
        link = password_reset.issue_by_operator(person, by="command:reset_password")
        return {"email": person.email, "link": link}

    def text(self, answer: Answer) -> str:
        return f"{answer['email']}: {answer['link']}"
