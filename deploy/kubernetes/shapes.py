"""Pods as all roles have them: who they run as, what they are given, how long they may finish."""

from typing import Any

from deploy.kubernetes.words import (
    IN_CHART,
    NAME,
    RELEASE,
    Node,
    Reckoned,
    Scope,
    Spread,
    Times,
    When,
    Whole,
    Word,
    joined,
    named,
    value,
)

HOME, SECRETS, ENGINES = "/var/lib/forebay", "/run/secrets/forebay", "/etc/forebay"
UID = 10001  # of the image
METRICS = 9100
BEYOND_S = 90  # a pod may finish what it has: a deadline, a minute for the record, and some
AWAY_S = 10  # until every proxy has heard that a pod goes
KEYS = value("secrets.keys")
METRICS_TOKEN = "FOREBAY_METRICS_TOKEN"  # noqa: S105 - its name
TLS, CERTIFICATE = value("tls.secret"), "/run/secrets/tls"
CONTAINER = {
    "allowPrivilegeEscalation": False,
    "readOnlyRootFilesystem": True,
    "capabilities": {"drop": ["ALL"]},
}
GRACE = Reckoned(
    f"add (int $.Values.requestDeadlineSeconds) {BEYOND_S}",
    lambda scope: scope["requestDeadlineSeconds"] + BEYOND_S,
)
# So that pods are rolled when what they read has changed. Kustomize has hashes in names for that.
CONFIGURATION = Reckoned('include "forebay.configuration" $ | quote', lambda scope: "")
IMAGE = Reckoned(
    'printf "%s%s" $.Values.image.repository (ternary (printf "@%s" $.Values.image.digest) '
    '(printf ":%s" $.Values.image.tag) (ne $.Values.image.digest "")) | quote',
    lambda scope: _image(**scope["image"]),
)


def _image(repository: str, tag: str, digest: str, **_: Any) -> str:
    return f"{repository}@{digest}" if digest else f"{repository}:{tag}"


def labels(component: str | Word) -> dict[str, Node]:
    return {
        "app.kubernetes.io/name": "forebay",
        "app.kubernetes.io/instance": joined(RELEASE),
        "app.kubernetes.io/component": component,
    }


def meta(name: Node, component: str | Word, **more: Node) -> dict[str, Node]:
    return {"name": name, "labels": labels(component), **more}


def security(uid: int = UID) -> dict[str, Node]:
    return {
        "runAsNonRoot": True,
        "runAsUser": uid,
        "runAsGroup": uid,
        "fsGroup": uid,
        "fsGroupChangePolicy": "OnRootMismatch",
        "seccompProfile": {"type": "RuntimeDefault"},
    }


def template(
    component: str | Word,
    containers: list[Node],
    *,
    before: list[Node] | None = None,
    volumes: list[Node] | None = None,
    grace: Node = GRACE,
    uid: int = UID,
    **more: Node,
) -> dict[str, Node]:
    """Of a pod."""
    return {
        "metadata": {
            "labels": labels(component),
            "annotations": {
                "kubectl.kubernetes.io/default-container": "forebay",
                "forebay/configuration": When(IN_CHART, CONFIGURATION),
            },
        },
        "spec": {
            "serviceAccountName": named("pods"),
            "automountServiceAccountToken": False,
            "enableServiceLinks": False,
            "imagePullSecrets": Whole(value("image.pullSecrets")),
            "securityContext": security(uid),
            "terminationGracePeriodSeconds": grace,
            **more,
            **({"initContainers": before} if before else {}),
            "containers": containers,
            "volumes": [*own_volumes(), *(volumes or [])],
        },
    }


def container(name: str, args: list[Node], role: str, **more: Node) -> dict[str, Any]:
    """Of Forebay's image; `role` names its resources."""
    return {
        "name": name,
        "image": IMAGE,
        "imagePullPolicy": value("image.pullPolicy"),
        "command": ["forebay"],
        "args": args,
        "securityContext": CONTAINER,
        "resources": Whole(value(f"{role}.resources")),
        "volumeMounts": own_mounts(),
        "envFrom": [{"configMapRef": {"name": named("settings")}}],
        **more,
    }


def waits_for_tables(role: str) -> dict[str, Any]:
    """Until the Job has migrated: the pod says why it waits, and old pods go on serving."""
    script = "until forebay migrate --check; do sleep 5; done"
    return {
        **container("tables", [script], role),
        "command": ["sh", "-ec"],
        "args": [script],
    }


def variables() -> dict[Any, Node]:
    """What all pods are told, by a ConfigMap."""
    return {
        "FOREBAY_PUBLIC_URL": Reckoned(
            'required "set publicUrl, as people see it" $.Values.publicUrl | quote',
            lambda scope: scope["publicUrl"],
        ),
        "FOREBAY_WEB_PROXIES": _proxies("web"),
        "FOREBAY_GRPC_PROXIES": _proxies("grpc"),
        "FOREBAY_REQUEST_DEADLINE_S": _text("requestDeadlineSeconds"),
        "FOREBAY_ADMITTING_PROCESSES": ADMITTING,
        "FOREBAY_HOME": HOME,
        "FOREBAY_HOST": "0.0.0.0",  # noqa: S104 - of a pod
        "FOREBAY_ENGINES": f"{ENGINES}/engines.json",
        "FOREBAY_METRICS_HOST": "0.0.0.0",  # noqa: S104 - of a pod
        "FOREBAY_METRICS_PORT": str(METRICS),
        "FOREBAY_TLS_CERTIFICATE": When(TLS, f"{CERTIFICATE}/tls.crt"),
        "FOREBAY_TLS_KEY": When(TLS, f"{CERTIFICATE}/tls.key"),
        f"{METRICS_TOKEN}_FILE": f"{SECRETS}/{METRICS_TOKEN}",
        Spread(): Times(KEYS, {joined(NAME, "_FILE"): joined(f"{SECRETS}/", NAME)}),
        Spread(2): Whole(value("settings")),
    }


def _proxies(front_end: str) -> Word:
    """Behind an Ingress without a named proxy all people would count as one address."""
    path = f"$.Values.proxies.{front_end}"
    needed = f'"set proxies.{front_end}: where the pods of your ingress controller come from"'
    return Reckoned(
        f'join "," {path} | default (ternary "" " " $.Values.ingress.enabled) '
        f"| required {needed} | trim | quote",
        lambda scope: ",".join(scope["proxies"][front_end]),
    )


def _text(path: str) -> Word:
    found = value(path)
    return Reckoned(f"{found.template} | toString | quote", lambda scope: str(found.of(scope)))


def _admitting(scope: Scope) -> str:
    return str(scope["web"]["replicas"] + scope["grpc"]["replicas"])


ADMITTING = Reckoned(
    "add (int $.Values.web.replicas) (int $.Values.grpc.replicas) | toString | quote", _admitting
)


def own_volumes() -> list[Node]:
    return [
        {"name": "home", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "tmp", "emptyDir": {"sizeLimit": "1Gi"}},
        {"name": "secrets", "projected": {"defaultMode": 0o440, "sources": _secrets()}},
        {"name": "engines", "configMap": {"name": named("engines")}},
        When(TLS, {"name": "tls", "secret": {"secretName": TLS, "defaultMode": 0o440}}),
    ]


def _secrets() -> list[Node]:
    """Two, so that who reads the metrics' token need not see the master key; in one folder."""
    item = {"key": joined(NAME), "path": joined(NAME)}
    items = [Times(KEYS, item), Times(value("secrets.more"), item)]
    token = {"key": METRICS_TOKEN, "path": METRICS_TOKEN}
    return [
        {"secret": {"name": value("secrets.name"), "items": items}},
        {"secret": {"name": value("secrets.metrics"), "items": [token]}},
    ]


def own_mounts(*more: Node) -> list[Node]:
    return [
        {"name": "home", "mountPath": HOME},
        {"name": "tmp", "mountPath": "/tmp"},  # noqa: S108  # of a pod, a volume of its own
        {"name": "secrets", "mountPath": SECRETS, "readOnly": True},
        {"name": "engines", "mountPath": ENGINES, "readOnly": True},
        When(TLS, {"name": "tls", "mountPath": CERTIFICATE, "readOnly": True}),
        *more,
    ]


def spread(component: str | Word) -> list[Node]:
    """Over zones where there are some, over nodes in any case as far as possible."""
    selector = {"matchLabels": labels(component)}
    return [
        {
            "maxSkew": 1,
            "topologyKey": key,
            "whenUnsatisfiable": "ScheduleAnyway",
            "labelSelector": selector,
        }
        for key in ("topology.kubernetes.io/zone", "kubernetes.io/hostname")
    ]


def asks(
    path: str, port: str, every: int, failures: int, patience: int = 3, *, ours: bool = True
) -> dict[str, Node]:
    """`ours`: a port that has TLS where we have it."""
    scheme = {"scheme": When(TLS, "HTTPS")} if ours else {}
    return {
        "httpGet": {"path": path, "port": port, **scheme},
        "periodSeconds": every,
        "timeoutSeconds": patience,
        "failureThreshold": failures,
    }


def ports(**numbers: int) -> list[Node]:
    return [{"name": name, "containerPort": number} for name, number in numbers.items()]


def goes_quietly() -> dict[str, Node]:
    """It serves on until every proxy has heard that it goes; only then is it told to end."""
    return {"preStop": {"sleep": {"seconds": AWAY_S}}}


def deployment(
    component: str, replicas: Node, pod: dict[str, Node], **strategy: Node
) -> dict[str, Node]:
    rolling = {"maxUnavailable": 0, "maxSurge": 1, **strategy}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": meta(named(component), component),
        "spec": {
            "replicas": replicas,
            "revisionHistoryLimit": 3,
            "strategy": {"type": "RollingUpdate", "rollingUpdate": rolling},
            "selector": {"matchLabels": labels(component)},
            "template": pod,
        },
    }


def kept_up(name: Node, component: str | Word, **most: Node) -> dict[str, Node]:
    """A node that is drained takes no more than so many pods at once."""
    return {
        "apiVersion": "policy/v1",
        "kind": "PodDisruptionBudget",
        "metadata": meta(name, component),
        "spec": {
            "maxUnavailable": 1,
            "unhealthyPodEvictionPolicy": "AlwaysAllow",
            "selector": {"matchLabels": labels(component)},
            **most,
        },
    }
