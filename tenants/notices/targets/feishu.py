"""Robots of Feishu and Lark: https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot

With *signature verification* a robot checks HMAC-SHA256 of nothing, under "TIMESTAMP\\nSECRET".
"""

import base64
import hmac
from datetime import datetime
from hashlib import sha256
from typing import Any

from infrastructure.webhooks.posting import Answer, Post
from tenants.models import NoticeTarget
from tenants.notices.targets.base import Kind, code_refusal, json_post, lines
from tenants.notices.wording import Message


class Feishu(Kind):
    def post(self, message: Message, target: NoticeTarget, at: datetime) -> Post:
        content: dict[str, Any] = {"msg_type": "text", "content": {"text": lines(message)}}
        for secret in target.signing_secrets(at):
            timestamp = str(int(at.timestamp()))
            content |= {"timestamp": timestamp, "sign": signature(secret, timestamp)}
        return json_post(target.clear_url(), content)

    def refusal(self, answer: Answer) -> str:
        return code_refusal(answer, "code")


def signature(secret: str, timestamp: str) -> str:
    return base64.b64encode(hmac.digest(f"{timestamp}\n{secret}".encode(), b"", sha256)).decode()
