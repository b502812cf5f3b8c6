from typing import Any
from uuid import UUID

from django.conf import settings
from django.core.management.base import CommandError, CommandParser

from audit.keys import rotation
from audit.keys.master_keys import MasterKeyProblem, MasterKeyUnavailable, platform_secret
from audit.models import KeyRotation
from tenants.management.commands._json_command import Answer, JsonCommand
from tenants.models import Tenant
from tenants.scope import system_scope

BY = "command:rotate_keys"
NAMED = 20  # ids in one line


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
            found = self._started(options)
            rotation.advance(found)
            if options["master"]:
                platform_secret.rewrap(settings.FOREBAY_HOME, settings.MASTER_KEYS)
        except (MasterKeyProblem, MasterKeyUnavailable) as problem:
            raise CommandError(str(problem)) from None
        with system_scope():
            return _described(KeyRotation.objects.get(pk=found.pk))

    def handle(self, *args: Any, **options: Any) -> str:
        said = super().handle(*args, **options)
        if options["master"] and (kept := _kept_for()):
            self.stdout.write(said)
            raise CommandError(f"keep the older master keys: {kept}")
        return said

    def _started(self, options: dict[str, Any]) -> KeyRotation:
        if options["master"]:
            return rotation.start_master(by=BY, renew=options["new"])
        if options["new"]:
            raise CommandError("--new goes with --master: a tenant's key is always a new one")
        return rotation.start_tenant(_tenant(options["tenant"]), by=BY)

    def text(self, answer: Answer) -> str:
        lines = [f"{answer['done']} of {answer['total']} keys are now under {answer['new']}."]
        if answer["master"] and not _kept_for():
            lines.append("Older master keys can be taken out: nothing is under them any more.")
        return "\n".join(lines)


def _kept_for() -> str:
    """What still needs an older master key; "" when nothing does."""
    reasons = []
    if left := rotation.keys_under_old_masters():
        ids = ", ".join(map(str, left[:NAMED])) + (", …" if len(left) > NAMED else "")
        reasons.append(f"{len(left)} tenants' keys could not be opened and are under them ({ids})")
    current = settings.MASTER_KEYS.current_id()
    if not platform_secret.is_under(settings.FOREBAY_HOME, current):
        reasons.append("secrets/platform.secret is under one of them: it cannot be written")
    return "; ".join(reasons)


def _tenant(name: str) -> UUID:
    with system_scope():
        found = Tenant.objects.filter(name=name).first()
    if found is None:
        raise CommandError(f"there is no tenant named {name!r}")
    return found.id


def _described(found: KeyRotation) -> Answer:
    return {
        "rotation": str(found.id),
        "master": found.tenant_id is None,
        "new": str(found.new_key_id),
        "total": found.total,
        "done": found.done,
        "finished": found.finished_at is not None,
    }
