"""Acts of people on versions of assistants, after the checks of their texts."""

from uuid import UUID

from django.core.exceptions import ValidationError
from django.utils.translation import gettext as _

from inference.assistants.checks import check
from inference.assistants.example_groups import examples
from inference.assistants.faults import MOST, Fault, WrongSpec
from inference.assistants.spec import AssistantSpec, packed
from inference.engines import adapters, engines_of
from inference.engines.base import Engine
from inference.intake.access import allowed
from inference.models import Assistant, AssistantVersion, KnowledgeBase
from inference.models.assistants.assistant_version import Written
from tenants.models import ApiKey, Member, Tenant


def create(
    tenant: Tenant, name: str, spec: AssistantSpec, *, by: str, caller: ApiKey | Member
) -> Assistant:
    """Create an assistant with a first version. Raises WrongSpec, ValidationError."""
    return Assistant.create(tenant, name, _written(tenant, spec), by=by, caller=caller)


def write(
    assistant: Assistant, spec: AssistantSpec, *, by: str, caller: ApiKey | Member
) -> AssistantVersion:
    """Add a version, which is built soon. Raises WrongSpec, ValidationError."""
    return assistant.write(_written(assistant.tenant, spec), by=by, caller=caller)


def promote(version: AssistantVersion, *, by: str) -> None:
    """Let a version answer. Raises ValidationError, also if its models are gone."""
    _refuse_what_is_gone(version)
    version.assistant.promote(version, by=by)


def challenge(version: AssistantVersion, share: float, *, by: str) -> None:
    """Let a version answer a share of the people. Raises ValidationError."""
    _refuse_what_is_gone(version)
    version.assistant.challenge(version, share, by=by)


def embedding_version(tenant_id: UUID, model: str) -> str:
    """Returns the version of the engines that embed for a tenant now."""
    return "+".join(sorted({engine.config.version for engine in _engines(tenant_id, model)}))


def has_other_embeddings(version: AssistantVersion) -> bool:
    """Returns whether another version of its model embeds now than the one it was built with.

    Its classifier does not know such vectors: build it again.
    """
    now = embedding_version(version.tenant_id, version.embedding_model)
    return version.is_built and bool(now) and now != version.embedding_version


def _written(tenant: Tenant, spec: AssistantSpec) -> Written:
    """Raises WrongSpec."""
    check(spec)
    if faults := _missing(tenant, spec):
        raise WrongSpec(*faults[:MOST])
    return Written(packed(spec), spec.embedding_model, len(examples(spec)))


def _missing(tenant: Tenant, spec: AssistantSpec) -> list[Fault]:
    """Returns the faults of what a spec names and the tenant does not have."""
    faults = []
    engines = _engines(tenant.pk, spec.embedding_model)
    if not engines:
        faults.append(Fault("embedding_model", _("There is no such model.")))
    elif not all(engine.capabilities.embeddings for engine in engines):
        text = _("This model does not embed: name one for embeddings.")
        faults.append(Fault("embedding_model", text))
    if spec.chat_model:
        faults += _chat_faults(tenant, spec.chat_model)
    bases = KnowledgeBase.objects.present().filter(tenant=tenant)
    if spec.knowledge and not bases.filter(pk=spec.knowledge).exists():
        faults.append(Fault("knowledge", _("There is no such knowledge base in this tenant.")))
    return faults + _action_faults(tenant, spec)


def _action_faults(tenant: Tenant, spec: AssistantSpec) -> list[Fault]:
    """Returns actions that the tenant lacks, and intents that do not ask for all of an action."""
    rows = tenant.webhook_actions.filter(name__in=spec.actions)
    required = {row.name: set(row.arguments.get("required", ())) for row in rows}
    faults = [
        Fault(f"actions.{number}", _("There is no such action in this tenant."))
        for number, name in enumerate(spec.actions)
        if name not in required
    ]
    for number, intent in enumerate(spec.intents):
        always = {slot.name for slot in intent.slots if not slot.optional}
        if missing := sorted(required.get(intent.rule.action, set()) - always):
            text = _("The action needs these, which no slot asks for: %s.")
            faults.append(Fault(f"intents.{number}.slots", text % ", ".join(missing)))
    return faults


def _chat_faults(tenant: Tenant, model: str) -> list[Fault]:
    engines = _engines(tenant.pk, model)
    if not engines:
        return [Fault("chat_model", _("There is no such model."))]
    if not all(engine.capabilities.text for engine in engines):
        return [Fault("chat_model", _("This model answers no chats."))]
    return []


def _engines(tenant_id: UUID, model: str) -> list[Engine]:
    name = allowed.behind(tenant_id, model)
    if not allowed.is_served(tenant_id, name):
        return []
    row = adapters.find(tenant_id, name)
    return engines_of(row.base if row else name)


def _refuse_what_is_gone(version: AssistantVersion) -> None:
    if faults := _missing(version.tenant, version.spec):
        raise ValidationError([str(fault) for fault in faults])
    if has_other_embeddings(version):
        text = _("Another version of the embedding model serves now: build this version again.")
        raise ValidationError(text)
