from typing import Any, ClassVar

from django.apps import apps
from django.contrib.auth.models import AbstractBaseUser, BaseUserManager, PermissionsMixin
from django.core.exceptions import ValidationError
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.trail.record import act


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
            apps.get_model("tenants", "PasswordHistory").keep(self)
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

    @property
    def actor(self) -> str:
        return f"{'operator' if self.is_operator else 'user'}:{self.pk}"
