"""Each address of the management API, and who may ask for it."""

import re
from typing import Any

from tests.console.api.conftest import Api

NIL = "00000000-0000-0000-0000-000000000000"
OPEN = {"GET schema/", "GET docs/"}  # to everybody, and about nobody
PEOPLE = "owner admin developer auditor member operator"
ALL = f"{PEOPLE} inference batch management:read management:write audit:read"
SEES = "owner admin developer auditor operator management:read"
MANAGES = "owner admin operator management:write"
KEYS = f"{MANAGES} developer"
APPROVES = "owner admin operator"
AUDITS = "owner admin auditor operator audit:read"
HOLDS = "owner admin auditor operator"
OPERATOR = "operator"
READS = "owner admin developer auditor management:read"
WRITES = "owner admin developer management:write"
SECURITY = "owner operator"
T = "tenants/acme/"
TABLE = {
    "GET me/": ALL,
    "GET tenants/": ALL,
    "POST tenants/": OPERATOR,
    f"GET {T}": SEES,
    f"PATCH {T}": SEES,  # nothing without If-Match; which field needs what: test_tenants.py
    f"POST {T}suspend/": OPERATOR,
    f"POST {T}resume/": OPERATOR,
    f"POST {T}close/": OPERATOR,
    f"GET {T}roles/": SEES,
    f"GET {T}limits/": SEES,
    f"PATCH {T}limits/": OPERATOR,
    f"GET {T}notices/": SEES,
    f"GET {T}queue/": SEES,
    f"GET {T}batches/": SEES,
    f"GET {T}batches/{NIL}/": SEES,
    f"POST {T}batches/{NIL}/pause/": KEYS,
    f"POST {T}batches/{NIL}/resume/": KEYS,
    f"POST {T}batches/{NIL}/cancel/": KEYS,
    f"GET {T}events/": AUDITS,
    f"GET {T}events/0/": AUDITS,
    f"GET {T}receipts/{NIL}/": AUDITS,
    f"GET {T}audit-exports/": AUDITS,
    f"POST {T}audit-exports/": AUDITS,
    f"GET {T}audit-exports/{NIL}/": AUDITS,
    f"DELETE {T}audit-exports/{NIL}/": AUDITS,
    f"GET {T}audit-exports/{NIL}/file/": AUDITS,
    f"GET {T}retention/": AUDITS,
    f"GET {T}retention/audit/": AUDITS,
    f"PATCH {T}retention/audit/": SECURITY,
    f"GET {T}retention/audit/preview/": AUDITS,
    f"GET {T}holds/": AUDITS,
    f"POST {T}holds/": HOLDS,
    f"GET {T}holds/{NIL}/": AUDITS,
    f"POST {T}holds/{NIL}/approve/": HOLDS,
    f"POST {T}holds/{NIL}/renew/": HOLDS,
    f"POST {T}holds/{NIL}/release/": HOLDS,
    f"GET {T}usage/": SEES,
    f"GET {T}usage/export/": SEES,
    f"GET {T}members/": SEES,
    f"GET {T}members/{NIL}/": SEES,
    f"PATCH {T}members/{NIL}/": MANAGES,
    f"DELETE {T}members/{NIL}/": MANAGES,
    f"GET {T}invitations/": SEES,
    f"POST {T}invitations/": MANAGES,
    f"GET {T}invitations/{NIL}/": SEES,
    f"DELETE {T}invitations/{NIL}/": MANAGES,
    f"GET {T}adapters/": SEES,
    f"POST {T}adapters/": KEYS,
    f"GET {T}adapters/{NIL}/": SEES,
    f"DELETE {T}adapters/{NIL}/": KEYS,
    f"POST {T}adapters/{NIL}/promote/": KEYS,
    f"POST {T}adapters/{NIL}/rollback/": KEYS,
    f"POST {T}adapters/{NIL}/cancel/": KEYS,
    f"GET {T}adapters/{NIL}/usage/": SEES,
    f"GET {T}adapters/{NIL}/promotions/": SEES,
    f"GET {T}templates/": READS,
    f"POST {T}templates/": WRITES,
    f"GET {T}templates/{NIL}/": READS,
    f"PATCH {T}templates/{NIL}/": WRITES,
    f"DELETE {T}templates/{NIL}/": WRITES,
    f"POST {T}templates/{NIL}/fill/": READS,
    f"GET {T}templates/{NIL}/versions/": READS,
    f"GET {T}templates/{NIL}/versions/0/": READS,
    f"GET {T}cache/": SEES,
    f"POST {T}cache/purge/": MANAGES,
    f"GET {T}cache/rules/": SEES,
    f"POST {T}cache/rules/": MANAGES,
    f"GET {T}cache/rules/0/": SEES,
    f"DELETE {T}cache/rules/0/": MANAGES,
    f"GET {T}teams/": SEES,
    f"POST {T}teams/": MANAGES,
    f"GET {T}teams/{NIL}/": SEES,
    f"PATCH {T}teams/{NIL}/": MANAGES,
    f"DELETE {T}teams/{NIL}/": MANAGES,
    f"GET {T}teams/{NIL}/places/": SEES,
    f"POST {T}teams/{NIL}/places/": MANAGES,
    f"GET {T}teams/{NIL}/places/{NIL}/": SEES,
    f"DELETE {T}teams/{NIL}/places/{NIL}/": MANAGES,
    f"GET {T}restricted-models/": SEES,
    f"POST {T}restricted-models/": MANAGES,
    f"GET {T}restricted-models/0/": SEES,
    f"DELETE {T}restricted-models/0/": MANAGES,
    f"POST {T}restricted-models/0/grant/": MANAGES,
    f"POST {T}restricted-models/0/withdraw/": MANAGES,
    f"GET {T}keys/": SEES,
    f"POST {T}keys/": KEYS,
    f"GET {T}keys/{NIL}/": SEES,
    f"PATCH {T}keys/{NIL}/": KEYS,
    f"POST {T}keys/{NIL}/rotate/": KEYS,
    f"POST {T}keys/{NIL}/revoke/": KEYS,
    f"GET {T}quotas/": SEES,
    f"POST {T}quotas/": MANAGES,
    f"GET {T}quotas/{NIL}/": SEES,
    f"PATCH {T}quotas/{NIL}/": MANAGES,
    f"DELETE {T}quotas/{NIL}/": MANAGES,
    f"GET {T}quotas/{NIL}/standing/": SEES,
    f"GET {T}raises/": SEES,
    f"POST {T}raises/": SEES.replace(" management:read", ""),
    f"GET {T}raises/{NIL}/": SEES,
    f"POST {T}raises/{NIL}/approve/": APPROVES,
    f"POST {T}raises/{NIL}/refuse/": APPROVES,
    f"GET {T}refusals/": SEES,
    f"GET {T}refusals/ref_{NIL}/": SEES,
    f"GET {T}deletion-requests/": ALL,  # one's own
    f"POST {T}deletion-requests/": ALL,
    f"GET {T}deletion-requests/{NIL}/": ALL,
    f"POST {T}deletion-requests/{NIL}/approve/": APPROVES,
    f"POST {T}deletion-requests/{NIL}/refuse/": APPROVES,
    f"POST {T}deletion-requests/{NIL}/lift/": APPROVES,
    f"GET {T}key-rotations/": SECURITY,
    f"POST {T}key-rotations/": SECURITY,
    f"GET {T}key-rotations/{NIL}/": SECURITY,
    f"GET {T}reconciliations/": SEES,
    f"GET {T}reconciliations/0/": SEES,
    "GET tiers/": OPERATOR,
    "GET tiers/vip/": OPERATOR,
    "PATCH tiers/vip/": OPERATOR,
    "GET deletion-requests/": ALL,
    "POST deletion-requests/": ALL,
    f"GET deletion-requests/{NIL}/": ALL,
    "GET prices/": OPERATOR,
    "POST prices/": OPERATOR,
    "GET prices/0/": OPERATOR,
    "POST prices/0/end/": OPERATOR,
    "GET models/": OPERATOR,
    "POST models/": OPERATOR,
    f"GET models/{NIL}/": OPERATOR,
    f"DELETE models/{NIL}/": OPERATOR,
    "GET pools/": OPERATOR,
    f"GET pools/{NIL}/queue/": OPERATOR,
    f"POST pools/{NIL}/queue/lower/": OPERATOR,
    f"POST pools/{NIL}/queue/cancel/": OPERATOR,
    "POST pools/": OPERATOR,
    f"GET pools/{NIL}/": OPERATOR,
    f"PATCH pools/{NIL}/": OPERATOR,
    f"DELETE pools/{NIL}/": OPERATOR,
    "GET batches/": OPERATOR,
    f"GET batches/{NIL}/": OPERATOR,
    f"POST batches/{NIL}/pause/": OPERATOR,
    f"POST batches/{NIL}/resume/": OPERATOR,
    f"POST batches/{NIL}/cancel/": OPERATOR,
    "GET engines/": OPERATOR,
    "POST engines/": OPERATOR,
    f"GET engines/{NIL}/": OPERATOR,
    f"PATCH engines/{NIL}/": OPERATOR,
    f"DELETE engines/{NIL}/": OPERATOR,
    f"POST engines/{NIL}/drain/": OPERATOR,
    f"POST engines/{NIL}/resume/": OPERATOR,
    f"GET engines/{NIL}/breaker/": OPERATOR,
    f"POST engines/{NIL}/breaker/": OPERATOR,
    f"POST engines/{NIL}/replace/": OPERATOR,
    "GET replacements/": OPERATOR,
    f"GET replacements/{NIL}/": OPERATOR,
    f"POST replacements/{NIL}/cancel/": OPERATOR,
    f"POST replacements/{NIL}/rollback/": OPERATOR,
    "GET operator-keys/": OPERATOR,
    "POST operator-keys/": OPERATOR,
    f"GET operator-keys/{NIL}/": OPERATOR,
    f"POST operator-keys/{NIL}/revoke/": OPERATOR,
    "GET usage/": OPERATOR,
    "GET usage/export/": OPERATOR,
}


def ask(api: Api, row: str) -> Any:
    """Without a body, and so without any effect."""
    method, path = row.split()
    if method == "GET":
        return api.get(path)
    return api.send(method.lower(), path, {} if method != "DELETE" else None)


def shape(row: str) -> str:
    row = row.replace("acme", "*").replace(f"ref_{NIL}", "*").replace(NIL, "*")
    return re.sub(
        r"/0/", "/*/", row.replace("tiers/vip", "tiers/*").replace("retention/audit", "retention/*")
    )


# Each row of the table of who may what that a key of an operator opens, and with which scope.
OPENED = {
    **dict.fromkeys((row for row in TABLE if row.startswith("GET engines/")), "engines:read"),
    **dict.fromkeys((row for row in TABLE if row.startswith("GET replacements/")), "engines:read"),
    **{row: "engines:write" for row in TABLE if "engines/" in row and not row.startswith("GET")},
    **{row: "engines:write" for row in TABLE if row.startswith("POST replacements/")},
    "GET models/": "pools:read",
    "GET models/00000000-0000-0000-0000-000000000000/": "pools:read",
    "POST models/": "pools:write",
    "DELETE models/00000000-0000-0000-0000-000000000000/": "pools:write",
    "GET pools/": "pools:read",
    "GET pools/00000000-0000-0000-0000-000000000000/": "pools:read",
    "POST pools/": "pools:write",
    "PATCH pools/00000000-0000-0000-0000-000000000000/": "pools:write",
    "DELETE pools/00000000-0000-0000-0000-000000000000/": "pools:write",
    **{row: "pools:read" for row in TABLE if row.startswith(f"GET {T}adapters/")},
    **{row: "pools:write" for row in TABLE if re.match(f"(POST|DELETE) {T}adapters/", row)},
    "GET prices/": "prices:read",
    "GET prices/0/": "prices:read",
    "POST prices/": "prices:write",
    "POST prices/0/end/": "prices:write",
    "GET tiers/": "limits:read",
    "GET tiers/vip/": "limits:read",
    "PATCH tiers/vip/": "limits:write",
    f"GET {T}limits/": "limits:read",
    f"PATCH {T}limits/": "limits:write",
}
