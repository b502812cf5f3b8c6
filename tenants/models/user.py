"""People who sign in, their former passwords, and the lock of their texts."""

from typing import Any, ClassVar

from django.apps import apps
from django.conf import settings
from django.contrib.auth.hashers import check_password
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.contrib.postgres.fields import ArrayField
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.trail.record import act
from tenants.roles import Profile
from tenants.scope import person_scope

MOST_PASSWORDS = 5  # former ones, remembered of each person


class UserManager(BaseUserManager["User"]):
    def create_user(self, email: str, password: str | None = None, **fields: Any) -> "User":
        """Makes an account. Without a password nobody can sign in until a link has set one."""
        user = self.model(email=self.normalize_email(email).lower(), **fields)
        user.set_password(password)
        user.save(using=self._db)
        return user


class User(AbstractBaseUser, PermissionsMixin):
    """A person who signs in. Member and `is_operator` decide their permissions."""

    email = models.EmailField(_("email address"), unique=True)
    name = models.CharField(_("name"), max_length=120, blank=True)
    is_active = models.BooleanField(default=True)
    is_operator = models.BooleanField(default=False)  # runs the platform, belongs to no tenant
    created_at = models.DateTimeField(default=timezone.now)
    password_changed_at = models.DateTimeField(default=timezone.now)

    joining: tuple[str, ...] = ()  # profiles of tenants that they are about to join by a link

    USERNAME_FIELD = "email"
    EMAIL_FIELD = "email"
    objects: ClassVar[UserManager] = UserManager()

    def __str__(self) -> str:
        return self.name or self.email

    def take_password(self, password: str) -> None:
        """Sets the password and its date, and adds the old one to the history."""
        with transaction.atomic():
            PasswordHistory.keep(self)
            self.set_password(password)
            self.password_changed_at = timezone.now()
            self.save()

    def stop_operating(self, *, by: str) -> None:
        """Ends an operator's power at once. Raises ValidationError for the last operator."""
        with transaction.atomic():
            operators = type(self).objects.select_for_update().filter(is_operator=True)
            if not {operator.pk for operator in operators} - {self.pk}:
                raise ValidationError(
                    _("The platform needs at least one operator: this is the last one.")
                )
            act(Action.OPERATOR_REMOVE, actor=by, detail={"user": self.pk})
            keys = apps.get_model("tenants", "ApiKey").objects.all()
            keys.end_power_of(f"operator:{self.pk}", by=by, why="removed")
            apps.get_model("tenants", "OperatorKey").objects.revoke_those_of(self, by=by)
            self.is_operator = False
            self.save(update_fields=["is_operator"])

    def profile(self, *also: str) -> Profile:
        """Returns the strictest security profile of their tenants, and of the platform's operators.

        `also`: profiles of tenants that they are about to join.
        """
        binding = set(also)
        if self.pk:
            with person_scope(self.pk):
                binding |= set(self.memberships.values_list("tenant__profile", flat=True))
        if self.is_operator:
            binding.add(settings.PROFILE)
        return Profile.MLPS if Profile.MLPS in binding else Profile.ASVS

    @property
    def actor(self) -> str:
        return f"{'operator' if self.is_operator else 'user'}:{self.pk}"


class PasswordHistoryQuerySet(models.QuerySet["PasswordHistory"]):
    def holds(self, user: User, password: str, last: int = MOST_PASSWORDS) -> bool:
        """Returns True if it is one of the person's last passwords, including the present one."""
        before = self.filter(user=user).values_list("password", flat=True)
        known = [user.password, *before[: last - 1]]
        return any(check_password(password, encoded) for encoded in known)


class PasswordHistory(models.Model):
    """The hash of a person's former password. The last MOST_PASSWORDS are stored."""

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
        newest = cls.objects.filter(user=user).values_list("pk", flat=True)[:MOST_PASSWORDS]
        cls.objects.filter(user=user).exclude(pk__in=list(newest)).delete()


class TextLock(models.Model):
    """Locks a person's texts up to `before`, because a link by somebody else set their password.

    See tenants/accounts/text_lock.py.
    """

    user = models.OneToOneField(User, models.CASCADE, primary_key=True, related_name="text_lock")
    since = models.DateTimeField()  # the first such reset that has not been released
    before = models.DateTimeField()  # the latest one
    made_by = ArrayField(models.CharField(max_length=80))  # actors who made the links

    def __str__(self) -> str:
        return f"lock on the texts of {self.user_id}"
