"""Vectors in PostgreSQL: whether it can store them, and their form in its statements."""

from django.utils.translation import gettext as _

from infrastructure.postgres.queries import value

LONGEST = 16_000  # dimensions that a column takes
INDEXED = (256, 384, 512, 768, 1024, 1536, 2048, 2560, 3072)  # inference/sql/passages.sql
_IS_THERE = """
    select exists (select from pg_attribute where attname = 'embedding' and not attisdropped
                   and attrelid = 'inference_passage'::regclass)"""


class NoVectors(Exception):
    """PostgreSQL has no column for vectors: pgvector was missing when it was migrated last."""

    def __str__(self) -> str:
        return _(
            "This PostgreSQL lacks the extension pgvector. Its administrator installs it (Debian: "
            "postgresql-17-pgvector) and runs `manage.py migrate` again; see "
            "docs/scenarios/knowledge.md."
        )


def check() -> None:
    """Raises NoVectors."""
    if not value(_IS_THERE):
        raise NoVectors


def literal(vector: list[float]) -> str:
    """Returns a vector as PostgreSQL reads it, with the digits that half precision has."""
    return "[" + ",".join(f"{number:.4g}" for number in vector) + "]"
