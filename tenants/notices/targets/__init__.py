"""Kinds of targets, a file each. A new one is a line here and in `TargetKind`."""

from tenants.models import TargetKind
from tenants.notices.targets.base import Kind
from tenants.notices.targets.dingtalk import DingTalk
from tenants.notices.targets.feishu import Feishu
from tenants.notices.targets.slack import Slack
from tenants.notices.targets.webhook import Webhook
from tenants.notices.targets.wecom import WeCom

KINDS: dict[str, Kind] = {
    TargetKind.WEBHOOK: Webhook(),
    TargetKind.FEISHU: Feishu(),
    TargetKind.DINGTALK: DingTalk(),
    TargetKind.WECOM: WeCom(),
    TargetKind.SLACK: Slack(),
}
