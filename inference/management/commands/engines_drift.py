"""`manage.py engines_drift`: differences between FOREBAY_ENGINES and the running platform."""

from dataclasses import asdict
from typing import Any

from django.core.management.base import CommandError, CommandParser

from inference.registry.drift import MEANS, Difference, differences
from tenants.management.commands._json_command import Answer, JsonCommand


class Command(JsonCommand):
    help = (
        "Compares FOREBAY_ENGINES with the models, pools and engines of the database: what a next "
        "start would change, and what was made over the API. Changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--fail",
            action="store_true",
            help="end with 1 where a next start would change anything",
        )

    def handle(self, *args: Any, **options: Any) -> str:
        answer = super().handle(*args, **options)
        waiting = sum(each.at_next_start for each in self._found)
        if options["fail"] and waiting:
            self.stdout.write(answer)
            raise CommandError(f"{waiting} differences: a next start would change them")
        return answer

    def answer(self, **options: Any) -> Answer:
        try:
            self._found = differences()
        except ValueError as problem:
            raise CommandError(f"FOREBAY_ENGINES: {problem}") from None
        return {
            "differences": [{**asdict(each), "means": MEANS[each.state]} for each in self._found]
        }

    def text(self, answer: Answer) -> str:
        return "\n".join(map(line, self._found)) or "FOREBAY_ENGINES and the database agree."


def line(each: Difference) -> str:
    fields = f" ({', '.join(each.fields)})" if each.fields else ""
    return f"{each.kind} {each.name}: {MEANS[each.state]}{fields}"
