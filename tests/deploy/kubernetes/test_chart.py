"""What the chart refuses, and what it says then."""

import json
from collections.abc import Iterator
from copy import deepcopy
from ipaddress import ip_address, ip_network
from typing import Any

import jsonschema
import pytest

from deploy.kubernetes.helm import Refused
from infrastructure.release import VERSION
from tests.deploy.kubernetes.custom import validate
from tests.deploy.kubernetes.rendered import (
    containers,
    defaults,
    helmed,
    pods,
    schema,
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
    ("proxies.web", ["0.0.0.0/0"]),
    ("proxies.grpc", ["proxy.example.com"]),
    ("database.zones", 1),
    ("database.zones", 2),  # with one instance in each, a lost zone would stop all
    ("networkPolicies.serverPorts", []),  # which would be all ports
    ("engines", [{"name": "Qwen", "model": "q", "kind": "vllm", "slots": 1, "url": "http://q"}]),
    ("engines", [{"name": "qwen", "model": "q", "kind": "vllm", "slots": 1}]),
]


@pytest.mark.parametrize(("path", "given"), WRONG)
def test_the_schema_refuses(path: str, given: Any) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(_with(path, given), schema())


def test_the_schema_takes_what_the_chart_begins_with() -> None:
    jsonschema.validate(defaults(), schema())


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
    objects = helmed(_with("monitoring.docs", "https://wiki.example/forebay/"))
    groups = objects["PrometheusRule", "forebay-alerts"]["spec"]["groups"]
    links = [rule["annotations"]["runbook_url"] for group in groups for rule in group["rules"]]
    assert len(links) > 20
    assert all(link.startswith("https://wiki.example/forebay/operations/") for link in links)


def test_a_kms_needs_no_master_key() -> None:
    keys = [key for key in scope()["secrets"]["keys"] if key != "FOREBAY_MASTER_KEY"]
    found = helmed(_with("secrets.keys", keys))
    assert "FOREBAY_MASTER_KEY" not in json.dumps([*found.values()])


def test_with_a_certificate_every_port_of_ours_has_tls() -> None:
    found = helmed(_with("tls.secret", "forebay-inside"))
    validate(found.values())
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


def test_the_image_has_the_version_of_the_chart_or_the_tag_that_is_set() -> None:
    for tag in ("", "1.2.3_a"):
        (web,) = pods(helmed(_with("image.tag", tag)))["forebay-web"]["containers"]
        assert web["image"] == f"registry.example.com/forebay:{tag or VERSION}"
    assert ("Job", "forebay-migrate-1-2-3-a") in helmed(_with("image.tag", "1.2.3_A"))


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
    assert ("NetworkPolicy", f"forebay-may-reach-{policy}") not in helmed(given)


def test_an_exception_stands_only_in_a_block_that_has_it() -> None:
    """Kubernetes refuses the policy otherwise."""
    given = scope()
    given["networkPolicies"]["outside"] = ["0.0.0.0/0", "::/0", "10.1.0.0/16", "fd00::/8"]
    blocks = [each["ipBlock"] for each in _allowed(helmed(given), "outside")["to"]]
    assert blocks[2:] == [{"cidr": "10.1.0.0/16"}, {"cidr": "fd00::/8"}]
    for block in blocks[:2]:
        whole = ip_network(block["cidr"])
        assert all(ip_network(one)[0] in whole for one in block["except"])


@pytest.mark.parametrize(
    "address",
    ["10.96.0.1", "172.20.0.1", "192.168.1.1", "100.64.0.1", "169.254.169.254", "127.0.0.1"]
    + ["fd00:ec2::254", "fe80::1", "::1"],
)
def test_everywhere_is_the_internet_and_no_network_of_the_cluster_or_its_hosts(
    address: str,
) -> None:
    given = scope()
    given["networkPolicies"]["outside"] = ["0.0.0.0/0", "::/0"]
    blocks = [each["ipBlock"] for each in _allowed(helmed(given), "outside")["to"]]
    assert not any(_reached(ip_address(address), block) for block in blocks)
    assert any(_reached(ip_address("203.0.113.7"), block) for block in blocks)


def _reached(address: Any, block: dict[str, Any]) -> bool:
    within = [address in ip_network(one) for one in (block["cidr"], *block.get("except", ()))]
    return within[0] and not any(within[1:])


@pytest.mark.parametrize("front_end", ["web", "grpc"])
def test_an_ingress_needs_to_be_told_where_its_controller_is(front_end: str) -> None:
    given = {"publicUrl": "https://a.example", "ingress": {"enabled": True}}
    proxies = {"web": ["10.244.0.0/16"], "grpc": ["10.244.0.0/16"]}
    with pytest.raises(Refused, match=f"set proxies.{front_end}"):
        helmed({**given, "proxies": {**proxies, front_end: []}})
    settings = helmed({**given, "proxies": proxies})["ConfigMap", "forebay-settings"]["data"]
    assert settings["FOREBAY_WEB_PROXIES"] == settings["FOREBAY_GRPC_PROXIES"] == "10.244.0.0/16"


def test_without_an_ingress_no_proxy_is_believed() -> None:
    settings = helmed({"publicUrl": "https://a.example"})["ConfigMap", "forebay-settings"]["data"]
    assert settings["FOREBAY_WEB_PROXIES"] == settings["FOREBAY_GRPC_PROXIES"] == ""


def _optional(path: str, schema: dict[str, Any]) -> Iterator[str]:
    """The paths of what an engine may leave out, by the chart's own schema."""
    for name, each in schema["properties"].items():
        if name not in schema.get("required", ()) and path + name not in ("gpu", "url"):
            yield path + name
        if "properties" in each:
            yield from _optional(f"{path}{name}.", each)


ENGINE = schema()["properties"]["engines"]["items"]


@pytest.mark.parametrize("by", ["none", "hpa", "keda"])
@pytest.mark.parametrize("optional", sorted(_optional("", ENGINE)))
def test_what_an_engine_may_leave_out_it_can_leave_out(optional: str, by: str) -> None:
    given = scope(by)
    *above, last = optional.split(".")
    place = given["engines"][0]
    for name in above:
        place = place[name]
    del place[last]
    jsonschema.validate(given, schema())
    objects = helmed(given)
    validate(one for (_kind, name), one in objects.items() if name == "forebay-engine-qwen")
    assert ("StatefulSet", "forebay-engine-qwen") in objects
