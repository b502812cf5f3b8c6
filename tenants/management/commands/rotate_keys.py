from typing import Any

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from audit.keys import rotation
from audit.keys.master_keys import platform_secret
from audit.keys.master_keys.errors import MasterKeyProblem, MasterKeyUnavailable
from audit.models import KeyRotation
from tenants.management.commands._json_command import Answer, JsonCommand
from tenants.management.options import tenant_named
from tenants.scope import system_scope

BY = "command:rotate_keys"
SHOWN = 20  # ids in one line


class Command(JsonCommand):
    help = (
        "Exchanges the master key, or a tenant's key, while the platform goes on. Started again, "
        "it goes on where it was stopped."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        super().add_arguments(parser)
        which = parser.add_mutually_exclusive_group(required=True)
        which.add_argument(
            "--master", action="store_true", help="bring all tenants' keys under the current one"
        )
        which.add_argument("--tenant", metavar="NAME", help="give this tenant a new key")
        parser.add_argument(
            "--new", action="store_true", help="with --master: make a new master key first"
        )

    def answer(self, **options: Any) -> Answer:
        try:
            running = self._start(options)
            rotation.advance(running)
            if options["master"]:
                platform_secret.rewrap(settings.FOREBAY_HOME, settings.MASTER_KEYS)
        except (MasterKeyProblem, MasterKeyUnavailable) as problem:
            raise CommandError(str(problem)) from None
        with system_scope():
            return _as_json(KeyRotation.objects.get(pk=running.pk))

    def handle(self, *args: Any, **options: Any) -> str:
        output = super().handle(*args, **options)
        if options["master"] and (reasons := _old_keys_needed()):
            self.stdout.write(output)
            raise CommandError(f"keep the older master keys: {reasons}")
        return output

    def _start(self, options: dict[str, Any]) -> KeyRotation:
        if options["master"]:
            return rotation.start_master(by=BY, renew=options["new"])
        if options["new"]:
            raise CommandError("--new goes with --master: a tenant's key is always a new one")
        return rotation.start_tenant(tenant_named(options["tenant"]).id, by=BY)

    def text(self, answer: Answer) -> str:
        lines = [f"{answer['done']} of {answer['total']} keys are now under {answer['new']}."]
        if answer["master"] and not _old_keys_needed():
            lines.append("Older master keys can be taken out: nothing is under them any more.")
        return "\n".join(lines)


def _old_keys_needed() -> str:
    """Returns reasons to keep older master keys, or "" if nothing needs them."""
    reasons = []
    if old := rotation.keys_under_old_masters():
        ids = ", ".join(map(str, old[:SHOWN])) + (", …" if len(old) > SHOWN else "")
        reasons.append(f"{len(old)} tenants' keys could not be opened and are under them ({ids})")
    current = settings.MASTER_KEYS.current_id()
    if not platform_secret.is_under(settings.FOREBAY_HOME, current):
        reasons.append("secrets/platform.secret is under one of them: it cannot be written")
    return "; ".join(reasons)


def _as_json(running: KeyRotation) -> Answer:
    return {
        "rotation": str(running.id),
        "master": running.tenant_id is None,
        "new": str(running.new_key_id),
        "total": running.total,
        "done": running.done,
        "finished": running.finished_at is not None,
    }
