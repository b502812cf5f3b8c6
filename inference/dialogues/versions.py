"""The version of an assistant that a dialogue has, decrypted."""

from dataclasses import dataclass
from uuid import UUID

from inference.assistants.spec import AssistantSpec
from inference.assistants.understanding import Classifier
from inference.models import Assistant, AssistantVersion, Dialogue, WebhookAction


@dataclass(frozen=True, slots=True)
class Version:
    """`spec` asks before each action that moves money now, whatever its rules say."""

    spec: AssistantSpec
    classifier: Classifier | None


def serving(tenant_id: UUID, assistant: str | UUID, share_key: UUID) -> AssistantVersion | None:
    """Returns the version that answers a person, of an assistant by name or id."""
    if isinstance(assistant, str):
        return Assistant.objects.serving(tenant_id, assistant, share_key)
    row = Assistant.objects.filter(tenant_id=tenant_id, pk=assistant).first()
    return row.version_for(share_key) if row else None


def version_of(dialogue: Dialogue) -> Version:
    """Returns the dialogue's version. Raises AssistantVersion.DoesNotExist, Unreadable."""
    version = AssistantVersion.objects.get(
        tenant_id=dialogue.tenant_id, assistant=dialogue.assistant_id, number=dialogue.version
    )
    actions = WebhookAction.objects.filter(tenant_id=dialogue.tenant_id, moves_money=True)
    asking = frozenset(actions.values_list("name", flat=True))
    return Version(version.spec.confirming(asking), version.classifier)
