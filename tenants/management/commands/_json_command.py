"""The base of all commands: JSON or readable text on stdout, a failure as one line on stderr."""

import json
from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import OperationalError, ProgrammingError

from tenants.models import User

Answer = dict[str, Any]


class JsonCommand(BaseCommand):
    requires_system_checks = ()
    sentence = ""  # the readable text, with the names of the answer in braces

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--json", action="store_true", help="print one JSON object")

    def handle(self, *args: Any, **options: Any) -> str:
        try:
            answer = self.answer(**options)
        except ValidationError as problem:
            raise CommandError(_one_line(problem)) from None
        except OperationalError:
            raise CommandError(
                "the database does not answer: start Forebay with `make run` or set DATABASE_URL"
            ) from None
        except ProgrammingError:
            raise CommandError("the database has no tables yet: run `manage.py migrate`") from None
        return json.dumps(answer) if options["json"] else self.text(answer)

    def answer(self, **options: Any) -> Answer:
        raise NotImplementedError

    def text(self, answer: Answer) -> str:
        return self.sentence.format(**answer)


class PersonCommand(JsonCommand):
    """A command about the person whose address is its argument."""

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("email")


def person_named(email: str) -> User:
    """Returns the account of an address. Raises ValidationError."""
    person = User.objects.filter(email=email.strip().lower()).first()
    if person is None:
        raise ValidationError(f"there is no account for {email}")
    return person


def _one_line(problem: ValidationError) -> str:
    if hasattr(problem, "error_dict"):
        fields = problem.message_dict.items()
        return "; ".join(f"{field}: {' '.join(messages)}" for field, messages in fields)
    return " ".join(problem.messages)
