from django.apps import AppConfig
from django.conf import settings
from django.core.exceptions import ImproperlyConfigured

ROUTES = ("/v1/", "/forebay.v1.", "/DeepSeekService/")  # as they count, whatever a client wrote


class InferenceConfig(AppConfig):
    name = "inference"

    def ready(self) -> None:
        from audit.trail import protection
        from inference.engines import removed
        from inference.personal_data import erasure, portability, retention, texts

        removed.forget_their_breakers()
        retention.register()
        texts.register()
        erasure.register_erasers()
        portability.register_portables()
        served = ["inference_model", "inference_pool", "inference_engine", "inference_replacement"]
        protection.register(read_by_requests=["inference_rollupmark", *served])
        check_queue_limits()
        check_work_classes()


def check_queue_limits() -> None:
    """Raises ImproperlyConfigured."""
    from inference import classes, policy

    try:
        policy.check(policy.Policy(limits=settings.QUEUE_LIMITS), classes.names())
    except policy.BadPolicy as problem:
        raise ImproperlyConfigured(f"FOREBAY_QUEUE_LIMITS: {problem}") from None


def check_work_classes() -> None:
    """Raises ImproperlyConfigured."""
    from inference import classes
    from tenants.models.tier import Tier

    known = {"plan": ["*", *Tier.values], "class": classes.names()}
    for plan, route, name in settings.WORK_CLASSES:
        for what, said in ("plan", plan), ("class", name):
            if said not in known[what]:
                there = ", ".join(known[what])
                text = f"FOREBAY_WORK_CLASSES: there is no {what} {said!r}, only {there}"
                raise ImproperlyConfigured(text)
        if route not in ("*", "chat") and not route.startswith(ROUTES):
            text = f"FOREBAY_WORK_CLASSES: there is no route {route!r}: write '*', 'chat', a path"
            raise ImproperlyConfigured(f"{text} that begins with /v1/, or a method of gRPC")
