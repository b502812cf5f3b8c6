"""Slack's incoming webhooks: https://docs.slack.dev/messaging/sending-messages-using-incoming-webhooks

Slack signs nothing and checks nothing but the URL. It answers `ok`, and errors with 4xx.
"""

from datetime import datetime

from infrastructure.webhooks.posting import Post
from tenants.models import NoticeTarget
from tenants.notices.targets.base import Kind, json_post, lines
from tenants.notices.wording import Message

_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Slack(Kind):
    def post(self, message: Message, target: NoticeTarget, at: datetime) -> Post:
        return json_post(target.clear_url(), {"text": lines(message).translate(_ESCAPED)})
