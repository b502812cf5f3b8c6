"""A decision with the tenant's secret word in its texts, by a policy of its own."""

from uuid import UUID, uuid4

from django.utils import timezone

from audit.keys.keyring import keyring
from inference.decisions.spec import PolicySpec, Thresholds, packed
from inference.models import Decision, DecisionPolicy
from inference.models.decisions.decision import Content, Reason, aad
from inference.models.decisions.policy_version import Written
from tenants.models import Person, Tenant
from tenants.scope import tenant_scope

_SCHEMA = {"type": "object", "properties": {"amount": {"type": "number"}}}


def made(tenant: Tenant, api_key_id: UUID | None, secret: str, number: int, *, by: str) -> UUID:
    """Make a decision for a key. Returns its id."""
    spec = PolicySpec(_SCHEMA, f"{secret} {{{{amount}}}}", secret, Thresholds(0.3, 0.8))
    written = Written(packed(spec), secret, "")
    policy = DecisionPolicy.create(tenant, f"sample-{number}", written, by=by)
    with tenant_scope(tenant.pk):
        person = Person.objects.of(tenant.pk, secret)
    cipher, decision_id = keyring.of_subject_now(tenant.pk, person.pk), uuid4()
    content = Content({"amount": 1, "merchant": secret}, [Reason("score_below_review", secret)])
    return Decision.objects.create(
        id=decision_id,
        tenant=tenant,
        api_key_id=api_key_id,
        person=person,
        version=policy.versions.get(),
        policy_name=policy.name,
        version_number=1,
        outcome="approve",
        score=0.1,
        raw_score=0.1,
        review_at=0.3,
        block_at=0.8,
        source="model",
        deadline_ms=2000,
        latency_ms=20,
        data_key_id=cipher.key_id,
        ciphertext=content.encrypted(cipher, aad(tenant.pk, decision_id)),
        created_at=timezone.now(),
    ).pk
