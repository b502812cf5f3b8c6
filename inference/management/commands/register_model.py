from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from inference.model_registry.headers.header import BadFile
from inference.model_registry.registering import register
from inference.models import VersionKind
from infrastructure.objects.place import StoreError
from tenants.management.commands._json_command import Answer, JsonCommand

BY = "command:register_model"


class Command(JsonCommand):
    help = "Registers a model on this host as a version of the platform, which every tenant sees."
    sentence = "version {version}: {format}, {parameters} parameters, {bytes} bytes, {licence}"

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        parser.add_argument("name", help="its name in the registry")
        parser.add_argument(
            "path",
            nargs="?",
            type=Path,
            help="a GGUF file or a folder; by default the file of the embedded engine",
        )
        parser.add_argument("--licence", default="", help="by default as its files say")

    def answer(self, **options: Any) -> Answer:
        try:
            version = register(
                tenant_id=None,
                name=options["name"],
                folder=(options["path"] or _embedded()).resolve(),
                kind=VersionKind.BASE,
                licence=options["licence"],
                by=BY,
            )
        except BadFile as problem:
            raise CommandError(f"it cannot be registered: {problem}") from None
        except (OSError, StoreError) as problem:
            raise CommandError(f"its files cannot be read or stored: {problem}") from None
        return {
            "version": str(version),
            "id": str(version.pk),
            "format": version.format,
            "parameters": version.parameters,
            "bytes": version.size,
            "licence": version.licence or "no licence",
        }


def _embedded() -> Path:
    """Returns the file of the embedded engine. Raises CommandError."""
    for path in settings.MODEL_FOLDERS:
        if path.is_file():
            return path
    raise CommandError("there is no embedded model: name a GGUF file, or a folder")
