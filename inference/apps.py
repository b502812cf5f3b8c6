from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured


class InferenceConfig(AppConfig):
    name = "inference"

    def ready(self) -> None:
        from audit.trail import database_owner
        from audit.verification import texts_elsewhere
        from inference.batch import windows
        from inference.engines.health import breaker_override
        from inference.jobs import job_checkpoint_versions
        from inference.model_registry import gates, importing
        from inference.model_registry.evaluation_gates import evaluation_gates
        from inference.models.decisions import decision
        from inference.personal_data import erasure, portability, retention, texts

        breaker_override.connect_breaker_deletion()
        windows.wake_with_time_zones()
        retention.register()
        texts.register()
        texts_elsewhere.register(decision.TEXT_PLACE)
        erasure.register_erasers()
        portability.register_portables()
        gates.register("evaluations", evaluation_gates)
        importing.register_source(job_checkpoint_versions.SOURCE, job_checkpoint_versions.fetch)
        served = ["inference_model", "inference_pool", "inference_engine", "inference_replacement"]
        database_owner.register(read_by_requests=["inference_rollupmark", *served])
        check_queue_limits()
        check_work_classes()


def check_queue_limits() -> None:
    """Raises ImproperlyConfigured."""
    from inference import classes, pool_policy

    try:
        pool_policy.check(pool_policy.PoolPolicy(limits=settings.QUEUE_LIMITS), classes.names())
    except pool_policy.BadPolicy as problem:
        raise ImproperlyConfigured(f"FOREBAY_QUEUE_LIMITS: {problem}") from None


def check_work_classes() -> None:
    """Raises ImproperlyConfigured."""
    from inference import classes
    from tenants.models.tier import Tier

    allowed = {
        "plan": ["*", *Tier.values],
        "route of requests": ["*", *classes.ROUTES],
        "class": [name for name in classes.names() if classes.of(name).serves_completions],
    }
    for line in settings.WORK_CLASSES:
        for (what, choices), word in zip(allowed.items(), line, strict=True):
            if word not in choices:
                text = (
                    f"FOREBAY_WORK_CLASSES: there is no {what} {word!r}, only {', '.join(choices)}"
                )
                raise ImproperlyConfigured(text)
