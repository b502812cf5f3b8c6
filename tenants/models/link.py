"""One-time links that expire: invitations, new passwords, the first operator."""

import hmac
import secrets
import uuid
from datetime import timedelta
from hashlib import sha256
from typing import ClassVar

from django.apps import apps
from django.conf import settings
from django.db import models, transaction
from django.utils import timezone
from django.utils.translation import gettext_lazy as _

from audit.actions import Action
from audit.trail.record import act
from tenants.models.api_key import ApiKey
from tenants.models.member import Member
from tenants.models.model_changes import lock
from tenants.models.team import Team
from tenants.models.tenant import OperatorsStayOut, State, Tenant
from tenants.models.user import User
from tenants.roles import Permission, Profile, Role, operator_permissions


class Purpose(models.TextChoices):
    FIRST_RUN = "first_run", _("Set up the first operator")
    INVITATION = "invitation", _("Join a tenant")
    RESET = "reset", _("Choose a new password")


MOST_WAITING = 50  # invitations offered to one person


class LinkQuerySet(models.QuerySet["Link"]):
    def usable(self) -> "LinkQuerySet":
        """Returns unused, unexpired links, except into a suspended or closing tenant."""
        into_open = ~models.Q(purpose=Purpose.INVITATION) | models.Q(tenant__state=State.ACTIVE)
        return self.filter(into_open, used_at=None, expires_at__gt=timezone.now())

    def invitations(self, tenant: Tenant) -> "LinkQuerySet":
        """Returns invitations that were not accepted yet."""
        waiting = self.usable().filter(tenant=tenant, purpose=Purpose.INVITATION)
        return waiting.order_by("-created_at")

    def waiting_for(self, email: str) -> list["Link"]:
        """Returns invitations that a person with a verified address may accept without a link."""
        newest = self.invited(email).usable().select_related("tenant")[:MOST_WAITING]
        return [link for link in newest if link.maker_may()]

    def invited(self, email: str) -> "LinkQuerySet":
        """Returns invitations, newest first. Their tenants may have closed meanwhile."""
        waiting = self.filter(purpose=Purpose.INVITATION, email__iexact=email, used_at=None)
        return waiting.filter(expires_at__gt=timezone.now()).order_by("-created_at")

    def by_token(self, token: str) -> "Link | None":
        link = self.usable().filter(digest=_digest(token)).select_related("tenant").first()
        return link if link and link.maker_may() else None


class Link(models.Model):
    """A one-time link, such as to set a password. Only the hash of its token is stored."""

    id = models.UUIDField(primary_key=True, default=uuid.uuid4, editable=False)
    purpose = models.CharField(max_length=12, choices=Purpose)
    digest = models.BinaryField(unique=True)
    email = models.EmailField(blank=True)
    tenant = models.ForeignKey(Tenant, models.CASCADE, null=True)
    role = models.CharField(max_length=12, choices=Role, default=Role.OWNER)
    team = models.ForeignKey(Team, models.SET_NULL, null=True, related_name="+")
    created_by = models.CharField(max_length=80, default="")  # an actor
    created_at = models.DateTimeField(auto_now_add=True)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    MAILBOX = "mailbox"  # the maker of a link that only the person's mailbox has

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
        team: Team | None = None,
        days: float = 7,
        about: Member | None = None,
    ) -> str:
        """Returns the URL of a new link.

        It replaces earlier links of its kind for the same person, and the one for whoever comes
        first as an operator.
        `team`: that whoever accepts the invitation joins. `about`: the member whose account it
        opens.
        """
        token = secrets.token_urlsafe(32)
        with transaction.atomic():
            if purpose == Purpose.FIRST_RUN:
                cls._forget_first_runs(email)
            if purpose == Purpose.INVITATION and tenant:
                cls._replace_invitations(tenant, email, by)
            cls.objects.create(
                purpose=purpose,
                digest=_digest(token),
                email=email,
                tenant=tenant,
                role=role,
                team=team,
                created_by=by,
                expires_at=timezone.now() + timedelta(days=days),
            )
            act(
                Action.LINK_CREATE,
                actor=by,
                tenant_id=tenant.id if tenant else None,
                subject_id=about.subject_id if about else None,
                detail={"purpose": purpose, **({"member": str(about.pk)} if about else {})},
            )
        return f"{settings.PUBLIC_URL}/welcome/{token}/"

    @classmethod
    def _forget_first_runs(cls, email: str = "") -> None:
        """Deletes unused links that make operators: of this person, and of whoever comes first."""
        links = cls.objects.filter(purpose=Purpose.FIRST_RUN, used_at=None)
        links.filter(email__in={"", email}).delete()

    @classmethod
    def _replace_invitations(cls, tenant: Tenant, email: str, by: str) -> None:
        """Revokes earlier invitations, so that no person has two with different roles."""
        lock(tenant)  # the second of two simultaneous invitations sees the first one
        for earlier in cls.objects.invited(email).filter(tenant=tenant):
            earlier.revoke(by=by)

    def revoke(self, *, by: str) -> None:
        """Revokes an unused link. Idempotent."""
        with transaction.atomic():
            deleted, _ = Link.objects.filter(pk=self.pk, used_at=None).delete()
            if deleted:
                detail = {"purpose": self.purpose, "role": self.role}
                act(Action.LINK_REVOKE, actor=by, tenant_id=self.tenant_id, detail=detail)

    def maker_may(self) -> bool:
        """Returns True if the maker could still make it: no invitation outlives that power."""
        kind, _, number = self.created_by.partition(":")
        if self.tenant is None or kind not in ("member", "user", "operator", "key"):
            return True  # made by the platform itself
        if kind == "key":  # of an earlier version; only people invite today
            return False
        members = Member.objects.filter(tenant=self.tenant, user__is_active=True)
        maker = members.filter(**{"pk" if kind == "member" else "user": number}).first()
        if maker and maker.may_give(Role(self.role)):
            return True
        operators = User.objects.filter(is_operator=True, is_active=True)
        person = str(maker.user_id) if maker else number if kind == "operator" else "0"
        return self._operators_may() and operators.filter(pk=person).exists()

    def _operators_may(self) -> bool:
        """Returns True if operators may invite; under separation of duties the first owner only."""
        assert self.tenant
        if Permission.MANAGE_MEMBERS in operator_permissions(self.tenant.profile):
            return True
        return self.role == Role.OWNER and not self.tenant.members.filter(role=Role.OWNER).exists()

    def use(self, email: str, password: str, name: str = "") -> User:
        """Signs a person up and gives them what the link promises.

        Raises AlreadyUsed on the second try and if it has become unusable, OperatorsStayOut and
        OwnInvitation. The link's maker has seen it. So it never sets the password of an account
        that has one: its owner proves their identity with that password, else WrongPassword is
        raised.
        """
        with transaction.atomic():
            self.spend()
            return self._welcome(email, password, name)

    def join(self, user: User) -> User:
        """Gives a person whom an identity provider vouches for what the invitation promises.

        Raises AlreadyUsed, OperatorsStayOut and OwnInvitation.
        """
        with transaction.atomic():
            self.spend()
            return self._grant(user)

    def made_by(self, user: User) -> bool:
        """Returns True if the user made it, in person or by a key that depends on them."""
        kind, _, number = self.created_by.partition(":")
        if kind == "member":
            return user.memberships.filter(pk=number).exists()
        if kind == "key":
            actors = [user.actor, *(member.actor for member in user.memberships.all())]
            return ApiKey.objects.filter(pk=number, grantors__overlap=actors).exists()
        return kind in ("user", "operator") and number == str(user.pk)

    def is_own(self, user: User) -> bool:
        """Returns True if the signed-in person made it; a key may be in other hands.

        Nobody but the person's mailbox has seen a link that they asked for by mail.
        """
        if self.created_by == self.MAILBOX:
            return True
        return not self.created_by.startswith("key:") and self.made_by(user)

    def spend(self) -> None:
        """Marks it as used, in a transaction. Raises AlreadyUsed, also if it is unusable by now."""
        if self.tenant:
            lock(self.tenant)  # nobody's permissions change meanwhile
        usable = Link.objects.usable().filter(pk=self.pk).exists() and self.maker_may()
        # Without a join, so that the row itself decides.
        unused = Link.objects.filter(pk=self.pk, used_at=None)
        if not (usable and unused.update(used_at=timezone.now())):
            raise AlreadyUsed

    def account(self, email: str = "") -> User | None:
        """Returns the existing account of the link's address, or of this one.

        It exists if it has a way to sign in, or something that a password would open.
        """
        user = User.objects.filter(email=(self.email or email).lower()).first()
        if user is None or self.purpose == Purpose.RESET:
            return None
        by_provider = apps.get_model("socialaccount", "SocialAccount").objects.filter(user=user)
        known = user.has_usable_password() or by_provider.exists()
        return user if known or user.is_operator or user.memberships.exists() else None

    def _welcome(self, email: str, password: str, name: str) -> User:
        email = (self.email or email).lower()
        if user := self.account(email):
            if not (user.is_active and user.check_password(password)):
                raise WrongPassword
        else:
            user = User.objects.filter(email=email).first() or User(email=email)
            user.name = name
            user.set_password(password)
        return self._grant(user)

    def _grant(self, user: User) -> User:
        user.is_operator = user.is_operator or self.purpose == Purpose.FIRST_RUN
        user.save()
        if user.is_operator and user.memberships.filter(tenant__profile=Profile.MLPS).exists():
            raise OperatorsStayOut
        if self.tenant and self.made_by(user) and self.tenant.members.exists():
            raise OwnInvitation
        member = self.tenant.add_member(user, Role(self.role)) if self.tenant else None
        if self.team and member:
            self.team.add(member, by=self.created_by)
        act(Action.LINK_USE, actor=(member or user).actor, tenant_id=self.tenant_id)
        if self.purpose == Purpose.FIRST_RUN:
            self._forget_first_runs()
            act(Action.OPERATOR_CREATE, actor=user.actor)
        return user


class AlreadyUsed(Exception):
    pass


class OwnInvitation(Exception):
    """An operator may not accept their own invitation into a tenant that has members."""


class WrongPassword(Exception):
    pass


def _digest(token: str) -> bytes:
    return hmac.digest(settings.API_KEY_PEPPER, token.encode(), sha256)
