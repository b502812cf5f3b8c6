"""Foreign keys that include the tenant, so that no row can refer to another tenant's row.

For each foreign key between two models with a tenant: UNIQUE (tenant_id, id) on the target, and
FOREIGN KEY (tenant_id, x_id) in place of Django's (x_id).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from django.apps import apps
from django.db import connection
from django.db.backends.utils import names_digest
from django.db.models import Field, ForeignKey, Model

from tenants.isolation.catalogue import Catalogue, Constraint

LONGEST = 63  # the limit of a name in PostgreSQL


@dataclass(frozen=True, slots=True)
class CompositeKey:
    table: str
    tenant: str  # the column that names the tenant
    column: str
    target: str
    target_tenant: str
    target_column: str
    always: bool  # every row has a tenant, which makes Django's own constraint redundant

    @property
    def name(self) -> str:
        return _short(f"{self.table}_{self.column}_same_tenant")

    @property
    def unique_name(self) -> str:
        return _short(f"{self.target}_{self.target_column}_of_tenant")

    def is_in(self, catalogue: Catalogue) -> bool:
        return any(
            key.kind == "f"
            and (key.table, key.target) == (self.table, self.target)
            and key.columns == [self.tenant, self.column]
            and key.target_columns == [self.target_tenant, self.target_column]
            and key.valid
            for key in catalogue.constraints
        )


def tenant_field(model: type[Model]) -> "Field[Any, Any] | None":
    """Returns the field that names the tenant: of Tenant, its id."""
    if model._meta.label == "tenants.Tenant":
        return model._meta.pk
    return next((f for f in model._meta.concrete_fields if f.attname == "tenant_id"), None)


def wanted() -> list[CompositeKey]:
    return [key for model in apps.get_models() for key in _of(model)]


def _of(model: type[Model]) -> Iterator[CompositeKey]:
    tenant = tenant_field(model)
    for field in model._meta.concrete_fields:
        if not tenant or not isinstance(field, ForeignKey) or field == tenant:
            continue
        if not field.db_constraint:  # type: ignore[attr-defined]  # missing in django-stubs
            continue  # the row outlives its target, on purpose
        target = field.related_model
        target_tenant = tenant_field(target)
        if target_tenant and target._meta.label != "tenants.Tenant":
            yield CompositeKey(
                table=model._meta.db_table,
                tenant=str(tenant.column),
                column=str(field.column),
                target=target._meta.db_table,
                target_tenant=str(target_tenant.column),
                target_column=str(field.target_field.column),
                always=not tenant.null,
            )


def enforce(catalogue: Catalogue) -> None:
    for key in wanted():
        if not key.is_in(catalogue):
            _add(key, catalogue)
        for covered in _covered(key, catalogue):
            _execute(f'alter table "{covered.table}" drop constraint "{covered.name}"')


def check(catalogue: Catalogue) -> list[str]:
    return [
        f"table {key.table}: the foreign key {key.name} that includes the tenant is missing"
        for key in wanted()
        if key.table in catalogue.tables and not key.is_in(catalogue)
    ]


def _add(key: CompositeKey, catalogue: Catalogue) -> None:
    columns = [key.target_tenant, key.target_column]
    if not any((c.table, c.columns) == (key.target, columns) for c in catalogue.constraints):
        unique = f'unique ("{columns[0]}", "{columns[1]}")'
        _execute(f'alter table "{key.target}" add constraint "{key.unique_name}" {unique}')
        catalogue.constraints.append(
            Constraint(key.target, key.unique_name, "u", None, columns, [], valid=True)
        )
    _execute(
        f'alter table "{key.table}" drop constraint if exists "{key.name}", '
        f'add constraint "{key.name}" foreign key ("{key.tenant}", "{key.column}") '
        f'references "{key.target}" ("{columns[0]}", "{columns[1]}") '
        "deferrable initially deferred"
    )


def _covered(key: CompositeKey, catalogue: Catalogue) -> list[Constraint]:
    """Returns Django's constraints on the column alone, if the composite one includes them."""
    return [
        c
        for c in catalogue.constraints
        if key.always
        and (c.kind, c.table, c.columns, c.target) == ("f", key.table, [key.column], key.target)
    ]


def _short(name: str) -> str:
    return name if len(name) <= LONGEST else f"{name[:54]}_{names_digest(name, length=8)}"


def _execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
