"""Decisions on record, by a policy about payments."""

from typing import Any
from uuid import uuid4

from django.utils import timezone

from audit.keys.keyring import keyring
from inference.decisions.spec import packed
from inference.models import Decision, DecisionPolicy
from inference.models.decisions.decision import Content, Reason, aad
from inference.models.decisions.policy_version import Written
from tenants.models import ApiKey, Person, Tenant
from tests.inference.decisions.specs import payments

INPUT = {"amount": 5000, "merchant": "Watches", "country": "DE", "abroad": True}
REFERENCE = "customer 4711"


def decided(
    tenant: Tenant,
    *,
    outcome: str = "review",
    reference: str = REFERENCE,
    api_key: ApiKey | None = None,
    created_at: Any = None,
    **spec: Any,
) -> Decision:
    """Returns a decision by a policy of its own. `spec` are fields of the policy."""
    fields = payments(**spec)
    written = Written(packed(fields), fields.model, fields.model_version)
    name = f"payments-{uuid4().hex[:12]}"
    policy = DecisionPolicy.create(tenant, name, written, by="t")
    person, pk = Person.objects.of(tenant.id, reference), uuid4()
    cipher = keyring.of_subject_now(tenant.id, person.subject_id)
    content = Content(INPUT, [Reason("score_above_review", "The score is above 0.3.")])
    return Decision.objects.create(
        id=pk,
        tenant=tenant,
        api_key=api_key,
        person=person,
        version=policy.versions.get(),
        policy_name=policy.name,
        version_number=1,
        outcome=outcome,
        score=0.7,
        raw_score=0.7,
        review_at=0.3,
        block_at=0.8,
        source="model",
        deadline_ms=2000,
        latency_ms=20,
        data_key_id=cipher.key_id,
        ciphertext=content.encrypted(cipher, aad(tenant.id, pk)),
        created_at=created_at or timezone.now(),
    )
