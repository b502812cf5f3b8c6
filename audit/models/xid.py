"""The id of the current transaction."""

from django.db import models


class Xid(models.Func):
    """The id of the current transaction, as a number that only grows."""

    template = "(pg_current_xact_id()::text::bigint)"
    output_field = models.BigIntegerField()
