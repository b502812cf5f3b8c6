"""GB/T 22239-2019, general requirements of level 3 that software can answer, and section 8.2.

They are short and in our words; the standard's own text is at openstd.samr.gov.cn. The last entries
are those that no software can answer.
"""

from console.compliance.clause import MLPS, Clause
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
    return Clause(number, title, asks, feature, tuple(checks.split()), customer, missing, MLPS)


CLAUSES = (
    _clause(
        "8.1.2.2 a–b",
        T("Communication", "通信传输"),
        T(
            "Integrity and confidentiality in transit, by cryptography.",
            "采用密码技术保证通信过程中数据的完整性与保密性。",
        ),
        T(
            "TLS 1.3 at its own ports, or TLS at the reverse proxy; TLS to database, Redis and "
            "engines on other machines; Secure cookies and HSTS as soon as the public address is "
            "https.",
            "自身端口使用 TLS 1.3，或由反向代理终结 TLS；"
            "到其他机器上的数据库、Redis 与引擎使用 TLS；"
            "公开地址为 https 时启用 Secure Cookie 与 HSTS。",
        ),
        "browsers ports hops",
        T(
            "Certificates; TLS versions and ciphers of a proxy; SM algorithms where they are owed.",
            "证书；代理的 TLS 版本与密码套件；需要时的国密算法。",
        ),
    ),
    _clause(
        "8.1.3.3 a–d",
        T("Intrusion prevention at the boundary", "边界入侵防范"),
        T(
            "Detect and limit attacks; record source, kind, target and time; raise an alarm.",
            "检测、限制攻击行为；记录来源、类型、目标与时间，并报警。",
        ),
        T(
            "Limits by tenant, key and address; lock after five wrong passwords; every refusal is "
            "on record with its network.",
            "按租户、密钥与地址限流；五次口令错误后锁定；每次拒绝均记录来源网络。",
        ),
        "refusals lockouts",
        T(
            "Firewall and network intrusion detection; alarms from your monitoring.",
            "防火墙与网络入侵检测；由您的监控系统报警。",
        ),
    ),
    _clause(
        "8.1.3.5 a–d",
        T("Security audit at the boundary", "边界安全审计"),
        T(
            "Audit every user: date, user, kind, success; protect and back up the records.",
            "审计覆盖每个用户：日期、用户、类型、是否成功；保护并备份记录。",
        ),
        T(
            "Two events for each request, one for each act and sign-in; append-only, sealed and "
            "signed.",
            "每个请求两条事件，每次操作与登录一条；仅可追加，封存并签名。",
        ),
        "recorded append_only trail",
        T("Backups of the database.", "数据库备份。"),
    ),
    _clause(
        "8.1.4.1 a",
        T("Identity: accounts and passwords", "身份鉴别：账户与口令"),
        T(
            "Unique identity; complex passwords, changed regularly.",
            "身份标识唯一；口令复杂并定期更换。",
        ),
        T(
            "One account for each address of email; profile mlps-l3: 12 characters, four classes, "
            "90 days, the last five not again.",
            "每个邮箱一个账户；mlps-l3 配置：至少 12 位、四类字符、90 天更换、不得与最近五次相同。",
        ),
        "profile passwords default_accounts",
    ),
    _clause(
        "8.1.4.1 b",
        T("Identity: failed sign-ins and sessions", "身份鉴别：登录失败与会话"),
        T(
            "Handle failed sign-ins, limit their number, end idle sessions.",
            "登录失败处理、限制次数、空闲超时退出。",
        ),
        T(
            "Five wrong passwords lock for 30 minutes; under mlps-l3 a session ends after 30 idle "
            "minutes; after 12 hours in any case.",
            "五次口令错误锁定 30 分钟；mlps-l3 下空闲 30 分钟退出；任何会话至多 12 小时。",
        ),
        "profile sessions lockouts",
    ),
    _clause(
        "8.1.4.1 c",
        T("Identity: remote administration", "身份鉴别：远程管理"),
        T(
            "Credentials of remote administration cannot be overheard.",
            "远程管理时防止鉴别信息被窃听。",
        ),
        T(
            "The console is used in the browser, over TLS; cookies are Secure, HttpOnly, SameSite.",
            "控制台通过浏览器以 TLS 访问；Cookie 为 Secure、HttpOnly、SameSite。",
        ),
        "browsers",
        T("SSH access to the machines.", "对主机的 SSH 访问。"),
    ),
    _clause(
        "8.1.4.1 d",
        T("Identity: two factors", "身份鉴别：双因素"),
        T(
            "Two or more kinds of authentication, one of them cryptographic.",
            "采用两种以上鉴别技术，其中至少一种使用密码技术。",
        ),
        T(
            "Authenticator app (TOTP) or security key (WebAuthn), a duty of operators, owners, "
            "administrators and auditors.",
            "验证器应用（TOTP）或安全密钥（WebAuthn），运维人员、所有者、管理员与审计员必须启用。",
        ),
        "second_factors",
    ),
    _clause(
        "8.1.4.2 a–c",
        T("Access: accounts", "访问控制：账户"),
        T(
            "Accounts with rights; no default accounts or passwords; no stale or shared accounts.",
            "分配账户与权限；无默认账户与口令；及时删除多余、过期账户，避免共享账户。",
        ),
        T(
            "Accounts come by one-time invitation only, none is shipped; roles; removal ends "
            "sessions within a second.",
            "账户仅由一次性邀请产生，出厂无账户；基于角色授权；移除后一秒内会话失效。",
        ),
        "default_accounts dormant_accounts role_matrix",
        T(
            "That each account is one person's; removing who has left.",
            "确保一人一账户，并移除离职人员。",
        ),
    ),
    _clause(
        "8.1.4.2 d",
        T("Access: least privilege, separate administrators", "访问控制：最小权限与权限分离"),
        T(
            "Administrators get the least that they need, and their duties are separate.",
            "授予管理用户所需的最小权限，实现管理用户权限分离。",
        ),
        T(
            "System, security and audit administration under mlps-l3: a role has one of them only, "
            "and an operator of the platform is no member.",
            "mlps-l3 下系统、安全、审计三权分立：每个角色仅有其一，平台运维人员不得为成员。",
        ),
        "profile duties role_matrix",
        T("To appoint different people.", "任命不同的人员。"),
    ),
    _clause(
        "8.1.4.2 e–f",
        T("Access: policy and its granularity", "访问控制：策略与粒度"),
        T(
            "Authorised subjects set the policy, down to users and tables.",
            "由授权主体配置访问控制策略，粒度达到用户级与表级。",
        ),
        T(
            "Permissions by role, models granted to teams and keys, row-level security on every "
            "table with tenants' rows.",
            "按角色授权，模型可授予团队与密钥，所有含租户数据的表启用行级安全。",
        ),
        "row_security role_matrix",
    ),
    _clause(
        "8.1.4.2 g",
        T("Access: security labels", "访问控制：安全标记"),
        T(
            "Label important subjects and objects, and control access by the labels.",
            "对重要主体和客体设置安全标记，并据此控制访问。",
        ),
        T(
            "Models can be restricted to named teams and keys, tenants to local models.",
            "模型可限定给指定团队与密钥，租户可限定为本地模型。",
        ),
        "residency",
        NOTHING,
        T(
            "Labels of sensitivity on keys, data sets and models.",
            "密钥、数据集与模型的敏感级别标记。",
        ),
    ),
    _clause(
        "8.1.4.3 a–d",
        T("Security audit", "安全审计"),
        T(
            "All users, all fields; records protected and backed up; the process cannot be "
            "interrupted.",
            "覆盖每个用户与各字段；保护并备份记录；保护审计进程不被中断。",
        ),
        T(
            "Fail closed: without its event no request is answered. Append-only by triggers, "
            "sealed each second, witnesses outside the database.",
            "失败即关闭：无审计事件则不应答。触发器保证只可追加，每秒封存，数据库之外有见证。",
        ),
        "recorded append_only protections trail verified unsealed witnesses",
        T("Backups of the database.", "数据库备份。"),
    ),
    _clause(
        "8.1.4.4 a–c",
        T("Intrusion: minimal installation, ports, terminals", "入侵防范：最小安装、端口与终端"),
        T(
            "Install what is needed only, close ports, limit the terminals of administration.",
            "最小安装，关闭不需要的端口，限制管理终端地址。",
        ),
        T(
            "One port; API keys can be bound to networks.",
            "仅一个对外端口；API 密钥可绑定网络地址。",
        ),
        "",
        T(
            "Hardening of the operating system, open ports, addresses that reach the console.",
            "操作系统加固、开放端口、可访问控制台的地址。",
        ),
    ),
    _clause(
        "8.1.4.4 d",
        T("Intrusion: input", "入侵防范：输入校验"),
        T(
            "Check that input meets the rules of the system.",
            "对人机接口或通信接口的输入进行有效性校验。",
        ),
        T(
            "Every request is checked in type, range and size before anything is done with it.",
            "每个请求在处理前均校验类型、范围与大小。",
        ),
        "input",
    ),
    _clause(
        "8.1.4.4 e–f",
        T("Intrusion: vulnerabilities and detection", "入侵防范：漏洞与检测"),
        T(
            "Find and mend known vulnerabilities; detect intrusion on key nodes.",
            "发现并修补已知漏洞；检测对重要节点的入侵并报警。",
        ),
        T(
            "Dependencies are pinned with hashes; each release names them.",
            "依赖均以哈希锁定，并随版本列出。",
        ),
        "",
        T(
            "Vulnerability scans, updates, host intrusion detection.",
            "漏洞扫描、更新与主机入侵检测。",
        ),
    ),
    _clause(
        "8.1.4.5",
        T("Malicious code", "恶意代码防范"),
        T("Recognise and stop malicious code.", "识别并阻断恶意代码。"),
        T(
            "Nothing that is received is executed; messages between processes are data only, "
            "no pickle.",
            "从不执行收到的内容；进程间消息仅为数据，不使用 pickle。",
        ),
        "",
        T("Malware protection of the machines.", "主机的恶意代码防护。"),
    ),
    _clause(
        "8.1.4.6",
        T("Trusted verification (optional)", "可信验证（“可”）"),
        T("Verify boot and programs from a root of trust.", "基于可信根验证引导与应用程序。"),
        NOTHING,
        "",
        T("Secure boot and TPM of the machines.", "主机的安全启动与 TPM。"),
        T("A signed manifest of the release.", "经签名的版本清单。"),
    ),
    _clause(
        "8.1.4.7 a–b",
        T("Integrity of data", "数据完整性"),
        T(
            "Cryptographic integrity in transit and at rest.",
            "以密码技术保证传输与存储的数据完整性。",
        ),
        T(
            "Authenticated encryption bound to tenant, row and field; Merkle trees, chained seals "
            "and Ed25519 signatures over the trail.",
            "认证加密绑定租户、行与字段；审计采用 Merkle 树、封存链与 Ed25519 签名。",
        ),
        "aead trail ports hops",
        T("Checksums of the database's storage.", "数据库存储的校验和。"),
    ),
    _clause(
        "8.1.4.8 a–b",
        T("Confidentiality of data", "数据保密性"),
        T(
            "Cryptographic confidentiality in transit and at rest.",
            "以密码技术保证传输与存储的数据保密性。",
        ),
        T(
            "Prompts, answers and conversations under AES-256-GCM; a key for each person, under "
            "one for each tenant, under the master key.",
            "提示词、回答与会话以 AES-256-GCM 加密；主密钥、租户密钥、个人密钥逐级加密。",
        ),
        "aead keys ports hops browsers",
        T(
            "The master key's safe keeping; SM algorithms where they are owed.",
            "主密钥的保管；需要时的国密算法。",
        ),
    ),
    _clause(
        "8.1.4.9 a–c",
        T("Backup and recovery", "数据备份恢复"),
        T(
            "Local backup and restore, off-site in real time, hot redundancy.",
            "本地备份与恢复、异地实时备份、热冗余。",
        ),
        T(
            "After a restore, what had been erased is erased again before anybody gets in.",
            "恢复后，先前已删除的数据会在开放访问前再次删除。",
        ),
        "erased",
        T(
            "Backups, tests of restoring, replicas.",
            "备份、恢复演练与副本。",
        ),
    ),
    _clause(
        "8.1.4.10 a–b",
        T("Residual information", "剩余信息保护"),
        T(
            "Credentials and sensitive data are cleared before storage is used again.",
            "鉴别信息与敏感数据所在存储空间在再分配前清除。",
        ),
        T(
            "Destroying a person's key makes every text of theirs unreadable, in every copy.",
            "销毁个人密钥后，其全部文本在任何副本中均不可读。",
        ),
        "erased",
        T("Disposal of disks.", "磁盘的销毁。"),
        T(
            "Proof that a GPU's cache is cleared between tenants.",
            "租户切换时 GPU 缓存清除的证明。",
        ),
    ),
    _clause(
        "8.1.4.11 a–b",
        T("Personal information", "个人信息保护"),
        T(
            "Collect only what is needed; no unauthorised use.",
            "仅采集必需的个人信息；禁止未授权访问和使用。",
        ),
        T(
            "Data map of every field; shortened addresses; texts are read with a reason only, on "
            "record.",
            "全字段数据地图；地址截断；读取文本须注明理由并留痕。",
        ),
        "data_map text_access",
    ),
    _clause(
        "8.1.5.1 a–b",
        T("System administration", "系统管理"),
        T(
            "System administrators are authenticated, act through defined interfaces, and are "
            "audited.",
            "对系统管理员进行身份鉴别，仅允许通过特定界面操作并审计。",
        ),
        T(
            "Console and manage.py; each act stands in one transaction with its event.",
            "控制台与 manage.py；每个操作与其审计事件同属一个事务。",
        ),
        "second_factors administration operator_access",
    ),
    _clause(
        "8.1.5.2 a–b",
        T("Audit administration", "审计管理"),
        T(
            "Audit administrators likewise; analyse, store, search and manage records.",
            "对审计管理员同样要求；对记录分析、存储、查询和管理。",
        ),
        T(
            "Role auditor: search, export and verify; own searches are on record.",
            "审计员角色：检索、导出与校验；其检索同样留痕。",
        ),
        "duties text_access trail",
        T("The regular review of the records.", "定期审阅记录。"),
    ),
    _clause(
        "8.1.5.3 a–b",
        T("Security administration", "安全管理"),
        T(
            "Security administrators set parameters, labels and authorisations.",
            "安全管理员负责配置安全参数、标记与授权。",
        ),
        T(
            "Settings of the tenant, members and retention are a duty of their own; raises and "
            "holds take two people.",
            "租户设置、成员与保存期限为独立职责；提额与法律保全须两人。",
        ),
        "duties administration",
    ),
    _clause(
        "8.1.5.4 a–f",
        T("Central control", "集中管控"),
        T(
            "Central monitoring; logs are collected, kept as long as the law asks; alarms.",
            "集中监测；收集审计数据并按法律规定期限保存；报警。",
        ),
        T(
            "One console for all tenants; retention of at least 184 days that nobody can lower.",
            "一个控制台管理所有租户；保存期限至少 184 天，任何人不可调低。",
        ),
        "retention_floor oldest_row unsealed",
        T(
            "Monitoring and patching of machines and networks.",
            "主机与网络的监测与补丁管理。",
        ),
    ),
    _clause(
        "8.2",
        T("Cloud extension", "云计算扩展要求"),
        T(
            "Data stays in the country; the customer can audit the provider's access and gets "
            "their data back, deleted at the end.",
            "数据境内存储；云服务客户可审计服务商的操作；可取回数据，退出时删除。",
        ),
        T(
            "Local-only tenants; an operator's look into a tenant is on that tenant's record; "
            "export and certificates of erasure.",
            "“仅本地”租户；运维人员进入租户会记入该租户的审计；导出与删除证书。",
        ),
        "residency recipients operator_access erased exports",
        T("Where the machines stand.", "机器所在地。"),
    ),
    _clause(
        "8.1.1",
        T("Physical environment", "安全物理环境"),
        T("Site, access, power, fire, water, climate.", "选址、出入、电力、消防、防水、温湿度。"),
        customer=T("Your data centre.", "您的机房。"),
    ),
    _clause(
        "8.1.2.1, 8.1.3.1–2",
        T("Network architecture and boundary", "网络架构与边界防护"),
        T("Zones, redundancy, boundary devices.", "分区、冗余与边界设备。"),
        customer=T("Your network.", "您的网络。"),
    ),
    _clause(
        "8.1.6–8.1.10",
        T("Management", "安全管理制度、机构、人员、建设与运维"),
        T(
            "Policies, organisation, people, building and operation.",
            "安全管理制度、管理机构、管理人员、建设管理与运维管理。",
        ),
        customer=T(
            "Your organisation; filing and the yearly assessment by a licensed body too.",
            "您的组织；包括定级备案与每年由有资质机构进行的测评。",
        ),
    ),
)
