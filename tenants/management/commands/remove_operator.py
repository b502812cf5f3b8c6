from typing import Any

from django.core.management.base import CommandError, CommandParser

from tenants.management.commands._json_command import Answer, JsonCommand
from tenants.models import User


class Command(JsonCommand):
    help = "Takes an operator's power away, at once. The person can sign in still."

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("email")

    def answer(self, **options: Any) -> Answer:
        email = options["email"].strip().lower()
        person = User.objects.filter(email=email, is_operator=True).first()
        if person is None:
            raise CommandError(f"there is no operator {email}")
        person.stop_operating(by="command:remove_operator")
        return {"email": email, "operator": False}

    def text(self, answer: Answer) -> str:
        return f"{answer['email']} is no operator any more."
