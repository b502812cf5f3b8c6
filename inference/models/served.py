"""Models, the pools that each routes to, and the engines of each pool.

Those that FOREBAY_ENGINES declares are `from_file`: only inference/registry/importing.py writes
them. All others are added, changed and removed at runtime, each time with an audit event.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import Any, ClassVar, Self
from urllib.parse import urlsplit, urlunsplit
from uuid import UUID, uuid4

from django.core.exceptions import ValidationError
from django.core.validators import MaxValueValidator, MinValueValidator
from django.db import models, transaction
from django.db.models import Max, Q
from django.utils import timezone
from django.utils.translation import gettext as _

from audit.actions import Action
from audit.keys import configuration_secrets
from audit.trail.record import act
from inference import classes
from inference.engine_entries import (
    HOSTED,
    MOST_SLOTS,
    SLOTS,
    in_numbers,
    name_problem,
)
from inference.log_translation import in_words
from inference.pool_policy import (
    KEYS,
    LONGEST_LENDER,
    BadPolicy,
    LendingRules,
    PoolPolicy,
    RouteCondition,
    check,
)
from infrastructure.url_form import url_problem
from tenants.models.model_changes import changed, lock

LONGEST_NAME = 120
_REST = ["draining", "resting", "stopped", "starting_since"]
_LOAN = ["lent_since", "lent_return_s", "gpu_free", "returning_since"]
_BOTH_IN_USE = ("switched", "rolling_back")  # steps of a replacement: one serves, one drains


class FromFile(Exception):
    """The object is declared in FOREBAY_ENGINES and has to be changed there."""


def _is_name(name: str) -> None:
    if problem := name_problem(name):
        raise ValidationError(problem)


def _is_url(url: str) -> None:
    if problem := url_problem(url):
        raise ValidationError(problem)


class Declared(models.Model):
    """Base of models, pools and engines: their name, their position, and their origin."""

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
        """Returns the detail of its audit events."""
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
        """Delete it with all below it. Recorded requests keep the names. Raises FromFile."""
        with transaction.atomic():
            lock(self)
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


def _shown(url: str) -> str:
    """Returns an address without a user name, a password or a query."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc.rpartition("@")[2], parts.path, "", ""))


def _last(rows: models.QuerySet[Any]) -> int:
    highest = rows.aggregate(last=Max("position"))["last"]
    return 0 if highest is None else highest + 1


class Model(Declared):
    """A model that tenants call by name. It routes to pools."""

    noun = "model"
    CHANGEABLE = ("only_for",)

    # The tenant that alone may use it; None: all tenants. A bare id: the model is the platform's.
    only_for = models.UUIDField(null=True, blank=True)

    @classmethod
    def add(cls, name: str, *, by: str, only_for: UUID | None = None) -> "Model":
        """Add a model, which is served once a pool of it has an engine. Raises ValidationError."""
        at = _last(cls.objects.all())
        return cls(name=name, position=at, only_for=only_for)._added(by)

    def change(self, *, by: str, **fields: Any) -> "Model":
        """Change for whom it is. Raises FromFile, ValidationError."""
        with transaction.atomic():
            lock(self)
            self.refuse_from_file()
            self._refuse_to_open(fields)
            return self._changed(fields, self.CHANGEABLE, by)

    def _refuse_to_open(self, fields: dict[str, Any]) -> None:
        """Refuse to open a model to others while it serves a tenant's own version."""
        served = Engine.objects.filter(pool__model=self).exclude(model_version_id=None)
        if self.only_for and fields.get("only_for") != self.only_for and served.exists():
            raise ValidationError(
                {"only_for": _("It serves versions of that tenant: remove their engines first.")}
            )


class Pool(Declared):
    """A queue and the engines that drain it. The router tries pools in order of `position`.

    `condition` decides whether a request goes to the pool when it is tried. `limits` bound the
    waiting requests.
    """

    noun = "pool"
    CHANGEABLE = ("position", *KEYS)

    model = models.ForeignKey(Model, models.CASCADE, related_name="pools")
    condition = models.CharField(max_length=20, default=RouteCondition.ALWAYS.value)
    overflow_after_ms = models.PositiveIntegerField(default=0)  # of "overflow"
    limits = models.JSONField(default=dict, blank=True)  # by class of work
    window = models.JSONField(default=dict, blank=True)  # of batches: inference/pool_policy.py
    # How it lends engines to jobs; {}: not at all. Processes of earlier versions do not write it.
    lending = models.JSONField(default=dict, db_default={}, blank=True)

    @property
    def described(self) -> dict[str, Any]:
        return {"name": self.name, "model": self.model.name}

    @classmethod
    def add(
        cls, model: Model, name: str, *, by: str, position: int | None = None, **policy: Any
    ) -> "Pool":
        """Add a pool, which is tried after the others by default. Raises ValidationError."""
        at = _last(model.pools.all()) if position is None else position
        return cls(model=model, name=name, position=at, **policy)._added(by)

    @property
    def policy(self) -> PoolPolicy:
        own = self.condition, self.overflow_after_ms, self.limits, self.window, self.lending
        return PoolPolicy(*own)

    def clean(self) -> None:
        try:
            check(self.policy, classes.names())
        except BadPolicy as problem:
            raise ValidationError({problem.field: in_words(problem.reason)}) from None
        if self.lending and len(self.name) > LONGEST_LENDER:
            text = _("The name of a pool that lends has %d characters at most.")
            raise ValidationError({"lending": text % LONGEST_LENDER})

    def change(self, *, by: str, **fields: Any) -> "Pool":
        """Change its routing condition, window, limits or lending.

        Raises FromFile, ValidationError.
        """
        with transaction.atomic():
            lock(self)
            self.refuse_from_file()
            return self._changed(fields, self.CHANGEABLE, by)

    def move(self, steps: int, *, by: str) -> None:
        """Move it by `steps` in its model's order: later, or earlier below 0, up to either end.

        Raises FromFile, and ValidationError if a pool of the file would have to move.
        """
        with transaction.atomic():
            order = self._order_to_change()
            at = order.index(self)
            order.insert(max(0, at + steps), order.pop(at))
            _save_order(order, by)

    def place(self, behind: "Pool | None", *, by: str) -> None:
        """Move it right behind another pool in its model's order; None: before all of them.

        Raises FromFile, and ValidationError if a pool of the file would have to move, or `behind`
        is gone.
        """
        with transaction.atomic():
            order = self._order_to_change()
            order.remove(self)
            if behind and behind not in order:
                raise ValidationError(_("The order has changed meanwhile. Try again."))
            order.insert(order.index(behind) + 1 if behind else 0, self)
            _save_order(order, by)

    def _order_to_change(self) -> list["Pool"]:
        self.refuse_from_file()
        return list(self.model.pools.select_for_update(no_key=True))


def _save_order(order: list[Pool], by: str) -> None:
    for pool, position in zip(order, list(_positions(order)), strict=True):
        pool._changed({"position": position}, ("position",), by)


def _positions(order: list[Pool]) -> Iterator[int]:
    """Yields the positions with which the router tries pools in this order.

    Pools from the file keep theirs. Of two at the same position the router tries the older first.
    Raises ValidationError if one of the file would have to move.
    """
    previous: tuple[int, datetime] | None = None
    for pool in order:
        position = pool.position
        if not pool.from_file:
            position = previous[0] + (pool.created_at <= previous[1]) if previous else 0
        if previous and (position, pool.created_at) <= previous:
            text = _("FOREBAY_ENGINES declares %s: nothing made here can be tried before it.")
            raise ValidationError(text % pool.name)
        previous = position, pool.created_at
        yield position


class Engine(Declared):
    """One server with slots. `options` are the other keys of its entry in FOREBAY_ENGINES."""

    noun = "engine"
    CHANGEABLE = ("url", "slots", "auto_slots", "hosted", "options")

    pool = models.ForeignKey(Pool, models.CASCADE, related_name="engines")
    kind = models.CharField(max_length=40)
    url = models.CharField(max_length=500, validators=[_is_url])
    api_key = models.TextField(default="", blank=True)  # encrypted for its pool and its host
    slots = models.PositiveIntegerField(
        default=SLOTS, validators=[MinValueValidator(1), MaxValueValidator(MOST_SLOTS)]
    )
    # Whether `slots` follow the number that the engine reports.
    auto_slots = models.BooleanField(default=False, db_default=False)
    hosted = models.BooleanField(default=False)
    # The version of the registry that it serves: a bare id, because no tenant owns an engine.
    model_version_id = models.UUIDField(null=True, blank=True)
    options = models.JSONField(default=dict, blank=True)
    draining = models.BooleanField(default=False)  # it takes no new requests
    # It drains to save energy, until its pool needs it (inference/energy/resting.py).
    resting = models.BooleanField(default=False, db_default=False)
    stopped = models.BooleanField(default=False, db_default=False)  # its server, while it rests
    # Its GPU is lent to jobs of its pool (inference/lending): since when; the `return_s` of the
    # pool then; whether its server has left the GPU, so that a job may begin; since when it is on
    # its way back, until its server is ready; and how many seconds that took the last time.
    lent_since = models.DateTimeField(null=True, editable=False)
    lent_return_s = models.PositiveSmallIntegerField(null=True, editable=False)
    gpu_free = models.BooleanField(default=False, db_default=False, editable=False)
    returning_since = models.DateTimeField(null=True, editable=False)
    last_return_s = models.FloatField(null=True, editable=False)
    # Only for a server that `make run` starts, written by the supervisor: since when it has not
    # been ready, and how its last process ended. The first also for one that wakes from its sleep.
    starting_since = models.DateTimeField(null=True, editable=False)
    starting_reason = models.CharField(max_length=200, default="", blank=True, editable=False)
    staged = models.BooleanField(default=False)  # it is being loaded: nobody uses it yet
    # the engine that it replaced, and whose workers it has: inference/engine_entries.py
    seat = models.CharField(max_length=LONGEST_NAME, default="", blank=True)

    @property
    def described(self) -> dict[str, Any]:
        url = self.shown_url
        return {"name": self.name, "pool": self.pool.name, "kind": self.kind, "url": url}

    def record(self, verb: str, by: str, **more: Any) -> None:
        if "url" in more:
            more["url"] = [_shown(url) for url in more["url"]]
        super().record(verb, by, **more)

    def clean(self) -> None:
        self.hosted = self.hosted or self.kind in HOSTED

    @property
    def shown_url(self) -> str:
        """Returns its address for people, without a user name, a password or a query."""
        return _shown(self.url)

    @property
    def fields(self) -> dict[str, Any]:
        """Returns its fields as an entry in FOREBAY_ENGINES has them."""
        own = ("kind", "url", "api_key", "slots", "auto_slots", "hosted")
        return {**self.options, **{name: getattr(self, name) for name in own}}

    @property
    def launched(self) -> bool:
        """Returns whether the supervisor starts its server."""
        return bool(self.options.get("launch"))

    @property
    def lendable(self) -> bool:
        """Returns whether its server can leave its GPU: one of ours ends, others sleep."""
        return self.launched or bool(self.options.get("sleeps"))

    @property
    def takes_jobs(self) -> bool:
        """Returns whether a job may begin on its GPU now."""
        return bool(self.lent_since and self.gpu_free and not self.returning_since)

    @property
    def is_away(self) -> bool:
        """Returns whether its server has left its GPU, or is not ready again since."""
        return bool(self.lent_since or (self.returning_since and self.starting_since))

    @classmethod
    def add(cls, pool: Pool, name: str, *, by: str, api_key: str = "", **fields: Any) -> "Engine":
        """Add an engine, which every process uses within a second. Raises ValidationError.

        `inference.registry.checking` checks that its kind takes the fields.
        """
        position = _last(pool.engines.all())
        engine = cls(pool=pool, name=name, position=position, **in_numbers(fields))
        engine.api_key = encrypted(api_key, pool.name, engine.url)
        return engine._added(by)

    def change(self, *, by: str, api_key: str | None = None, **fields: Any) -> "Engine":
        """Change it. Another server's url needs an `api_key`; `shown_url` is the present one.

        Raises FromFile, ValidationError.
        """
        with transaction.atomic():
            lock(self)
            if fields.get("url") == self.shown_url:  # the parts that are not shown stay
                fields["url"] = self.url
            self.refuse_from_file()
            self._refuse_staged()
            self._refuse_another_server(api_key, **fields)
            if api_key is None:
                self.refuse_key_for_other_host(fields.get("url", self.url))
            if api_key is not None:
                self.api_key = encrypted(api_key, self.pool.name, fields.get("url", self.url))
                self.save(update_fields=["api_key"])
                self.record("change", by, api_key="replaced")
            return self._changed(self._in_numbers(fields), self.CHANGEABLE, by)

    def _in_numbers(self, fields: dict[str, Any]) -> dict[str, Any]:
        """Turn off `auto_slots` for a number of slots; `auto` starts from the present number."""
        if "slots" not in fields:
            return fields
        return {"auto_slots": False, **in_numbers(fields, self.slots)}

    def follow(self, slots: int, *, by: str) -> None:
        """Store the number of slots that the engine reports."""
        with transaction.atomic():
            lock(self)
            if self.auto_slots:
                self._changed({"slots": slots}, ("slots",), by)

    def _refuse_another_server(self, api_key: str | None, **fields: Any) -> None:
        """Refuse a change of `launch`, or of the address or key of a launched server."""
        launch = fields.get("options", self.options).get("launch")
        same = fields.get("url", self.url) == self.url and api_key is None
        if launch != self.options.get("launch") or (launch and not same):
            raise ValidationError(
                _("Another model, address or key needs another engine: add it, remove this one.")
            )

    def _refuse_staged(self) -> None:
        if self.staged:
            raise ValidationError(_("It is being loaded: cancel that instead."))

    def _refuse_during_replacement(self) -> None:
        """Refuse while one version serves and the other drains, or both could be gone."""
        turns = Q(replaces__step__in=_BOTH_IN_USE) | Q(replaced_by__step__in=_BOTH_IN_USE)
        if Engine.objects.filter(turns, pk=self.pk).exists():
            message = _("One version takes the other's place: wait, or roll that back.")
            raise ValidationError(message)

    def refuse_key_for_other_host(self, url: str) -> None:
        """Refuse another host without a key, or a change of address would reveal the stored key."""
        _is_url(url)
        origin = configuration_secrets.origin
        if self.api_key and origin(url) != origin(self.url):
            message = _("Send the key of the new address, or an empty one.")
            raise ValidationError({"api_key": message})

    def remove(self, *, by: str) -> None:
        """Raises FromFile, ValidationError."""
        with transaction.atomic():
            lock(self)
            self._refuse_during_replacement()
            super().remove(by=by)

    def drain(self, *, by: str) -> "Engine":
        """Stop new requests; it finishes those it has. Raises FromFile, ValidationError."""
        return self._switch("drain", draining=True, by=by)

    def resume(self, *, by: str) -> "Engine":
        """Take requests again. Raises FromFile, ValidationError."""
        if self.draining and self.seat_is_taken:
            raise ValidationError(_("A new version has taken its place: roll that back instead."))
        return self._switch("resume", draining=False, by=by)

    def attend(self, *, there: bool, by: str) -> None:
        """Record that an elastic engine's worker has come or goes, also for one of the file."""
        with transaction.atomic():
            lock(self)
            if self.draining != there or (there and self.seat_is_taken):
                return
            self.draining = not there
            self.save(update_fields=["draining"])
            self.record("resume" if there else "drain", by)

    def rest(self, *, by: str, **detail: Any) -> bool:
        """Drain it to save energy, also one of the file. Returns whether it was awake."""
        with transaction.atomic():
            lock(self)
            if self.draining or self.staged:
                return False
            self._refuse_during_replacement()
            self.draining = self.resting = True
            self.save(update_fields=["draining", "resting"])
            self.record("rest", by, **detail)
            return True

    def wake(self, *, by: str, **detail: Any) -> bool:
        """Let it take requests again.

        Returns False for one that an operator has drained since, and for one that is lent.
        """
        with transaction.atomic():
            lock(self)
            if not self.resting or self.lent_since or self.seat_is_taken:
                return False
            self.draining = False
            self._end_rest(by)
            self.save(update_fields=_REST)
            self.record("wake", by, **detail)
            return True

    def stop_server(self, *, by: str, **detail: Any) -> None:
        """Let the supervisor stop the server of an engine that rests."""
        with transaction.atomic():
            lock(self)
            if self.resting and self.launched and not self.stopped:
                self.stopped = True
                self.save(update_fields=["stopped"])
                self.record("stop", by, **detail)

    def start_server(self, *, by: str, **detail: Any) -> None:
        """Let the supervisor start it again, so that it is ready when the engine wakes."""
        with transaction.atomic():
            lock(self)
            if self.stopped and not self.lent_since:
                self._expect_server()
                self.save(update_fields=_REST)
                self.record("start", by, **detail)

    # Lending -------------------------------------------------------------------------------------
    def lend(self, *, by: str, **detail: Any) -> bool:
        """Lend the GPU of an engine that rests to jobs. Returns whether it is lent by this call.

        The supervisor stops its server, or it falls asleep (inference/lending/sleep_mode.py).
        Either notes then that a job may begin.
        """
        with transaction.atomic():
            lock(self)
            if not (self.resting and self.lendable) or self.lent_since or self.returning_since:
                return False
            self.lent_since, self.gpu_free = timezone.now(), False
            lending = LendingRules.of(self.pool.lending)
            self.lent_return_s = lending.return_s if lending else None
            self.stopped = self.launched
            self.save(update_fields=[*_LOAN, "stopped"])
            self.record("lend", by, **detail)
            return True

    def free_gpu(self) -> None:
        """Note that its server sleeps: a job may begin."""
        rows = Engine.objects.filter(pk=self.pk, lent_since__isnull=False, returning_since=None)
        rows.update(gpu_free=True)

    def note_awake(self) -> None:
        """Note that its server is awake again, unless it has been lent again."""
        Engine.objects.filter(pk=self.pk, lent_since=None).update(starting_since=None)

    def take_back(self, *, by: str, **detail: Any) -> bool:
        """Let the job on its GPU stop; `hand_back` follows. Returns False if it is not lent."""
        with transaction.atomic():
            lock(self)
            if not self.lent_since or self.returning_since:
                return False
            self._begin_return(by, **detail)
            self.save(update_fields=[*_REST, *_LOAN])
            return True

    def hand_back(self, *, by: str) -> float | None:
        """Let its server start again: no job uses its GPU any more.

        Returns after how many seconds; None for one that is not on its way back.
        """
        with transaction.atomic():
            lock(self)
            if not (self.lent_since and (self.returning_since or not self.pool.lending)):
                return None
            since = self.returning_since or timezone.now()
            self._end_loan(since)
            self.save(update_fields=[*_REST, *_LOAN])
            seconds = (timezone.now() - since).total_seconds()
            self.record("hand_back", by, seconds=round(seconds, 1))
            return seconds

    def end_return(self) -> float | None:
        """Note that its server is ready again. Returns after how many seconds; else None."""
        with transaction.atomic():
            lock(self)
            if not self.returning_since or self.lent_since or self.stopped or self.starting_since:
                return None
            seconds = (timezone.now() - self.returning_since).total_seconds()
            self.returning_since, self.last_return_s = None, seconds
            self.save(update_fields=["returning_since", "last_return_s"])
            return seconds

    def _begin_return(self, by: str, **detail: Any) -> None:
        """Record that it is asked back. No job can have begun where its server had not stopped."""
        self.returning_since = timezone.now()
        self.record("take_back", by, **detail)
        if not self.gpu_free:
            self._end_loan(self.returning_since)

    def _end_loan(self, since: datetime) -> None:
        self.lent_since, self.gpu_free, self.returning_since = None, False, since
        self._expect_server()

    def _end_rest(self, by: str) -> None:
        self.resting = False
        if self.lent_since:
            if not self.returning_since:
                self._begin_return(by)
        elif self.stopped:
            self._expect_server()

    def _expect_server(self) -> None:
        """Count it as starting before the supervisor says so: nobody may use it until it is up."""
        self.stopped, self.starting_since = False, timezone.now()

    @property
    def seat_is_taken(self) -> bool:
        """Returns whether an engine in use has its seat: a worker serves one engine at a time."""
        seat = self.seat or self.name
        in_use = self.pool.engines.filter(staged=False, draining=False).exclude(pk=self.pk)
        return in_use.filter(Q(seat=seat) | Q(name=seat, seat="")).exists()

    def _switch(self, verb: str, *, draining: bool, by: str) -> "Engine":
        with transaction.atomic():
            lock(self)
            self.refuse_from_file()
            self._refuse_staged()
            if self.draining != draining or self.resting:
                self._refuse_during_replacement()
                self.draining = draining
                self._end_rest(by)
                self.save(update_fields=[*_REST, *_LOAN])
                self.record(verb, by)
        return self


def encrypted(api_key: str, pool: str, url: str) -> str:
    """Encrypt an engine's key for its pool, and for the host that it is sent to.

    Raises ValidationError for an encrypted one: somebody else's could be copied here.
    """
    if configuration_secrets.is_encrypted(api_key):
        raise ValidationError({"api_key": _("Send the key itself: it is stored encrypted.")})
    return configuration_secrets.encrypt_secret(api_key, pool, url) if api_key else ""
