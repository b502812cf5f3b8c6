"""`manage.py model_files`: versions of models whose files are not in FOREBAY_MODEL_STORE."""

from typing import Any

from django.core.management.base import CommandError, CommandParser

from inference.model_registry.presence import without_files
from inference.models import ModelVersion
from infrastructure.objects.place import StoreError
from tenants.management.commands._json_command import Answer, JsonCommand
from tenants.scope import system_scope


class Command(JsonCommand):
    help = (
        "Names the versions of models whose files are not in FOREBAY_MODEL_STORE, as after a "
        "restore of the database alone. Changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument(
            "--fail", action="store_true", help="end with 1 where files are missing"
        )

    def handle(self, *args: Any, **options: Any) -> str:
        answer = super().handle(*args, **options)
        if options["fail"] and self._missing:
            self.stdout.write(answer)
            raise CommandError(f"{len(self._missing)} versions have not all of their files")
        return answer

    def answer(self, **options: Any) -> Answer:
        try:
            with system_scope():
                self._missing = without_files()
                versions = ModelVersion.objects.ready().count()
        except StoreError as problem:
            raise CommandError(f"FOREBAY_MODEL_STORE cannot be read: {problem}") from None
        return {"versions": versions, "without_files": list(map(str, self._missing))}

    def text(self, answer: Answer) -> str:
        lines = [f"{name} has not all of its files" for name in answer["without_files"]]
        return "\n".join(lines) or f"{answer['versions']} versions have their files."
