"""What the chart refuses, and what it says then."""

import json
from copy import deepcopy
from typing import Any

import jsonschema
import pytest

from deploy.kubernetes import values
from tests.deploy.kubernetes.rendered import (
    Refused,
    alike,
    containers,
    helmed,
    made_of,
    pods,
    scope,
)

pytestmark = pytest.mark.unit


def _with(path: str, given: Any) -> dict[str, Any]:
    found = deepcopy(scope())
    *way, last = path.split(".")
    place = found
    for name in way:
        place = place[name]
    place[last] = given
    return found


WRONG = [
    ("publicUrl", "forebay.example.com"),
    ("autoscaling.by", "both"),
    ("web.replicas", 0),
    ("web.replica", 3),
    ("secrets.name", ""),
    ("secrets.more", ["A B"]),
    ("secrets.keys", ["FOREBAY_METRICS_TOKEN"]),  # it has a Secret of its own
    ("monitoring.docs", "docs"),
    ("networkPolicies.servers", ["db.example.com"]),
    ("networkPolicies.serverPorts", []),  # which would be all ports
    ("engines", [{"name": "Qwen", "model": "q", "kind": "vllm", "slots": 1, "url": "http://q"}]),
    ("engines", [{"name": "qwen", "model": "q", "kind": "vllm", "slots": 1}]),
]


@pytest.mark.parametrize(("path", "given"), WRONG)
def test_the_schema_refuses(path: str, given: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(_with(path, given), values.schema())


def test_the_schema_takes_what_the_chart_begins_with() -> None:
    jsonschema.validate(values.defaults(), values.schema())


def test_without_a_public_url_helm_says_what_to_set() -> None:
    with pytest.raises(Refused, match="set publicUrl, as people see it"):
        helmed({})


def test_helm_refuses_what_the_schema_refuses() -> None:
    with pytest.raises(Refused, match="autoscaling"):
        helmed({"publicUrl": "https://a.example", "autoscaling": {"by": "both"}})


def test_a_chart_without_engines_is_whole() -> None:
    found = helmed({"publicUrl": "https://a.example"})
    assert found["ConfigMap", "forebay-engines"]["data"] == {"engines.json": "{}"}
    assert not any(kind == "StatefulSet" for kind, _ in found)


def test_pools_keep_their_order() -> None:
    """In which they are tried: JSON of Helm's own would sort them."""
    found = helmed(scope())
    told = json.loads(found["ConfigMap", "forebay-engines"]["data"]["engines.json"])
    assert list(told["qwen3-32b"]["pools"]) == ["qwen", "elsewhere"]


def test_more_secrets_are_files_too() -> None:
    found = helmed(_with("secrets.more", ["FOREBAY_OIDC"]))
    for pod in pods(found).values():
        (folder,) = [v["projected"] for v in pod["volumes"] if v["name"] == "secrets"]
        items = folder["sources"][0]["secret"]["items"]
        assert {"key": "FOREBAY_OIDC", "path": "FOREBAY_OIDC"} in items


def test_runbooks_are_where_the_operator_keeps_them() -> None:
    given = _with("monitoring.docs", "https://wiki.example/forebay/")
    found, ours = helmed(given), made_of(given)
    rules = "PrometheusRule", "forebay-alerts"
    assert found[rules]["spec"] == ours[rules]["spec"]
    assert "https://wiki.example/forebay/operations/runbooks/" in json.dumps(found[rules])


def test_a_kms_needs_no_master_key() -> None:
    keys = [key for key in scope()["secrets"]["keys"] if key != "FOREBAY_MASTER_KEY"]
    found = helmed(_with("secrets.keys", keys))
    assert "FOREBAY_MASTER_KEY" not in json.dumps([*found.values()])


def test_with_a_certificate_every_port_of_ours_has_tls() -> None:
    given = _with("tls.secret", "forebay-inside")
    found = helmed(given)
    assert alike(found) == alike(made_of(given))
    told = found["ConfigMap", "forebay-settings"]["data"]
    assert told["FOREBAY_TLS_CERTIFICATE"] == "/run/secrets/tls/tls.crt"
    for name, pod in pods(found).items():
        assert ("migrate" in name) != any(v["name"] == "tls" for v in pod["volumes"]), name
        for each in containers(pod):
            asked = [
                each.get(f"{kind}Probe", {}).get("httpGet") for kind in ("startup", "liveness")
            ]
            schemes = {probe.get("scheme") for probe in asked if probe}
            assert schemes <= ({None} if each["name"] == "vllm" else {"HTTPS"}), name
    by = found["Ingress", "forebay-grpc"]["metadata"]["annotations"]
    assert by["nginx.ingress.kubernetes.io/backend-protocol"] == "GRPCS"
    (endpoint,) = found["PodMonitor", "forebay-pods"]["spec"]["podMetricsEndpoints"]
    assert endpoint["scheme"] == "https"


def test_a_digest_goes_before_a_tag() -> None:
    found = helmed(_with("image.digest", "sha256:0123"))
    (web,) = pods(found)["forebay-web"]["containers"]
    assert web["image"] == "registry.example.com/forebay@sha256:0123"


def test_pods_are_rolled_when_their_configuration_changes() -> None:
    seen = set()
    for given in ({}, {"settings": {"FOREBAY_DEMO": "1"}}):
        found = helmed({"publicUrl": "https://a.example", **given})
        template = found["Deployment", "forebay-web"]["spec"]["template"]
        seen.add(template["metadata"]["annotations"]["forebay/configuration"])
    assert len(seen) == 2


def _allowed(found: Any, policy: str) -> Any:
    (rule,) = found["NetworkPolicy", f"forebay-may-reach-{policy}"]["spec"]["egress"]
    return rule


@pytest.mark.parametrize("policy", ["servers", "outside"])
def test_no_addresses_are_none_and_not_all(policy: str) -> None:
    """To Kubernetes a rule without addresses allows every one of them."""
    given = scope()
    given["networkPolicies"][policy] = []
    for found in (made_of(given), helmed(given)):
        assert ("NetworkPolicy", f"forebay-may-reach-{policy}") not in found


def test_an_exception_stands_only_in_a_block_that_has_it() -> None:
    """Kubernetes refuses the policy otherwise."""
    given = scope()
    given["networkPolicies"]["outside"] = ["0.0.0.0/0", "10.1.0.0/16", "fd00::/8"]
    wanted = [{"cidr": "0.0.0.0/0", "except": ["169.254.0.0/16"]}, {"cidr": "10.1.0.0/16"}]
    for found in (made_of(given), helmed(given)):
        blocks = [each["ipBlock"] for each in _allowed(found, "outside")["to"]]
        assert blocks == [*wanted, {"cidr": "fd00::/8"}]
