"""Robots of WeCom groups: https://developer.work.weixin.qq.com/document/path/91770

Nothing is signed: the key in the URL is the credential. A text has 2,048 bytes at most.
"""

from datetime import datetime

from infrastructure.webhooks.posting import Answer, Post
from tenants.models import NoticeTarget
from tenants.notices.targets.base import Kind, code_refusal, json_post, lines
from tenants.notices.wording import Message


class WeCom(Kind):
    def post(self, message: Message, target: NoticeTarget, at: datetime) -> Post:
        content = {"msgtype": "text", "text": {"content": lines(message)}}
        return json_post(target.clear_url(), content)

    def refusal(self, answer: Answer) -> str:
        return code_refusal(answer, "errcode")
