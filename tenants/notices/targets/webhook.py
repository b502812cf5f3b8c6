"""A service of the tenant's own, signed as Standard Webhooks describe."""

from datetime import datetime

import orjson

from infrastructure.webhooks import signing
from infrastructure.webhooks.posting import Post
from tenants.models import NoticeTarget
from tenants.notices.targets.base import TIMEOUT_S, Kind
from tenants.notices.wording import Message


class Webhook(Kind):
    def post(self, message: Message, target: NoticeTarget, at: datetime) -> Post:
        content = {
            "id": message.id,
            "type": message.event,
            "timestamp": message.at.isoformat(),
            "tenant": message.tenant or None,
            "title": message.title,
            "text": message.text,
            "url": message.url,
            "data": message.facts,
        }
        body = orjson.dumps(content)
        secrets = target.signing_secrets(at)
        headers = signing.headers(secrets, message.id, int(at.timestamp()), body)
        return Post(target.clear_url(), body, headers, TIMEOUT_S)
