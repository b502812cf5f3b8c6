"""The way in from outside, by ingress-nginx: HTTP, websockets and streams."""

from deploy.kubernetes.shapes import TLS, meta
from deploy.kubernetes.words import Node, Reckoned, When, named, value

ON = value("ingress.enabled")
_BY = "nginx.ingress.kubernetes.io/"
_DEADLINE = Reckoned(
    "add (int $.Values.requestDeadlineSeconds) 10 | toString | quote",
    lambda scope: str(scope["requestDeadlineSeconds"] + 10),
)


def ingress() -> list[Node]:
    http = {
        f"{_BY}backend-protocol": When(TLS, "HTTPS"),
        # Tokens leave as they come; bodies are collected, so that slow clients cost no process.
        f"{_BY}proxy-buffering": "off",
        f"{_BY}proxy-request-buffering": "on",
        f"{_BY}proxy-body-size": "4m",
        f"{_BY}proxy-read-timeout": _DEADLINE,
        f"{_BY}proxy-send-timeout": _DEADLINE,
        # A request that was begun is not begun twice.
        f"{_BY}proxy-next-upstream": "error timeout http_502",
        f"{_BY}ssl-redirect": "true",
    }
    grpc = {
        f"{_BY}backend-protocol": Reckoned(
            'ternary "GRPC" "GRPCS" (empty $.Values.tls.secret)',
            lambda scope: "GRPCS" if scope["tls"]["secret"] else "GRPC",
        ),
        f"{_BY}proxy-read-timeout": _DEADLINE,
        f"{_BY}proxy-send-timeout": _DEADLINE,
        f"{_BY}ssl-redirect": "true",
    }
    return [
        When(ON, _ingress("web", "http", http, ["/"])),
        When(ON, _ingress("grpc", "grpc", grpc, SERVICES)),
    ]


SERVICES = ["/forebay.v1.InferenceService", "/DeepSeekService", "/grpc.health.v1.Health"]


def _ingress(component: str, port: str, annotations: dict[str, Node], paths: list[str]) -> Node:
    backend = {"service": {"name": named(component), "port": {"name": port}}}
    way = [{"path": path, "pathType": "Prefix", "backend": backend} for path in paths]
    return {
        "apiVersion": "networking.k8s.io/v1",
        "kind": "Ingress",
        "metadata": meta(named(component), component, annotations=annotations),
        "spec": {
            "ingressClassName": value("ingress.className"),
            "tls": [{"hosts": [value("ingress.host")], "secretName": value("ingress.tlsSecret")}],
            "rules": [{"host": value("ingress.host"), "http": {"paths": way}}],
        },
    }
