"""Robots of DingTalk: https://open.dingtalk.com/document/orgapp/custom-robot-access

A robot with a secret checks HMAC-SHA256 of "MILLISECONDS\\nSECRET", which is in the URL.
"""

import base64
import hmac
from datetime import datetime
from hashlib import sha256
from urllib.parse import urlencode

from infrastructure.webhooks.posting import Answer, Post
from tenants.models import NoticeTarget
from tenants.notices.targets.base import Kind, code_refusal, json_post, lines
from tenants.notices.wording import Message


class DingTalk(Kind):
    def post(self, message: Message, target: NoticeTarget, at: datetime) -> Post:
        url = target.clear_url()
        for secret in target.signing_secrets(at):
            ms = round(at.timestamp() * 1000)
            query = urlencode({"timestamp": ms, "sign": signature(secret, ms)})
            url = f"{url}{'&' if '?' in url else '?'}{query}"
        return json_post(url, {"msgtype": "text", "text": {"content": lines(message)}})

    def refusal(self, answer: Answer) -> str:
        return code_refusal(answer, "errcode")


def signature(secret: str, ms: int) -> str:
    mac = hmac.digest(secret.encode(), f"{ms}\n{secret}".encode(), sha256)
    return base64.b64encode(mac).decode()
