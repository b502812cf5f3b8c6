"""Web, gRPC, jobs, beat, and workers of engines elsewhere."""

from deploy.kubernetes.shapes import (
    HOME,
    METRICS,
    asks,
    container,
    deployment,
    goes_quietly,
    kept_up,
    labels,
    meta,
    own_mounts,
    ports,
    spread,
    template,
    waits_for_tables,
)
from deploy.kubernetes.words import Each, Node, Reckoned, When, joined, named, own, value

KEPT = [
    {"name": "kept", "mountPath": f"{HOME}/exports", "subPath": "exports"},
    {"name": "kept", "mountPath": f"{HOME}/witness", "subPath": "witness"},
]
CLAIM = Reckoned(
    'default (printf "%s-kept" $.Release.Name) $.Values.storage.existingClaim | toJson',
    lambda scope: scope["storage"]["existingClaim"] or "forebay-kept",
)
KEPT_VOLUME = {"name": "kept", "persistentVolumeClaim": {"claimName": CLAIM}}
# Until a process that starts has loaded everything, on a busy node.
STARTS = {"periodSeconds": 2, "failureThreshold": 90}
# A file that beat touches while it works. Nobody asks a beat anything.
BEATS = f'[ -n "$(find {HOME}/run/beat.alive -mmin -2)" ]'


def web() -> list[Node]:
    ready = "/readyz?without=engines"  # without them the console is needed most
    main = container(
        "forebay",
        ["web"],
        "web",
        ports=ports(http=8000, metrics=METRICS),
        startupProbe={**asks(ready, "http", 2, 90), **STARTS},
        readinessProbe=asks(ready, "http", 5, 3),
        livenessProbe=asks("/livez", "http", 10, 6),
        lifecycle=goes_quietly(),
        volumeMounts=own_mounts(KEPT[0]),
    )
    pod = template(
        "web",
        [main],
        before=[waits_for_tables("web")],
        volumes=[KEPT_VOLUME],
        topologySpreadConstraints=spread("web"),
    )
    return [
        deployment("web", value("web.replicas"), pod),
        _service("web", {"name": "http", "port": 80, "targetPort": "http"}),
        kept_up(named("web"), "web"),
    ]


def grpc() -> list[Node]:
    main = container(
        "forebay",
        ["grpc"],
        "grpc",
        ports=ports(grpc=50051, metrics=METRICS),
        **probes(),
        lifecycle=goes_quietly(),
    )
    pod = template(
        "grpc",
        [main],
        before=[waits_for_tables("grpc")],
        topologySpreadConstraints=spread("grpc"),
    )
    port = {"name": "grpc", "port": 50051, "targetPort": "grpc"}
    return [
        deployment("grpc", value("grpc.replicas"), pod),
        _service("grpc", port),
        kept_up(named("grpc"), "grpc"),
    ]


def jobs() -> list[Node]:
    main = container(
        "forebay",
        ["jobs"],
        "jobs",
        ports=ports(metrics=METRICS),
        **probes(),
        volumeMounts=own_mounts(*KEPT),
    )
    pod = template(
        "jobs",
        [main],
        before=[waits_for_tables("jobs")],
        volumes=[KEPT_VOLUME],
        topologySpreadConstraints=spread("jobs"),
    )
    return [deployment("jobs", value("jobs.replicas"), pod), kept_up(named("jobs"), "jobs")]


def beat() -> list[Node]:
    alive = {"exec": {"command": ["sh", "-c", BEATS]}, "timeoutSeconds": 5}
    main = container(
        "forebay",
        ["beat"],
        "beat",
        startupProbe={**alive, **STARTS},
        readinessProbe={**alive, "periodSeconds": 20, "failureThreshold": 2},
        livenessProbe={**alive, "periodSeconds": 60, "failureThreshold": 3},
    )
    pod = template(
        "beat",
        [main],
        before=[waits_for_tables("beat")],
        topologySpreadConstraints=spread("beat"),
    )
    return [deployment("beat", value("beat.replicas"), pod), kept_up(named("beat"), "beat")]


def workers_of_engines_elsewhere() -> list[Node]:
    """A Deployment for each: one pod takes requests, another waits for its end."""
    name = own("name")
    component = joined("worker-", name)
    main = container(
        "forebay",
        ["worker", name],
        "worker",
        ports=ports(metrics=METRICS),
        **probes(),
    )
    pod = template(
        component,
        [main],
        before=[waits_for_tables("worker")],
        topologySpreadConstraints=spread(component),
    )
    pod["metadata"]["labels"] = {**labels(component), "forebay/role": "worker"}
    found = deployment("worker", value("worker.replicas"), pod)
    found["metadata"] = meta(named("worker-", name), component)
    found["spec"]["selector"] = {"matchLabels": labels(component)}
    return [Each("url", found), Each("url", kept_up(named("worker-", name), component))]


def claim() -> Node:
    spec = {
        "accessModes": ["ReadWriteMany"],
        "storageClassName": When(value("storage.className"), value("storage.className")),
        "resources": {"requests": {"storage": value("storage.size")}},
    }
    return {
        "apiVersion": "v1",
        "kind": "PersistentVolumeClaim",
        "metadata": meta(named("kept"), "jobs", annotations={"helm.sh/resource-policy": "keep"}),
        "spec": spec,
    }


def probes() -> dict[str, Node]:
    """Of what serves nobody over HTTP: over the port of its figures."""
    return {
        "startupProbe": {**asks("/readyz", "metrics", 2, 90), **STARTS},
        "readinessProbe": asks("/readyz", "metrics", 5, 3),
        "livenessProbe": asks("/livez", "metrics", 10, 6),
    }


def _service(component: str, port: Node) -> Node:
    return {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": meta(named(component), component),
        "spec": {"type": "ClusterIP", "selector": labels(component), "ports": [port]},
    }
