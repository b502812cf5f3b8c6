"""The Job before each roll-out, and what it may do that no other pod may."""

from deploy.kubernetes.shapes import (
    HOME,
    KEYS,
    SECRETS,
    container,
    labels,
    own_mounts,
    own_volumes,
    security,
)
from deploy.kubernetes.words import NAME, Node, Reckoned, Times, When, joined, named, value

ADMINISTRATOR = "/run/secrets/migration"
HOOK = {
    "helm.sh/hook": "pre-install,pre-upgrade",
    "helm.sh/hook-weight": "0",
    "helm.sh/hook-delete-policy": "before-hook-creation",
}
_TAG = Reckoned(
    '$.Values.image.tag | lower | replace "." "-" | replace "_" "-" | trunc 40',
    lambda scope: scope["image"]["tag"].lower().replace(".", "-").replace("_", "-")[:40],
)


def job() -> Node:
    """Helm waits for it. It needs nothing of the release, which is not there yet: no account, no
    ConfigMap; the Secrets are.
    """
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": named("migrate-", _TAG),
            "labels": labels("migrate"),
            "annotations": HOOK,
        },
        "spec": {
            "backoffLimit": 3,
            "activeDeadlineSeconds": value("migrate.withinSeconds"),
            "template": {
                "metadata": {"labels": labels("migrate")},
                "spec": {
                    "restartPolicy": "Never",
                    "automountServiceAccountToken": False,
                    "enableServiceLinks": False,
                    "securityContext": security(),
                    "initContainers": [_step("tables", ["migrate"])],
                    "containers": [_step("forebay", ["manage", "audit_protect", *_roles()])],
                    "volumes": _volumes(),
                },
            },
        },
    }


def _roles() -> list[Node]:
    return [
        "--role",
        value("migrate.role"),
        "--requests-role",
        value("migrate.requestsRole"),
    ]


def _step(name: str, args: list[Node]) -> Node:
    files = {"name": joined(NAME, "_FILE"), "value": joined(f"{SECRETS}/", NAME)}
    mounts = [each for each in own_mounts() if _has(each)]
    administrator = {"name": "administrator", "mountPath": ADMINISTRATOR, "readOnly": True}
    return {
        **container(name, args, "migrate"),
        "envFrom": [],
        "env": [
            {"name": "DATABASE_URL_FILE", "value": f"{ADMINISTRATOR}/DATABASE_URL"},
            {"name": "FOREBAY_HOME", "value": HOME},
            Times(KEYS, When(_ANOTHER, files)),
        ],
        "volumeMounts": [*mounts, administrator],
    }


_ANOTHER = Reckoned('ne $name "DATABASE_URL"', lambda scope: scope["name"] != "DATABASE_URL")


def _volumes() -> list[Node]:
    administrator = {
        "secretName": value("secrets.migration"),
        "defaultMode": 0o440,
        "items": [{"key": "DATABASE_URL", "path": "DATABASE_URL"}],
    }
    own = [each for each in own_volumes() if _has(each)]
    return [*own, {"name": "administrator", "secret": administrator}]


def _has(one: Node) -> bool:
    """It listens nowhere, and knows no engine."""
    return isinstance(one, dict) and one["name"] != "engines"
