from typing import ClassVar

from django.contrib.auth.hashers import check_password
from django.db import models
from django.utils import timezone

from tenants.models.user import User

MOST = 5


class PasswordHistoryQuerySet(models.QuerySet["PasswordHistory"]):
    def holds(self, user: User, password: str, last: int = MOST) -> bool:
        """Returns True if it is one of the person's last passwords, including the present one."""
        before = self.filter(user=user).values_list("password", flat=True)
        known = [user.password, *before[: last - 1]]
        return any(check_password(password, encoded) for encoded in known)


class PasswordHistory(models.Model):
    """The hash of a person's former password. The last MOST are stored."""

    user = models.ForeignKey(User, models.CASCADE, related_name="password_history")
    password = models.CharField(max_length=128)
    created_at = models.DateTimeField(default=timezone.now)

    objects: ClassVar[PasswordHistoryQuerySet] = PasswordHistoryQuerySet.as_manager()  # type: ignore[assignment]

    class Meta:
        ordering = ["-id"]

    def __str__(self) -> str:
        return f"a password of {self.user_id}"

    @classmethod
    def keep(cls, user: User) -> None:
        """Adds the present password's hash before it is replaced, and deletes the oldest."""
        if not (user.pk and user.has_usable_password()):
            return
        cls.objects.create(user=user, password=user.password)
        newest = cls.objects.filter(user=user).values_list("pk", flat=True)[:MOST]
        cls.objects.filter(user=user).exclude(pk__in=list(newest)).delete()
