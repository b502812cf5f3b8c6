"""Row-level security: PostgreSQL itself shows a row only to its tenant.

tenants/scope.py opens the scope.

The policies follow from the models. `enforce` creates missing ones, `check` reports differences:
both compare the models with the catalogue, so a new table cannot be forgotten.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from django.apps import apps
from django.db import connection
from django.db.models import ForeignKey, Model

from audit.trail import database_owner
from tenants.isolation import composite_keys
from tenants.isolation.catalogue import Catalogue

# Tables without a tenant, by table or by app, and why they need no policy.
UNGUARDED = {
    "auth": "names of permissions; groups are bare anchors of teams' and keys' grants",
    "contenttypes": "names of models",
    "guardian": "not used: grants have tables of their own, with policies",
    "account": "not used but for a person's addresses, which have policies",
    "socialaccount": "not used but for a person's accounts elsewhere, which have policies",
    "axes": "refused sign-ins, of people who are not known yet",
    "django_migrations": "what has been migrated",
    "tenants_user_groups": "django's own, not used",
    "tenants_user_user_permissions": "django's own, not used",
    "tenants_price": "the platform's prices, the same for everybody",
    "tenants_tierpolicy": "the platform's tiers, the same for everybody",
    "audit_checkpoint": "hashes over all tenants' seals: they tell nothing of any",
    "audit_keymark": "how often keys were destroyed or replaced",
    "audit_sealmark": "how far the sealer has come",
    "audit_witnessmark": "how far the witnesses have heard",
    "tenants_scopekey": "one key, which the application itself cannot read",
    "tenants_schemarelease": "which version migrated last",
    "audit_prunedmonth": "months that have been dropped, of all tenants at once",
}

_TENANT = "(select tenants_scope_tenant())"
_SYSTEM = "(select current_setting('forebay.system', true)) = 'on'"
_PERSON = "(select tenants_scope_person())"
_PREFIX = "forebay_"

# Rules for SELECT: rows that a person sees before their tenant is known. Models of other apps
# define theirs themselves (`seen_by_person`).
_THEIRS = "from tenants_member where tenants_member.user_id = {person}"
_OWN = {
    # Checks of the whole platform, which name nobody.
    "audit.CheckRun": "tenant_id is null and general",
    # Invitations that wait for them.
    "tenants.Link": (
        "lower(email) = (select lower(tenants_user.email) from tenants_user"
        " where tenants_user.id = {person})"
    ),
    "tenants.Member": "user_id = {person}",
    "tenants.Tenant": f"id in (select tenants_member.tenant_id {_THEIRS})",
}

# Rows of people, who may belong to several tenants or to none: requests read all of them before the
# person is known, and change only those of their own person.
_PEOPLE = {
    "account.EmailAddress": "user_id",
    "mfa.Authenticator": "user_id",
    "socialaccount.SocialAccount": "user_id",
    "tenants.NoticePreference": "user_id",
    "tenants.PasswordHistory": "user_id",
    "tenants.TextLock": "user_id",
    "tenants.User": "id",  # requests may change only a few of its columns: sql/people.sql
}
# Credentials, which are visible only with their key, or to their person (accounts/sessions.py).
_KEYS = {
    "sessions.Session": "session_key = (select current_setting('forebay.session', true))",
    "usersessions.UserSession": f"user_id = {_PERSON}",
}


@dataclass(frozen=True, slots=True)
class Policy:
    name: str
    rule: str
    command: str = "ALL"
    roles: tuple[str, ...] = ("public",)

    def create(self, table: str) -> str:
        check = f" with check ({self.rule})" if self.command == "ALL" else ""
        return (
            f'create policy {self.name} on "{table}" for {self.command} '
            f"to {', '.join(self.roles)} using ({self.rule}){check}"
        )

    @property
    def row(self) -> tuple[object, ...]:
        """The policy in the form of Catalogue.policies, with a normal expression."""
        rule = normal(self.rule)
        check = rule if self.command == "ALL" else None
        return self.name, "PERMISSIVE", self.roles, self.command, rule, check


def guarded(*, handed_over: bool = False) -> dict[str, list[Policy]]:
    """Returns every table that must have policies, with them.

    If the tables were handed over, the system's scope opens only for its own role and for functions
    that run as the owner: no setting of a request shows it more.
    """
    roles = (database_owner.OWNER, database_owner.SYSTEM) if handed_over else ("public",)
    # PostgreSQL evaluates policies from the last name to the first, and stops at one that holds. A
    # scope's proof costs two hashes, which the system's scope, being last by name, does not need.
    system = Policy(_PREFIX + "whole", _SYSTEM, roles=roles)
    return {model._meta.db_table: [system, *_policies(model)] for model in guarded_models()}


def unguarded() -> dict[str, str]:
    """Returns tables, or whole apps, without policies, and the reason. A model may give its own."""
    own = {model._meta.db_table: getattr(model, "unguarded", "") for model in _models()}
    return UNGUARDED | {table: why for table, why in own.items() if why}


def guarded_models() -> list[type[Model]]:
    return [model for model in _models() if any(_policies(model))]


def _models() -> list[type[Model]]:
    models = apps.get_models(include_auto_created=True)
    return [model for model in models if model._meta.managed and not model._meta.proxy]


def _policies(model: type[Model]) -> Iterator[Policy]:
    if tenant := composite_keys.tenant_field(model):
        yield Policy(_PREFIX + "tenant", f"{tenant.column} = {_TENANT}")
    elif parent := _parent(model):
        target = parent.related_model._meta
        ids = f"select {target.db_table}.{target.pk.column} from {target.db_table}"
        # The parent's own policies apply.
        yield Policy(_PREFIX + "tenant", f"{parent.column} in ({ids})")
    if own := _OWN.get(model._meta.label) or getattr(model, "seen_by_person", ""):
        yield Policy(_PREFIX + "theirs", own.format(person=_PERSON), "SELECT")
    if key := _PEOPLE.get(model._meta.label):
        yield Policy(_PREFIX + "own", f"{key} = {_PERSON}")
        yield Policy(_PREFIX + "read", "true", "SELECT")
    if rule := _KEYS.get(model._meta.label):
        yield Policy(_PREFIX + "own", rule)


def _parent(model: type[Model]) -> "ForeignKey[Model, Model] | None":
    """Returns the first foreign key to a model that belongs to a tenant."""
    keys = (field for field in model._meta.concrete_fields if isinstance(field, ForeignKey))
    return next((key for key in keys if composite_keys.tenant_field(key.related_model)), None)


def enforce() -> None:
    """Brings the database to the state that `check` expects. Runs as the owner of the tables."""
    catalogue = Catalogue.read()
    for table, policies in guarded(handed_over=catalogue.handed_over).items():
        for name in catalogue.with_partitions(table):
            if list(_wrong(catalogue, name, policies)):
                _guard(catalogue, name, policies)
    composite_keys.enforce(catalogue)


def _guard(catalogue: Catalogue, table: str, policies: list[Policy]) -> None:
    with connection.cursor() as cursor:
        cursor.execute(f'alter table "{table}" enable row level security, force row level security')
        for name, *_rest in catalogue.policies[table]:
            cursor.execute(f'drop policy "{name}" on "{table}"')
        for policy in policies:
            cursor.execute(policy.create(table))


def check() -> list[str]:
    """Returns missing parts of the separation of tenants; empty if all is well."""
    catalogue = Catalogue.read()
    wanted = guarded(handed_over=catalogue.handed_over)
    problems = list(_loose(catalogue, wanted))
    for table, policies in wanted.items():
        if table not in catalogue.tables:
            problems.append(f"table {table} is missing")
        for name in catalogue.with_partitions(table):
            problems += _wrong(catalogue, name, policies)
    problems += composite_keys.check(catalogue)
    if catalogue.sees_through:
        problems.append(
            "the database role is a superuser or has BYPASSRLS: no policy holds for it; "
            "let DATABASE_URL name a role without these"
        )
    return problems


def _wrong(catalogue: Catalogue, name: str, policies: list[Policy]) -> Iterator[str]:
    table = catalogue.tables[name]
    if not (table.enabled and table.forced):
        yield f"table {name}: row-level security is not on, or not forced"
    existing = {(*p[:4], normal(p[4]), normal(p[5])) for p in catalogue.policies[name]}
    wanted = {policy.row for policy in policies}
    for policy in sorted(str(p[0]) for p in wanted - existing):
        yield f"table {name}: policy {policy} is missing or different"
    for policy in sorted({str(p[0]) for p in existing} - {str(p[0]) for p in wanted}):
        yield f"table {name}: policy {policy} is not ours"


def _loose(catalogue: Catalogue, wanted: dict[str, list[Policy]]) -> Iterator[str]:
    """Yields tables without a decision in this module, and tables with a tenant but no model."""
    known = {part for table in wanted for part in catalogue.with_partitions(table)}
    apps_of = {model._meta.db_table: model._meta.app_label for model in _models()}
    for name in catalogue.tables.keys() - known:
        if "tenant_id" in catalogue.tables[name].columns:
            yield f"table {name} has a tenant but no policy"
        elif not {name, apps_of.get(name)} & unguarded().keys():
            yield f"table {name} is neither guarded nor in row_security.UNGUARDED"


def normal(expression: str | None) -> str | None:
    """Returns it without PostgreSQL's additions: casts, brackets, column names, spaces."""
    if expression is None:
        return None
    bare = re.sub(r"::\w+|\sas\s+\S+?(?=[\s)])", "", expression.lower())
    return re.sub(r"[\s()\"]", "", bare)
