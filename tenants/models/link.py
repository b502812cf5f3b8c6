import hmac
import secrets
import uuid
from datetime import timedelta
from hashlib import sha256
from typing import ClassVar

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.record import act
from tenants.models.tenant import Tenant
from tenants.models.user import User
from tenants.roles import Role


class Purpose(models.TextChoices):
    FIRST_RUN = "first_run", _("Set up the first operator")
    INVITATION = "invitation", _("Join a tenant")


class LinkQuerySet(models.QuerySet["Link"]):
    def usable(self) -> "LinkQuerySet":
        return self.filter(used_at=None, expires_at__gt=timezone.now())

    def by_token(self, token: str) -> "Link | None":
        return self.usable().filter(digest=_digest(token)).first()


class Link(models.Model):
    """A link that works once: it sets a password. Only the hash of its token is stored."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    purpose = models.CharField(max_length=12, choices=Purpose)
    digest = models.BinaryField(unique=True)
    email = models.EmailField(blank=True)
    tenant = models.ForeignKey(Tenant, models.CASCADE, null=True)
    role = models.CharField(max_length=12, choices=Role, default=Role.OWNER)
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    objects: ClassVar[LinkQuerySet] = LinkQuerySet.as_manager()  # type: ignore[assignment]

    def __str__(self) -> str:
        return f"{self.purpose} link"

    @classmethod
    def issue(
        cls,
        purpose: Purpose,
        *,
        by: str,
        email: str = "",
        tenant: Tenant | None = None,
        role: Role = Role.OWNER,
        days: int = 7,
    ) -> str:
        """The URL of a new link. An earlier first-run link stops working."""
        token = secrets.token_urlsafe(32)
        with transaction.atomic():
            if purpose == Purpose.FIRST_RUN:
                cls.objects.filter(purpose=purpose).delete()
            cls.objects.create(
                purpose=purpose,
                digest=_digest(token),
                email=email,
                tenant=tenant,
                role=role,
                expires_at=timezone.now() + timedelta(days=days),
            )
            act(
                Action.LINK_CREATE,
                actor=by,
                tenant_id=tenant.id if tenant else None,
                detail={"purpose": purpose},
            )
        return f"{settings.PUBLIC_URL}/welcome/{token}/"

    def use(self, email: str, password: str, name: str = "") -> User:
        """Signs up and gives what the link promised. Raises AlreadyUsed on the second try.

        Whoever made the link has seen it. So it never sets the password of an account that has
        one: its owner proves who they are with that password, else WrongPassword.
        """
        with transaction.atomic():
            if not Link.objects.usable().filter(pk=self.pk).update(used_at=timezone.now()):
                raise AlreadyUsed
            return self._welcome(email, password, name)

    def account(self, email: str = "") -> User | None:
        """Who has the link's address, or this one, and a password already."""
        user = User.objects.filter(email=(self.email or email).lower()).first()
        return user if user and user.has_usable_password() else None

    def _welcome(self, email: str, password: str, name: str) -> User:
        email = (self.email or email).lower()
        if user := self.account(email):
            if not (user.is_active and user.check_password(password)):
                raise WrongPassword
        else:
            user = User.objects.filter(email=email).first() or User(email=email)
            user.name = name
            user.set_password(password)
        user.is_operator = user.is_operator or self.purpose == Purpose.FIRST_RUN
        user.save()
        act(Action.LINK_USE, actor=user.actor, tenant_id=self.tenant_id)
        if self.purpose == Purpose.FIRST_RUN:
            act(Action.OPERATOR_CREATE, actor=user.actor)
        if self.tenant:
            self.tenant.add_member(user, Role(self.role), by=user.actor)
        return user


class AlreadyUsed(Exception):
    pass


class WrongPassword(Exception):
    pass


def _digest(token: str) -> bytes:
    return hmac.digest(settings.API_KEY_PEPPER, token.encode(), sha256)
