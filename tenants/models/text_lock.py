from django.contrib.postgres.fields import ArrayField
from django.db import models

from tenants.models.user import User


class TextLock(models.Model):
    """Locks a person's texts up to `before`, because a link by somebody else set their password.

    See tenants/accounts/locked_texts.py.
    """

    user = models.OneToOneField(User, models.CASCADE, primary_key=True, related_name="text_lock")
    since = models.DateTimeField()  # the first such reset that has not been released
    before = models.DateTimeField()  # the latest one
    made_by = ArrayField(models.CharField(max_length=80))  # actors who made the links

    def __str__(self) -> str:
        return f"lock on the texts of {self.user_id}"
