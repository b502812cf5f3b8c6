"""What the platform serves: models, the pools that each routes to, and the engines of each pool.

What FOREBAY_ENGINES names is `from_file`: inference/registry/importing.py alone writes it. All else
is made, changed and removed while the platform runs; every act is on record.
"""

from typing import Any, ClassVar, Self
from urllib.parse import urlsplit, urlunsplit
from uuid import uuid4

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Max, Q
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.keys import configuration
from audit.trail.record import act
from inference import classes
from inference.models.pool_order import FileFirst, places
from inference.policy import KEYS, BadPolicy, Policy, RouteCondition, check
from inference.policy_words import in_words
from inference.pools import HOSTED, MOST_SLOTS, SLOTS, in_numbers, name_problem, url_problem
from tenants.models.changing import changed, locked

LONGEST_NAME = 120
_TAKING_TURNS = ("switched", "rolling_back")  # steps of a replacement: one serves, one finishes


class FromFile(Exception):
    """It is declared in FOREBAY_ENGINES, where it has to be changed."""


def _is_name(name: str) -> None:
    if problem := name_problem(name):
        raise ValidationError(problem)


def _is_url(url: str) -> None:
    if problem := url_problem(url):
        raise ValidationError(problem)


class Declared(models.Model):
    """What the three have in common: a name, a place in their order, and who declares them."""

    unguarded = "the platform's models, pools and engines: no tenant's"  # by row security

    id = models.UUIDField(primary_key=True, default=uuid4, editable=False)
    name = models.CharField(max_length=LONGEST_NAME, unique=True, validators=[_is_name])
    position = models.PositiveIntegerField(default=0)
    from_file = models.BooleanField(default=False)
    created_at = models.DateTimeField(auto_now_add=True)

    objects: ClassVar[models.Manager[Any]] = models.Manager()
    noun: ClassVar[str]  # in the audit trail

    class Meta:
        abstract = True
        ordering: ClassVar[list[str]] = ["position", "created_at"]

    def __str__(self) -> str:
        return self.name

    @property
    def described(self) -> dict[str, Any]:
        """As the audit trail knows it."""
        return {"name": self.name}

    def record(self, verb: str, by: str, **more: Any) -> None:
        act(Action(f"{self.noun}:{verb}"), actor=by, detail={**self.described, **more})

    def refuse_from_file(self) -> None:
        """Raises FromFile."""
        if self.from_file:
            raise FromFile(
                _("%s is declared in FOREBAY_ENGINES: change it there and restart.") % self.name
            )

    def remove(self, *, by: str) -> None:
        """With all below it. Requests on record keep the names. Raises FromFile."""
        with transaction.atomic():
            locked(self)
            self.refuse_from_file()
            self.record("remove", by)
            self.delete()

    def _added(self, by: str) -> Self:
        self.full_clean()
        with transaction.atomic():
            self.save(force_insert=True)
            self.record("add", by)
        return self

    def _changed(self, fields: dict[str, Any], allowed: tuple[str, ...], by: str) -> Self:
        detail = changed(self, fields, allowed)
        if detail:
            self.save()
            self.record("change", by, **detail)
        return self


def _last(rows: models.QuerySet[Any]) -> int:
    highest = rows.aggregate(last=Max("position"))["last"]
    return 0 if highest is None else highest + 1


class Model(Declared):
    """What tenants call by its name. It routes to pools."""

    noun = "model"

    @classmethod
    def add(cls, name: str, *, by: str) -> "Model":
        """Served once a pool of it has an engine. Raises ValidationError."""
        return cls(name=name, position=_last(cls.objects.all()))._added(by)


class Pool(Declared):
    """One queue and the engines that drain it. `position`: when it is tried.

    `condition`: whether a request that it is tried for goes there. `limits`: of what waits.
    """

    noun = "pool"
    CHANGEABLE = ("position", *KEYS)

    model = models.ForeignKey(Model, models.CASCADE, related_name="pools")
    condition = models.CharField(max_length=20, default=RouteCondition.ALWAYS.value)
    overflow_after_ms = models.PositiveIntegerField(default=0)  # of "overflow"
    limits = models.JSONField(default=dict, blank=True)  # by class of work
    window = models.JSONField(default=dict, blank=True)  # of batches: inference/night_window.py

    @property
    def described(self) -> dict[str, Any]:
        return {"name": self.name, "model": self.model.name}

    @classmethod
    def add(
        cls, model: Model, name: str, *, by: str, position: int | None = None, **policy: Any
    ) -> "Pool":
        """Tried after the others unless `position` says otherwise. Raises ValidationError."""
        at = _last(model.pools.all()) if position is None else position
        return cls(model=model, name=name, position=at, **policy)._added(by)

    @property
    def policy(self) -> Policy:
        return Policy(self.condition, self.overflow_after_ms, self.limits, self.window)

    def clean(self) -> None:
        try:
            check(self.policy, classes.names())
        except BadPolicy as problem:
            raise ValidationError({problem.field: in_words(problem.reason)}) from None

    def change(self, *, by: str, **fields: Any) -> "Pool":
        """When it takes requests, and how many wait. Raises FromFile, ValidationError."""
        with transaction.atomic():
            locked(self)
            self.refuse_from_file()
            return self._changed(fields, self.CHANGEABLE, by)

    def move(self, steps: int, *, by: str) -> None:
        """So many places later in its model's order; earlier below 0. It stops at either end.

        Raises FromFile, and ValidationError where the file has the first word.
        """
        with transaction.atomic():
            order = self._order_to_change()
            at = order.index(self)
            order.insert(max(0, at + steps), order.pop(at))
            _put_in(order, by)

    def place(self, behind: "Pool | None", *, by: str) -> None:
        """Right behind another one in its model's order; None: before all of them.

        Raises FromFile, and ValidationError where the file has the first word, or `behind` is gone.
        """
        with transaction.atomic():
            order = self._order_to_change()
            order.remove(self)
            if behind and behind not in order:
                raise ValidationError(_("The order has changed meanwhile. Try again."))
            order.insert(order.index(behind) + 1 if behind else 0, self)
            _put_in(order, by)

    def _order_to_change(self) -> list["Pool"]:
        self.refuse_from_file()
        return list(self.model.pools.select_for_update(no_key=True))


def _put_in(order: list[Pool], by: str) -> None:
    for pool, position in zip(order, _places(order), strict=True):
        pool._changed({"position": position}, ("position",), by)


def _places(order: list[Pool]) -> list[int]:
    try:
        return places(order)
    except FileFirst as problem:
        text = _("FOREBAY_ENGINES declares %s: nothing made here can be tried before it.")
        raise ValidationError(text % problem.name) from None


class Engine(Declared):
    """One server with slots. `options`: the other keys of an entry in FOREBAY_ENGINES."""

    noun = "engine"
    CHANGEABLE = ("url", "slots", "auto_slots", "hosted", "options")

    pool = models.ForeignKey(Pool, models.CASCADE, related_name="engines")
    kind = models.CharField(max_length=40)
    url = models.CharField(max_length=500, validators=[_is_url])
    api_key = models.TextField(default="", blank=True)  # encrypted for its pool and its host
    slots = models.PositiveIntegerField(
        default=SLOTS, validators=[MinValueValidator(1), MaxValueValidator(MOST_SLOTS)]
    )
    # Whether `slots` follow what the engine says.
    auto_slots = models.BooleanField(default=False, db_default=False)
    hosted = models.BooleanField(default=False)
    options = models.JSONField(default=dict, blank=True)
    draining = models.BooleanField(default=False)  # it takes no new requests
    # Of a server that `make run` starts: since when it has not been ready, and how the last one
    # ended. The supervisor writes it.
    starting_since = models.DateTimeField(null=True, editable=False)
    starting_reason = models.CharField(max_length=200, default="", blank=True, editable=False)
    staged = models.BooleanField(default=False)  # it is being loaded: nobody uses it yet
    seat = models.CharField(max_length=LONGEST_NAME, default="", blank=True)  # see inference/pools

    @property
    def described(self) -> dict[str, Any]:
        return {"name": self.name, "pool": self.pool.name, "kind": self.kind, "url": self.url}

    def clean(self) -> None:
        self.hosted = self.hosted or self.kind in HOSTED

    @property
    def shown_url(self) -> str:
        """Its address without a user name, a password or a query: for people to see."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))

    @property
    def fields(self) -> dict[str, Any]:
        """As an entry in FOREBAY_ENGINES has them."""
        own = ("kind", "url", "api_key", "slots", "auto_slots", "hosted")
        return {**self.options, **{name: getattr(self, name) for name in own}}

    @property
    def launched(self) -> bool:
        """Whether the supervisor starts its server."""
        return bool(self.options.get("launch"))

    @classmethod
    def add(cls, pool: Pool, name: str, *, by: str, api_key: str = "", **fields: Any) -> "Engine":
        """In force on every process within a second. Raises ValidationError.

        Whether its kind takes the fields is for `inference.registry.checking` to say.
        """
        given = in_numbers(fields)
        made = cls(pool=pool, name=name, position=_last(pool.engines.all()), **given)
        made.api_key = encrypted(api_key, pool.name, made.url)
        return made._added(by)

    def change(self, *, by: str, api_key: str | None = None, **fields: Any) -> "Engine":
        """Another server needs an `api_key` with it. Raises FromFile, ValidationError."""
        with transaction.atomic():
            locked(self)
            self.refuse_from_file()
            self._refuse_staged()
            self._refuse_another_server(api_key, **fields)
            if api_key is None:
                self._refuse_to_take_its_key_to(fields.get("url", self.url))
            if api_key is not None:
                self.api_key = encrypted(api_key, self.pool.name, fields.get("url", self.url))
                self.save(update_fields=["api_key"])
                self.record("change", by, api_key="replaced")
            return self._changed(self._in_numbers(fields), self.CHANGEABLE, by)

    def _in_numbers(self, fields: dict[str, Any]) -> dict[str, Any]:
        """A number ends that they follow the engine; following begins with what they are."""
        if "slots" not in fields:
            return fields
        return {"auto_slots": False, **in_numbers(fields, self.slots)}

    def follow(self, told: int, *, by: str) -> None:
        """The engine says that it has so many slots."""
        with transaction.atomic():
            locked(self)
            if self.auto_slots:
                self._changed({"slots": told}, ("slots",), by)

    def _refuse_another_server(self, api_key: str | None, **fields: Any) -> None:
        """What `launch` says, and what follows from it, stays as long as the engine does."""
        launch = fields.get("options", self.options).get("launch")
        same = fields.get("url", self.url) == self.url and api_key is None
        if launch != self.options.get("launch") or (launch and not same):
            raise ValidationError(
                _("Another model, address or key needs another engine: add it, remove this one.")
            )

    def _refuse_staged(self) -> None:
        if self.staged:
            raise ValidationError(_("It is being loaded: cancel that instead."))

    def _refuse_while_versions_take_turns(self) -> None:
        """Or the one that serves could go, and after it the one that only finishes."""
        turns = Q(replaces__step__in=_TAKING_TURNS) | Q(replaced_by__step__in=_TAKING_TURNS)
        if Engine.objects.filter(turns, pk=self.pk).exists():
            message = _("One version takes the other's place: wait, or roll that back.")
            raise ValidationError(message)

    def _refuse_to_take_its_key_to(self, url: str) -> None:
        """Or whoever changes an address could have the key sent there, which nobody is shown."""
        _is_url(url)
        if self.api_key and configuration.origin(url) != configuration.origin(self.url):
            message = _("Send the key of the new address, or an empty one.")
            raise ValidationError({"api_key": message})

    def remove(self, *, by: str) -> None:
        """Raises FromFile, ValidationError."""
        with transaction.atomic():
            locked(self)
            self._refuse_while_versions_take_turns()
            super().remove(by=by)

    def drain(self, *, by: str) -> "Engine":
        """Takes no new requests, finishes what it has. Raises FromFile, ValidationError."""
        return self._switch("drain", draining=True, by=by)

    def resume(self, *, by: str) -> "Engine":
        """Takes requests again. Raises FromFile, ValidationError."""
        if self.draining and self.seat_is_taken:
            raise ValidationError(_("A new version has taken its place: roll that back instead."))
        return self._switch("resume", draining=False, by=by)

    def attend(self, *, there: bool, by: str) -> None:
        """The worker of an elastic one has come, or goes. The file has no say in that."""
        with transaction.atomic():
            locked(self)
            if self.draining != there or (there and self.seat_is_taken):
                return
            self.draining = not there
            self.save(update_fields=["draining"])
            self.record("resume" if there else "drain", by)

    @property
    def seat_is_taken(self) -> bool:
        """By an engine that takes requests: one worker serves both, but not at the same time."""
        seat = self.seat or self.name
        in_use = self.pool.engines.filter(staged=False, draining=False).exclude(pk=self.pk)
        return in_use.filter(Q(seat=seat) | Q(name=seat, seat="")).exists()

    def _switch(self, verb: str, *, draining: bool, by: str) -> "Engine":
        with transaction.atomic():
            locked(self)
            self.refuse_from_file()
            self._refuse_staged()
            if self.draining != draining:
                self._refuse_while_versions_take_turns()
                self.draining = draining
                self.save(update_fields=["draining"])
                self.record(verb, by)
        return self


def encrypted(api_key: str, pool: str, url: str) -> str:
    """An engine's key as it is stored: for its pool, and for the host that it is sent to.

    Raises ValidationError for one that is encrypted: somebody else's could be copied here.
    """
    if configuration.is_encrypted(api_key):
        raise ValidationError({"api_key": _("Send the key itself: it is stored encrypted.")})
    return configuration.encrypt_secret(api_key, pool, url) if api_key else ""
