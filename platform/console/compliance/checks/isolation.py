"""A check that compares the catalogue of PostgreSQL with the walls that keep tenants apart."""

from console.compliance.check import Check, Outcome, Problem, Reach
from console.compliance.texts import Text
from tenants.isolation import check, composite_keys, row_security
from tenants.models import Tenant

SHOWN = 20


def _catalogue(_tenant: Tenant | None) -> Outcome:
    problems = row_security.check()
    if check.sees_all_by_itself():
        problems.append("forebay.system is on in the settings of the role or the database")
    if problem := check.requests_problem():
        problems.append(problem)
    guarded = row_security.guarded()
    figures = {
        "tables": len(guarded),
        "policies": sum(map(len, guarded.values())),
        "tenant_keys": len(composite_keys.wanted()),
        "gaps": len(problems),
    }
    if problems:
        return Outcome("gaps", {**figures, "found": problems[:SHOWN]})
    return Outcome("", figures)


CHECKS = (
    Check(
        "row_security",
        Text("Row-level security of every table", "每张表的行级安全策略"),
        Text(
            "Compares PostgreSQL's catalogue (tables, partitions, policies, foreign keys, role) "
            "with what the models ask for.",
            "将 PostgreSQL 系统目录（表、分区、策略、外键、角色）与模型的要求逐项比对。",
        ),
        _catalogue,
        {
            "gaps": Problem(
                Text(
                    "The database does not keep tenants apart everywhere.",
                    "数据库未能在所有位置隔离租户。",
                ),
                Text(
                    "Run `manage.py migrate`: it puts tables, policies and keys in their place. "
                    "Let DATABASE_URL name a role that is no superuser.",
                    "运行 `manage.py migrate`，它会补齐表、策略和外键；"
                    "DATABASE_URL 中的角色不得为超级用户。",
                ),
            )
        },
        Reach.GENERAL,
    ),
)
