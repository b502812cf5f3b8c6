"""The shop's assistant as rows."""

from uuid import uuid4

import msgspec

from inference.assistants.example_groups import examples
from inference.assistants.spec import packed
from inference.assistants.training import cross_validated, train
from inference.models import Assistant, AssistantVersion, KnowledgeBase, WebhookAction
from inference.models.assistants.assistant_version import Written
from tenants.models import ApiKey, Member, Tenant
from tests.inference.assistants.shop import SHOP
from tests.inference.assistants.word_vectors import vector_of


def shop_content() -> Written:
    return Written(packed(SHOP), "minilm", 48)


def an_assistant(
    tenant: Tenant, caller: ApiKey | Member, name: str = "shop", by: str = "test"
) -> Assistant:
    return Assistant.create(tenant, name, shop_content(), by=by, caller=caller)


def furnish(tenant: Tenant) -> None:
    """Make the knowledge base and the actions that the shop's spec names."""
    own = {"tenant": tenant, "name": "manual", "model": "minilm", "created_by": "test"}
    secret = {"data_key_id": uuid4(), "secret": b"-"}
    KnowledgeBase.objects.create(pk=SHOP.knowledge, **own, **secret)
    for name in SHOP.actions:
        schema = {"type": "object", "properties": {"order": {"type": "string"}}}
        arguments = {**schema, "required": ["order"]}
        url = "https://shop.example/hook"
        action = WebhookAction(
            tenant=tenant, name=name, url=url, arguments=arguments, answer=schema
        )
        action.create("a secret of the shop", by="test")


def built(assistant: Assistant) -> AssistantVersion:
    """Returns its latest version, built."""
    version = assistant.versions.get(number=assistant.latest)
    assert version.begin_build()
    listed = examples(SHOP)
    vectors = [vector_of(each.text) for each in listed]
    figures = msgspec.to_builtins(cross_validated(listed, vectors, 0.6))
    version.complete_build(train(listed, vectors, "minilm"), figures, "")
    return version
