"""Compares the database's catalogue with what the product ships, to show loosened protection.

Someone who can loosen it can also undo this check: it finds accidents, and intruders in a hurry.
Changes to rows are shown by the seals (audit/verification/verify.py).
"""

import logging
import time
from collections.abc import Iterator, Sequence
from datetime import date, timedelta
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Warning
from django.db import transaction
from django.utils import timezone

from audit.actions import Action
from audit.models import CheckRun
from audit.proof.seal_mark import CannotSeal, unsealed_age
from audit.trail import append_only, database_owner, partitions
from audit.trail.record import act
from audit.trail.shipped_sql import Function, loose_guards, setting, shipped
from infrastructure.postgres.queries import rows, value
from infrastructure.postgres.scope import scope

log = logging.getLogger(__name__)
NAME = "audit.catalogue"
REMEDY = "run `manage.py migrate`: it puts triggers, functions and policies in their place"
MONTHS_AHEAD = 2  # partitions.MONTHS_AHEAD, less a month in which making them may fail
UNSEALED_S = 60.0
WAITING = (
    "events wait for their seal: see whether beat and a worker of the queue `jobs` run, what they "
    "log of audit.seal, and whether a transaction has been open for long (pg_stat_activity)"
)
KEPT = timedelta(days=30)  # the results of each minute

_TABLES = """
    select c.relname, p.relname, c.relrowsecurity and c.relforcerowsecurity,
           c.relowner::regrole::text,
           array(select case grantee when 0 then 'public' else grantee::regrole::text end
                       || ' ' || privilege_type
                 from aclexplode(c.relacl) where grantee <> c.relowner)
           || array(select 'column ' || attname from pg_attribute
                    where attrelid = c.oid and attacl is not null),
           array(select polname || ' ' || polcmd::text || ' ' || polroles::text || ' '
                        || coalesce(pg_get_expr(polqual, polrelid), '') || ' '
                        || coalesce(pg_get_expr(polwithcheck, polrelid), '')
                 from pg_policy where polrelid = c.oid order by 1),
           array(select rulename::text from pg_rewrite where ev_class = c.oid)
    from pg_class c left join pg_inherits i on i.inhrelid = c.oid
    left join pg_class p on p.oid = i.inhparent
    where c.relnamespace = current_schema()::regnamespace and c.relkind in ('r', 'p')
      and (c.relname = any(%(tables)s) or p.relname = any(%(tables)s)) order by 1"""
_TRIGGERS = """
    select c.relname, t.tgname, f.proname, t.tgtype, t.tgenabled::text,
           t.tgqual is null and t.tgattr = ''
    from pg_trigger t join pg_class c on c.oid = t.tgrelid join pg_proc f on f.oid = t.tgfoid
    where c.relnamespace = current_schema()::regnamespace and not t.tgisinternal
      and c.relname = any(%s)"""
_FUNCTIONS = """
    select proname, prosrc, prosecdef, coalesce(proconfig, '{}'), proowner::regrole::text
    from pg_proc where pronamespace = current_schema()::regnamespace and proname = any(%s)"""
_ROLE = """
    select o.rolcanlogin or o.rolsuper,
           pg_has_role(current_user, o.oid, 'MEMBER') and not me.rolsuper,
           has_schema_privilege(current_schema(), 'CREATE') and not me.rolsuper,
           (select datdba = o.oid from pg_database where datname = current_database())
    from pg_roles o, pg_roles me where o.rolname = %s and me.rolname = current_user"""
_SEALED = "select coalesce(extract(epoch from now() - max(at)), 0)::float from audit_checkpoint"
_ROW, _TRUNCATE = 27, 34  # pg_trigger.tgtype: before update or delete, each row; before truncate


# The checks -----------------------------------------------------------------------------------
def problems() -> list[str]:
    """Returns the differences from what should be; empty if all is well."""
    tables = rows(_TABLES, {"tables": append_only.tables()})
    names = [row[0] for row in tables]
    return [
        *_missing(names),
        *_loose_tables(tables),
        *_loose_triggers({row[0]: row[1] or row[0] for row in tables}),
        *loose_guards(),
        *_loose_functions(shipped()),
        *_loose_roles(tables),
        *_strays(),
    ]


def is_migrated() -> bool:
    return bool(value("select to_regclass('audit_seal') is not null"))


def _missing(names: Sequence[str]) -> Iterator[str]:
    for table in append_only.tables():
        if table not in names:
            yield f"table {table} is missing"
    now = timezone.now()
    for ahead in range(MONTHS_AHEAD + 1):
        month = date(now.year + (now.month - 1 + ahead) // 12, (now.month - 1 + ahead) % 12 + 1, 1)
        for table in append_only.PARTITIONED:
            if (name := partitions.name(table, month)) not in names:
                yield f"partition {name} is missing"


def _loose_tables(tables: list[Any]) -> Iterator[str]:
    policies = {row[0]: row[5] for row in tables}
    for name, parent, forced, _owner, _grants, own, rules in tables:
        if (own or policies.get(parent)) and not forced:
            yield f"table {name}: row-level security is not on, or not forced"
        if parent and own != policies[parent]:
            yield f"table {name}: policies are not those of {parent}"
        for rule in rules:
            yield f"table {name}: rule {rule} is not ours"


def _loose_triggers(parents: dict[str, str]) -> Iterator[str]:
    triggers = {(row[0], row[1]): tuple(row[2:]) for row in rows(_TRIGGERS, [list(parents)])}
    ours = {function.name for function in shipped()}
    for name, parent in parents.items():
        refuse = "audit_refuse_text_change" if parent == "audit_payload" else "audit_refuse_change"
        for trigger, function, kind in (
            ("audit_append_only", refuse, _ROW),
            ("audit_no_truncate", "audit_refuse_truncate", _TRUNCATE),
        ):
            if triggers.pop((name, trigger), None) != (function, kind, "O", True):
                yield f"table {name}: trigger {trigger} is missing, disabled or different"
    for (name, trigger), (function, *_how) in triggers.items():
        if function not in ours:
            yield f"table {name}: trigger {trigger} is not ours"
    if value("select current_setting('session_replication_role')") != "origin":
        yield "session_replication_role is not origin: no trigger fires"


def _loose_functions(functions: list[Function]) -> Iterator[str]:
    there = rows(_FUNCTIONS, [[function.name for function in functions]])
    for function in functions:
        same_name = [row for row in there if row[0] == function.name]
        if len(same_name) != 1:
            state = "there more than once" if same_name else "missing"
            yield f"function {function.name} is {state}"
        elif _as_shipped(same_name[0]) != function:
            yield f"function {function.name} is different"


def _as_shipped(row: Any) -> Function:
    name, body, as_owner, config, _owner = row
    settings_ = frozenset(setting(*one.split("=", 1)) for one in config)
    return Function(name, body, as_owner, settings_)


def _loose_roles(tables: list[Any]) -> Iterator[str]:
    """Yields faults of roles, if the tables were handed over (audit/trail/database_owner.py)."""
    if not database_owner.owner_exists():
        return
    owner = database_owner.OWNER
    ((may_sign_in, member, may_create, has_database),) = rows(_ROLE, [owner])
    if may_sign_in:
        yield f"role {owner} can sign in, or is a superuser"
    if member:
        yield f"the application can become {owner}"
    if may_create:
        yield "the application may create tables and functions"
    if not has_database:
        yield f"the database does not belong to {owner}"
    for name, parent, _forced, has, grants, *_rest in tables:
        if has != owner:
            yield f"table {name} belongs to {has}"
        allowed = database_owner.wanted(name, parent)
        for grant in grants:
            if grant.split()[-1] not in allowed:
                yield f"table {name}: granted to {grant}"
    for name, _body, _as_owner, _config, has in rows(_FUNCTIONS, [[f.name for f in shipped()]]):
        if has != owner:
            yield f"function {name} belongs to {has}"


def _strays() -> Iterator[str]:
    there = value("select to_regproc('audit_stray_rows') is not null")
    if there and value("select audit_stray_rows()"):
        yield "rows lie in no month: see the partitions _default"


def _sealing() -> tuple[list[str], float]:
    """Returns what keeps events from being sealed, and for how many seconds."""
    try:
        age = unsealed_age()
    except CannotSeal as problem:
        return [str(problem)], float(value(_SEALED))
    return [WAITING] if age > UNSEALED_S else [], age


# The callers -------------------------------------------------------------------------------------
def catalogue(*, databases: Sequence[str] | None = None, **kwargs: Any) -> list[CheckMessage]:
    """Django's check at each start.

    A superuser who migrates gets no warnings: the migration is about to repair all of it.
    """
    if not databases or settings.APPLICATION_ROLE or not is_migrated():
        return []
    return [Warning(problem, hint=REMEDY, id="audit.W001") for problem in problems()]


def run() -> CheckRun:
    """Runs each minute: stores the result, and logs and audits problems that are new."""
    began, at = time.monotonic(), timezone.now()
    with scope(system=True):
        faults, (sealing, age) = problems(), _sealing()
        faults += sealing
        before = CheckRun.objects.filter(name=NAME).order_by("-at").first()
        if faults and (before is None or faults != before.figures.get("problems")):
            detail = {"problems": faults[:20], "count": len(faults)}
            act(Action.AUDIT_DRIFT, actor="system:self_check", success=False, detail=detail)
        figures = {"problems": faults, "unsealed_s": round(age, 1)}
        check_run = CheckRun.record(NAME, at, began, figures, "; ".join(faults))
        CheckRun.objects.filter(name=NAME, at__lt=at - KEPT).delete()
    if faults:
        transaction.on_commit(lambda: log.error("audit trail: %s", "; ".join(faults)))
    return check_run
