"""Regulation (EU) 2016/679: the articles that a platform for inference touches. No legal advice."""

from console.compliance.clause import GDPR, Clause
from console.compliance.texts import NOTHING, Text

T = Text


def _clause(
    number: str,
    title: Text,
    asks: Text,
    feature: Text = NOTHING,
    checks: str = "",
    customer: Text = NOTHING,
    missing: Text = NOTHING,
) -> Clause:
    return Clause(number, title, asks, feature, tuple(checks.split()), customer, missing, GDPR)


CLAUSES = (
    _clause(
        "Art. 5(1)a–b",
        T("Lawfulness and purpose", "合法性与目的限制"),
        T("Lawful, fair, for stated purposes only.", "合法、公平，仅用于明确的目的。"),
        T(
            "Texts are used for the answer and the record alone, never for training; who reads "
            "them later gives a reason, on record.",
            "文本仅用于应答与留存，绝不用于训练；事后读取须注明理由并留痕。",
        ),
        "text_access data_map",
        T("The legal basis of what you ask the models.", "您使用模型的法律依据。"),
    ),
    _clause(
        "Art. 5(1)c, 25",
        T("Minimisation, by design and by default", "数据最小化与默认保护"),
        T("No more data than needed, as it comes.", "默认仅处理必要的数据。"),
        T(
            "Texts encrypted by default; networks in place of addresses; pseudonyms in the trail; "
            "a class for every field.",
            "默认加密文本；以网段代替地址；审计使用假名；每个字段均有分类。",
        ),
        "data_map aead",
    ),
    _clause(
        "Art. 5(1)e",
        T("Storage limitation", "存储限制"),
        T("No longer than needed.", "保存不超过必要的期限。"),
        T(
            "Retention by tenant and class; months are dropped by themselves when their time is "
            "over.",
            "按租户与数据类别设定保存期限；到期的月份自动删除。",
        ),
        "oldest_row retention_floor exports",
    ),
    _clause(
        "Art. 5(1)f, 32(1)a–b",
        T("Security", "安全性"),
        T(
            "Encryption, confidentiality, integrity, availability, resilience.",
            "加密、保密性、完整性、可用性与韧性。",
        ),
        T(
            "Envelope encryption, two walls between tenants, second factors, a tamper-evident "
            "trail.",
            "信封加密、租户间双重隔离、双因素、可发现篡改的审计。",
        ),
        "row_security aead keys second_factors trail browsers ports hops",
        T("Availability of machines and networks.", "主机与网络的可用性。"),
    ),
    _clause(
        "Art. 5(2)",
        T("Accountability", "问责"),
        T("Be able to show compliance.", "能够证明合规。"),
        T(
            "This page, its signed report, and a trail that verifies offline.",
            "本页、签名报告以及可离线校验的审计记录。",
        ),
        "trail verified append_only witnesses",
    ),
    _clause(
        "Art. 12(3)",
        T("Answer in time", "及时答复"),
        T("Answer within a month.", "一个月内答复。"),
        T(
            "Deletion requests have a clock of 72 hours, with an alert after 48. (Not the 72 "
            "hours of article 33.)",
            "删除请求时限 72 小时，48 小时报警（与第 33 条的 72 小时无关）。",
        ),
        "deletion_clock",
    ),
    _clause(
        "Art. 15",
        T("Access", "访问权"),
        T("A copy of one's data.", "获取本人数据的副本。"),
        T(
            "Export of everything that is kept of one person.",
            "导出所保存的个人全部数据。",
        ),
        "exports data_map",
        T("Purposes and recipients beyond this platform.", "平台之外的目的与接收方。"),
    ),
    _clause(
        "Art. 16, 18",
        T("Rectification and restriction", "更正与限制处理"),
        T("Correct data; stop processing on request.", "更正数据；按请求停止处理。"),
        T(
            "A deletion request in the mode restrict stops processing and keeps the data until "
            "retention ends.",
            "“限制”模式的删除请求会停止处理，并将数据保留至保存期限结束。",
        ),
        "deletion_clock holds",
    ),
    _clause(
        "Art. 17, 19",
        T("Erasure, and telling recipients", "删除权与通知接收方"),
        T("Erase without undue delay; tell recipients.", "及时删除并通知接收方。"),
        T(
            "Keys destroyed, every store emptied, certificate signed; recipients are told; a "
            "restore erases again.",
            "销毁密钥、清空各存储、签发证书；通知接收方；恢复备份后再次删除。",
        ),
        "deletion_clock erased recipients",
    ),
    _clause(
        "Art. 20",
        T("Portability", "可携带权"),
        T("In a format that machines read.", "以机器可读格式提供。"),
        T("The same export, as JSON lines.", "同一导出，格式为 JSON 行。"),
        "exports",
    ),
    _clause(
        "Art. 22",
        T("Automated decisions", "自动化决策"),
        T("No decision of weight by machines alone.", "不得仅由机器作出重大决定。"),
        T(
            "The platform decides about limits only; each refusal is explained and can be raised "
            "by people.",
            "平台仅决定限额；每次拒绝均有解释，可由人工调整。",
        ),
        "refusals",
        T("What you decide by the models' answers.", "您依据模型回答作出的决定。"),
    ),
    _clause(
        "Art. 28",
        T("Processors", "处理者"),
        T("Contracts, and a list of sub-processors.", "合同与子处理者清单。"),
        T(
            "Hosted models are listed; a tenant that is local-only never reaches one.",
            "列出托管模型；“仅本地”租户永不使用。",
        ),
        "recipients residency operator_access",
        T("Contracts with processors.", "与处理者的合同。"),
    ),
    _clause(
        "Art. 30",
        T("Records of processing", "处理活动记录"),
        T("A record of what is processed, why, and for how long.", "记录处理的内容、目的与期限。"),
        T(
            "Generated from the data map of the running models; a field without a class fails the "
            "build.",
            "由运行中模型的数据地图生成；未分类的字段会使构建失败。",
        ),
        "data_map",
        T("Processing outside of this platform.", "平台之外的处理。"),
    ),
    _clause(
        "Art. 32(1)c",
        T("Restoring", "恢复能力"),
        T("Restore availability in time.", "及时恢复可用性。"),
        customer=T("Backups and tests of restoring.", "备份与恢复演练。"),
    ),
    _clause(
        "Art. 32(1)d",
        T("Regular tests", "定期测试"),
        T("Test measures regularly.", "定期测试安全措施。"),
        T(
            "Every check of this page runs each night; its results are kept for three years.",
            "本页各项检查每晚运行，结果保存三年。",
        ),
        "row_security append_only retention_floor aead input",
    ),
    _clause(
        "Art. 33–34",
        T("Breaches", "数据泄露"),
        T(
            "Tell the authority within 72 hours, and people where the risk is high.",
            "72 小时内通知监管机构，高风险时通知个人。",
        ),
        T(
            "The trail answers who is concerned: by key, network, time and model.",
            "审计记录可按密钥、网络、时间与模型查明受影响者。",
        ),
        "lockouts text_access",
        T("The notice itself, and its clock.", "通知本身及其时限。"),
        T("An incident record with a clock of its own.", "带独立时限的事件记录。"),
    ),
    _clause(
        "Art. 35",
        T("Impact assessment", "影响评估"),
        T("Assess what is risky, beforehand.", "事先评估高风险处理。"),
        T("Data map and recipients, ready to be copied.", "可直接引用的数据地图与接收方。"),
        "data_map recipients",
        T("The assessment.", "评估本身。"),
    ),
    _clause(
        "Art. 44–49",
        T("Transfers", "跨境传输"),
        T("Transfers to other countries on a legal ground only.", "仅在有法律依据时跨境传输。"),
        T("Local-only tenants; hosted models are listed.", "“仅本地”租户；列出托管模型。"),
        "residency recipients",
        T(
            "Where hosted models stand, and the ground for it.",
            "托管模型所在地及其依据。",
        ),
        T("Regions of upstreams, allowed tenant by tenant.", "按租户设定允许的上游地区。"),
    ),
)
