"""The names of the checks' figures in words. A figure without one is shown by its own name."""

import re
from typing import Any

from console.compliance.texts import Text

T = Text
_MOMENT = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d).*")
WORDS: dict[str, Text] = {
    "tables": T("tables", "表"),
    "policies": T("policies", "策略"),
    "tenant_keys": T("keys of tenants", "租户密钥"),
    "gaps": T("gaps", "缺口"),
    "floor_days": T("days at least", "最少天数"),
    "attempts": T("attempts", "尝试次数"),
    "refused": T("refused", "被拒"),
    "shortest_days": T("shortest retention in days", "最短保存天数"),
    "oldest_at": T("oldest", "最早"),
    "age_days": T("age in days", "时长（天）"),
    "longest_days": T("longest retention in days", "最长保存天数"),
    "months_dropped": T("months dropped", "已删除的月份"),
    "holds": T("holds in force", "生效的保全"),
    "kept_by": T("legal hold that keeps it", "使其保留的法律保全"),
    "must": T("must have one", "必须启用"),
    "enrolled": T("have one", "已启用"),
    "others_enrolled": T("others who have one", "其他已启用者"),
    "enforced": T("a duty", "强制"),
    "people": T("people", "人员"),
    "unsafe_passwords": T("unsafe passwords", "不安全口令"),
    "superusers": T("superusers", "超级用户"),
    "dormant": T("dormant", "长期未登录"),
    "after_days": T("after days", "天数阈值"),
    "profile": T("profile", "配置"),
    "tenants_mlps": T("tenants under mlps-l3", "mlps-l3 租户"),
    "tenants_others": T("other tenants", "其他租户"),
    "shortest": T("characters at least", "最短长度"),
    "classes": T("classes of characters", "字符类别"),
    "good_for_days": T("good for days", "有效天数"),
    "not_reused": T("last ones refused", "不得重复的最近次数"),
    "weak_tried": T("weak ones tried", "尝试的弱口令"),
    "weak_taken": T("weak ones accepted", "被接受的弱口令"),
    "overdue": T("overdue", "逾期"),
    "share_in_time": T("% in time", "按期比例 %"),
    "idle_minutes_mlps": T("idle minutes, mlps-l3", "空闲分钟（mlps-l3）"),
    "idle_minutes_asvs": T("idle minutes, asvs-5", "空闲分钟（asvs-5）"),
    "absolute_hours": T("hours at most", "最长小时"),
    "lasting_longer": T("longer ones", "超限会话"),
    "tries": T("tries", "允许次数"),
    "rest_minutes": T("minutes locked", "锁定分钟"),
    "locked": T("locks", "锁定"),
    "refused_sign_ins": T("sign-ins refused", "被拒登录"),
    "signed_in": T("sign-ins", "登录"),
    "counting_now": T("counters at work", "正在计数"),
    "sessions": T("sessions", "会话"),
    "holders_system": T("with system administration", "系统管理员"),
    "holders_security": T("with security administration", "安全管理员"),
    "holders_audit": T("with audit administration", "审计管理员"),
    "two_duties": T("with two of them", "兼任者"),
    "operators_inside": T("operators among them", "其中的运维人员"),
    "roles": T("roles", "角色"),
    "permissions": T("permissions", "权限"),
    "requests": T("requests", "请求"),
    "without_received": T("without arrival", "缺接收事件"),
    "without_completed": T("without end", "缺完成事件"),
    "days": T("days looked at", "统计天数"),
    "operator_looks": T("looks of operators", "运维人员访问"),
    "access_denied": T("accesses refused", "访问被拒"),
    "prompts_read": T("texts read", "文本读取"),
    "text_searches": T("searches in texts", "文本检索"),
    "trail_exports": T("exports of the trail", "审计导出"),
    "person_exports": T("exports of a person's data", "个人数据导出"),
    "system_acts": T("system acts", "系统管理操作"),
    "security_acts": T("security acts", "安全管理操作"),
    "audit_acts": T("audit acts", "审计管理操作"),
    "acts": T("acts altogether", "操作总数"),
    "subject_keys": T("keys of persons", "个人密钥"),
    "oldest_active_days": T("oldest one in use, days", "最久在用（天）"),
    "last_rotation": T("last exchange", "最近轮换"),
    "rotations_open": T("exchanges under way", "进行中的轮换"),
    "rotations_stuck": T("stuck", "停滞"),
    "opened": T("opened again", "可解密"),
    "flips": T("bits flipped", "比特翻转"),
    "flips_refused": T("of these refused", "其中被拒"),
    "moves": T("places tried", "位置替换"),
    "moves_refused": T("places refused", "位置被拒"),
    "done": T("done", "已完成"),
    "within_1_h": T("within 1 h", "1 小时内"),
    "within_24_h": T("within 24 h", "24 小时内"),
    "within_48_h": T("within 48 h", "48 小时内"),
    "within_72_h": T("within 72 h", "72 小时内"),
    "late": T("late", "逾期"),
    "open": T("open", "进行中"),
    "held": T("on legal hold", "保全中"),
    "erased": T("erased", "已删除"),
    "keys_left": T("keys left", "残留密钥"),
    "stores_left": T("stores left", "残留存储"),
    "without_tombstone": T("without tombstone", "缺删除标记"),
    "certificates_verified": T("certificates verified", "校验通过的证书"),
    "certificates_looked_at": T("of", "共"),
    "in_force": T("in force", "生效"),
    "waiting": T("waiting for approval", "待批准"),
    "released": T("released", "已解除"),
    "approved_alone": T("approved alone", "单人批准"),
    "made_90_days": T("in 90 days", "90 天内"),
    "ready": T("ready", "可下载"),
    "failed": T("failed in 7 days", "7 天内失败"),
    "expired_there": T("expired and still there", "过期未删"),
    "models": T("models", "模型"),
    "fields": T("fields", "字段"),
    "personal_fields": T("with personal data", "含个人信息"),
    "hosted": T("hosted elsewhere", "托管"),
    "sub_processors": T("recipients", "接收方"),
    "local_only": T("local-only tenants", "“仅本地”租户"),
    "reached": T("hosted models within reach", "可及的托管模型"),
    "public_url": T("address", "地址"),
    "tls_at_proxy": T("https", "https"),
    "hsts_days": T("HSTS in days", "HSTS 天数"),
    "cookies_secure": T("cookies Secure", "Cookie Secure"),
    "cookies_http_only": T("HttpOnly", "HttpOnly"),
    "same_site": T("SameSite", "SameSite"),
    "frames": T("frames", "框架"),
    "scripts_from": T("scripts from", "脚本来源"),
    "database": T("database", "数据库"),
    "redis": T("Redis", "Redis"),
    "grpc": T("gRPC", "gRPC"),
    "engines_tls": T("engines in TLS", "TLS 引擎"),
    "engines_same_machine": T("engines on this machine", "本机引擎"),
    "engines_clear": T("engines in clear", "明文引擎"),
    "ports_tls13": T("ports with TLS 1.3 alone", "仅 TLS 1.3 的端口"),
    "ports_older_tls": T("ports that take an older TLS", "接受旧版 TLS 的端口"),
    "ports_same_machine": T("in clear within this machine", "本机内明文"),
    "ports_clear": T("ports in clear", "明文端口"),
    "ports_away": T("ports not reached from here", "此处不可达的端口"),
    "seals": T("batches", "批次"),
    "events": T("events", "事件"),
    "checkpoints": T("checkpoints", "检查点"),
    "newest_checkpoint": T("newest checkpoint", "最新检查点"),
    "wrong": T("wrong", "错误"),
    "unsealed_s": T("waited, seconds", "等待秒数"),
    "checkpoint": T("checkpoint", "检查点"),
    "sealed_events": T("events under seal", "已封存事件"),
    "sealed_at": T("sealed at", "封存时间"),
    "witnesses": T("witnesses", "见证"),
    "behind": T("behind", "滞后"),
    "witnessed": T("checkpoints that witnesses heard", "见证所记检查点"),
    "verified_at": T("verified at", "校验时间"),
    "newest_heard": T("newest heard", "收到的最新"),
    "found": T("found", "发现"),
    "table": T("table", "表格"),
    "refused_ip": T("by address", "按地址"),
    "refused_key_rate": T("by the key's requests", "密钥请求数"),
    "refused_rate": T("by the tenant's requests", "租户请求数"),
    "refused_key_tokens": T("by the key's tokens", "密钥令牌数"),
    "refused_tokens": T("by the tenant's tokens", "租户令牌数"),
    "refused_key_concurrency": T("by the key's requests at once", "密钥并发"),
    "refused_key_bytes": T("by a key's bytes in flight", "密钥在途字节数"),
    "refused_bytes": T("by the tenant's bytes in flight", "租户在途字节数"),
    "refused_key_stored": T("by a key's bytes stored per day", "密钥每日存储字节数"),
    "refused_stored": T("by the tenant's bytes stored per day", "租户每日存储字节数"),
    "refused_key_readers": T("by a key's readers of streams", "密钥的流读取数"),
    "refused_readers": T("by the tenant's readers of streams", "租户的流读取数"),
    "refused_concurrency": T("by the tenant's requests at once", "租户并发"),
    "refused_quota": T("by quota", "配额"),
}
_ORDER = {name: position for position, name in enumerate(WORDS)}
YES, NO = T("yes", "是"), T("no", "否")
VALUES: dict[str, Text] = {
    "tls": T("TLS", "TLS"),
    "same_machine": T("same machine", "同一台机器"),
    "clear": T("in clear", "明文"),
}
LISTS = ("found", "table")  # shown beneath, not among the figures


def figure_lines(figures: dict[str, Any]) -> list[tuple[str, str]]:
    """Returns name and value of each figure in words."""
    names = sorted(figures, key=lambda name: _ORDER.get(name, len(_ORDER)))  # jsonb has no order
    return [(str(WORDS.get(n, n)), _value(figures[n])) for n in names if n not in LISTS]


def findings(figures: dict[str, Any]) -> list[str]:
    return [str(line) for line in figures.get("found", [])]


def _value(value: Any) -> str:
    if value is None or value in ("", []):
        return "–"
    if isinstance(value, bool):
        return str(YES if value else NO)
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(map(str, value))
    text = str(value)
    moment = _MOMENT.fullmatch(text)
    return f"{moment[1]} {moment[2]}" if moment else str(VALUES.get(text, text))
