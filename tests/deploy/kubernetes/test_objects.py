"""What objects keep to: Kubernetes' schemas, Pod Security "restricted", and what we promise."""

import json
import re
from typing import Any

import pytest
import yaml

from audit.trail import database_owner
from config.configuration import variables
from config.environment import PROJECT
from config.settings import LARGEST_FILE_BYTES, MAX_BODY_BYTES
from deploy.kubernetes.helm import HERE
from inference import engine_entries
from inference.api.grpc.methods import NAMES
from infrastructure.release import VERSION
from tests.deploy.kubernetes import custom
from tests.deploy.kubernetes.rendered import (
    OVERLAYS,
    committed,
    containers,
    defaults,
    helmed,
    kustomized,
    pods,
    scope,
)

pytestmark = pytest.mark.unit
MIGRATE = f"forebay-migrate-{VERSION.replace('.', '-')}"
DEADLINE_S = defaults()["requestDeadlineSeconds"]
AWAY_S = 10  # until every proxy knows that a pod stops
COMMITTED = committed()
METRICS_TOKEN = "FOREBAY_METRICS_TOKEN"  # noqa: S105 - its name
KEYS: list[str] = defaults()["secrets"]["keys"]
VLLM = {"HF_HUB_OFFLINE", "VLLM_NO_USAGE_STATS"}


def test_every_object_keeps_to_its_schema() -> None:
    assert {kind for kind, _ in COMMITTED} >= {"Deployment", "StatefulSet", "Job", *custom.SCHEMAS}
    custom.validate(COMMITTED.values())


def test_every_pod_is_restricted() -> None:
    """https://kubernetes.io/docs/concepts/security/pod-security-standards/, and a bit more."""
    for name, pod in pods(COMMITTED).items():
        context = pod["securityContext"]
        assert context["runAsNonRoot"], name
        assert context["runAsUser"] >= 10000, name
        assert context["seccompProfile"] == {"type": "RuntimeDefault"}, name
        assert not pod["automountServiceAccountToken"], name
        assert not pod["enableServiceLinks"], name  # no variables that nobody asked for
        assert not {"hostNetwork", "hostPID", "hostIPC"} & set(pod), name
        allowed = {"emptyDir", "secret", "configMap", "projected", "persistentVolumeClaim"}
        assert all(set(volume) - {"name"} <= allowed for volume in pod["volumes"]), name
        for each in containers(pod):
            assert each["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }, (name, each["name"])


def test_the_namespace_lets_nothing_else_in() -> None:
    labels = COMMITTED["Namespace", "forebay"]["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"


def test_every_container_has_requests_and_limits() -> None:
    for name, pod in pods(COMMITTED).items():
        for each in containers(pod):
            for bound in ("requests", "limits"):
                given = each["resources"][bound]
                assert {"cpu", "memory", "ephemeral-storage"} <= set(given), (name, each["name"])


def test_gpus_are_a_limit_of_the_server_alone() -> None:
    for name, pod in pods(COMMITTED).items():
        has = [e["name"] for e in containers(pod) if "nvidia.com/gpu" in e["resources"]["limits"]]
        assert has == (["vllm"] if name == "forebay-engine-qwen" else []), name


def test_every_container_that_stays_is_probed() -> None:
    for name, pod in pods(COMMITTED).items():
        stay = [e for e in containers(pod) if e["name"] in ("forebay", "vllm")]
        for each in stay if name != MIGRATE else []:
            probes = {"startupProbe", "readinessProbe", "livenessProbe"}
            assert probes <= set(each), (name, each["name"])
            listed = {port["name"] for port in each.get("ports", [])}
            asked = [each[probe].get("httpGet", {}).get("port") for probe in probes]
            assert set(asked) <= listed | {None}, (name, each["name"])


def test_liveness_asks_for_nothing_that_others_own() -> None:
    """A database that is away must not have every process killed."""
    for pod in pods(COMMITTED).values():
        for each in containers(pod):
            path = each.get("livenessProbe", {}).get("httpGet", {}).get("path", "/livez")
            assert path in ("/livez", "/health"), path  # the latter of vLLM itself


def test_readiness_of_web_does_not_ask_for_engines() -> None:
    """Without them the console is needed most, and a 503 of ours says more than the proxy's."""
    (web,) = pods(COMMITTED)["forebay-web"]["containers"]
    assert web["readinessProbe"]["httpGet"]["path"] == "/readyz?without=engines"


def test_a_pod_may_finish_its_longest_request() -> None:
    settled = 60  # s: a runner waits so long for the record
    for name, pod in pods(COMMITTED).items():
        if "migrate" not in name:
            assert pod["terminationGracePeriodSeconds"] >= DEADLINE_S + settled + AWAY_S
    for name in ("forebay-web", "forebay-grpc"):
        (main,) = pods(COMMITTED)[name]["containers"]
        assert main["lifecycle"]["preStop"] == {"sleep": {"seconds": AWAY_S}}


def test_a_server_outlives_its_worker_and_is_loaded_before_it() -> None:
    """As a sidecar. Kubernetes ends sidecars after the containers, and starts them before."""
    pod = pods(COMMITTED)["forebay-engine-qwen"]
    (server,) = [each for each in pod["initContainers"] if each["name"] == "vllm"]
    assert server["restartPolicy"] == "Always"
    assert pod["initContainers"][-1] is server
    probe = server["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] == 15 * 60  # loadMinutes


def test_a_roll_out_never_has_fewer_pods() -> None:
    for (kind, name), one in COMMITTED.items():
        if kind == "Deployment":
            rolling = one["spec"]["strategy"]["rollingUpdate"]
            assert rolling == {"maxUnavailable": 0, "maxSurge": 1}, name
            assert one["spec"]["replicas"] >= 2, name


def test_each_role_has_a_budget_for_drained_nodes() -> None:
    for kind, name in COMMITTED:
        if kind in ("Deployment", "StatefulSet"):
            budget = COMMITTED["PodDisruptionBudget", name]["spec"]
            assert budget["maxUnavailable"] == 1, name
            assert budget["selector"] == COMMITTED[kind, name]["spec"]["selector"], name


def test_tables_are_there_before_any_pod_works() -> None:
    job = COMMITTED["Job", MIGRATE]
    assert job["metadata"]["annotations"]["helm.sh/hook"] == "pre-install,pre-upgrade"
    for name, pod in pods(COMMITTED).items():
        if "migrate" not in name:
            assert "forebay migrate --check" in pod["initContainers"][0]["args"][0], name


def test_the_docs_wait_for_the_job_of_this_version() -> None:
    told = (PROJECT / "docs" / "operations" / "kubernetes.md").read_text()
    assert set(re.findall(r"forebay-migrate-\d[\d-]*\d", told)) == {MIGRATE}


def test_the_job_needs_nothing_that_helm_makes_later() -> None:
    pod = pods(COMMITTED)[MIGRATE]
    assert "serviceAccountName" not in pod
    assert not any("configMap" in volume for volume in pod["volumes"])
    assert not any(each.get("envFrom") for each in containers(pod))


def test_secrets_are_files_and_nowhere_else() -> None:
    for name, pod in pods(COMMITTED).items():
        for each in containers(pod):
            for variable in each.get("env", []):
                assert "secretKeyRef" not in variable.get("valueFrom", {}), name
    told = COMMITTED["ConfigMap", "forebay-settings"]["data"]
    files = {key for key in told if key.endswith("_FILE")}
    assert files == {f"{key}_FILE" for key in [*KEYS, METRICS_TOKEN]}
    assert not set(told) & set(KEYS)


def test_what_pods_are_told_is_what_forebay_reads() -> None:
    told = set(COMMITTED["ConfigMap", "forebay-settings"]["data"])
    every = [each for pod in pods(COMMITTED).values() for each in containers(pod)]
    told |= {variable["name"] for each in every for variable in each.get("env", [])}
    assert told - variables.KNOWN == {"POD_NUMBER", "HOME", "USER"} | VLLM


def test_secrets_are_those_that_forebay_reads_from_files() -> None:
    assert set(KEYS) <= set(variables.SECRETS)
    for pod in pods(COMMITTED).values():  # Forebay refuses files that everybody may read
        kinds = [v.get("secret", v.get("projected")) for v in pod["volumes"]]
        assert {each["defaultMode"] for each in kinds if each} == {0o440}
        assert pod["securityContext"]["fsGroup"] == pod["securityContext"]["runAsUser"]


def test_a_pod_does_not_start_without_a_secret() -> None:
    """Each is named, and none is optional: the kubelet says which one is missing."""
    for name, pod in pods(COMMITTED).items():
        keys = {}
        for each in mounted(pod):
            assert "optional" not in each, name
            keys[each["name"]] = [item["key"] for item in each["items"]]
        assert keys == {"forebay": KEYS, "forebay-metrics": [METRICS_TOKEN]}, name


def mounted(pod: dict[str, Any]) -> list[dict[str, Any]]:
    """The Secrets of which files are made in the one folder."""
    (found,) = [v["projected"]["sources"] for v in pod["volumes"] if v["name"] == "secrets"]
    return [each["secret"] for each in found]


def test_prometheus_needs_a_secret_that_has_nothing_else() -> None:
    """Whoever may read what a scrape shows need not see the master key."""
    (endpoint,) = COMMITTED["PodMonitor", "forebay-pods"]["spec"]["podMetricsEndpoints"]
    asked = endpoint["authorization"]["credentials"]
    assert asked == {"name": "forebay-metrics", "key": METRICS_TOKEN}
    for pod in pods(COMMITTED).values():
        other = next(each for each in mounted(pod) if each["name"] != asked["name"])
        assert METRICS_TOKEN not in [item["key"] for item in other["items"]]


def test_the_administrator_of_the_database_is_known_to_the_job_alone() -> None:
    for name, pod in pods(COMMITTED).items():
        secrets = {v["secret"]["secretName"] for v in pod["volumes"] if "secret" in v}
        assert ("forebay-migration" in secrets) == ("migrate" in name), name


def test_engines_are_as_forebay_reads_them_and_each_has_its_worker() -> None:
    told = json.loads(COMMITTED["ConfigMap", "forebay-engines"]["data"]["engines.json"])
    entries = engine_entries.entries(told)
    assert [e.engine for e in entries] == [*(f"qwen.{n}" for n in range(1, 11)), "elsewhere"]
    stateful = COMMITTED["StatefulSet", "forebay-engine-qwen"]["spec"]
    assert stateful["ordinals"] == {"start": 1}
    (worker,) = stateful["template"]["spec"]["containers"]
    assert worker["args"] == ["worker", "qwen.$(POD_NUMBER)"]
    (other,) = pods(COMMITTED)["forebay-worker-elsewhere"]["containers"]
    assert other["args"] == ["worker", "elsewhere"]
    service = COMMITTED["Service", "forebay-engine-qwen"]
    assert entries[0].fields["url"] == (
        f"http://forebay-engine-qwen-1.{service['metadata']['name']}:8000/v1"
    )
    assert service["spec"]["publishNotReadyAddresses"]


def test_pods_share_the_files_of_model_versions_and_checkpoints() -> None:
    """A file in a pod's own folder is gone with the pod, and no other pod has it."""
    for name, pod in pods(COMMITTED).items():
        claims = {v["name"] for v in pod["volumes"] if "persistentVolumeClaim" in v}
        (main,) = [each for each in containers(pod) if each["name"] == "forebay"]
        shared = {m["mountPath"] for m in main["volumeMounts"] if m["name"] in claims}
        stores = {"/var/lib/forebay/model-store", "/var/lib/forebay/job-store"}
        has_files = name.split("-")[1] in ("web", "jobs", "worker", "engine")
        assert (stores <= shared) == has_files, name


def test_an_ingress_leads_each_service_of_grpc_there() -> None:
    (rule,) = COMMITTED["Ingress", "forebay-grpc"]["spec"]["rules"]
    assert {f"/{name}" for name in NAMES} <= {path["path"] for path in rule["http"]["paths"]}


def test_an_ingress_takes_bodies_as_large_as_forebay_does() -> None:
    for name, most in (("web", LARGEST_FILE_BYTES), ("grpc", MAX_BODY_BYTES)):
        annotations = COMMITTED["Ingress", f"forebay-{name}"]["metadata"]["annotations"]
        size = annotations["nginx.ingress.kubernetes.io/proxy-body-size"]
        assert int(size.removesuffix("m")) << 20 > most, name


def test_nothing_is_latest() -> None:
    for name, pod in pods(COMMITTED).items():
        for each in containers(pod):
            assert re.search(r":v?\d", each["image"]), (name, each["image"])


# Who may talk to whom ----------------------------------------------------------------------------
def _chosen(by: dict[str, Any], labels: dict[str, str]) -> bool:
    if any(labels.get(key) != value for key, value in by.get("matchLabels", {}).items()):
        return False
    for each in by.get("matchExpressions", []):
        inside = labels.get(each["key"]) in each["values"]
        if inside != (each["operator"] == "In"):
            return False
    return True


def _labels() -> dict[str, dict[str, str]]:
    made = ("Deployment", "StatefulSet", "Job")
    return {
        name.removeprefix("forebay-"): one["spec"]["template"]["metadata"]["labels"]
        for (kind, name), one in COMMITTED.items()
        if kind in made
    }


def _policies() -> list[dict[str, Any]]:
    return [one["spec"] for (kind, _), one in COMMITTED.items() if kind == "NetworkPolicy"]


def _reach_engines() -> set[str]:
    """Who may, by both ends."""
    labels = _labels()
    server, found = labels["engine-qwen"], set()
    for name, own in labels.items():
        out = any(
            _chosen(to.get("podSelector", {"matchLabels": {"": "-"}}), server)
            for policy in _policies()
            if _chosen(policy["podSelector"], own)
            for rule in policy.get("egress", [])
            for to in rule["to"]
            if "namespaceSelector" not in to
        )
        inside = any(
            _chosen(each.get("podSelector", {"matchLabels": {"": "-"}}), own)
            for policy in _policies()
            if _chosen(policy["podSelector"], server)
            for rule in policy.get("ingress", [])
            for each in rule["from"]
            if "namespaceSelector" not in each
        )
        if out and inside:
            found.add(name)
    return found


def test_every_pod_is_under_the_policy_that_denies() -> None:
    denying = COMMITTED["NetworkPolicy", "forebay-default-deny"]["spec"]
    assert denying["policyTypes"] == ["Ingress", "Egress"]
    assert not {"ingress", "egress"} & set(denying)
    for name, labels in _labels().items():
        assert _chosen(denying["podSelector"], labels), name


def test_only_who_has_to_reaches_engines() -> None:
    assert _reach_engines() == {"web", "grpc", "jobs", "engine-qwen", "worker-elsewhere"}


def test_a_server_of_an_engine_reaches_nobody_outside() -> None:
    outside = COMMITTED["NetworkPolicy", "forebay-may-reach-outside"]["spec"]
    reached = {
        name for name, labels in _labels().items() if _chosen(outside["podSelector"], labels)
    }
    assert reached == {"web", "grpc", "jobs", "beat", "worker-elsewhere"}
    for rule in outside["egress"]:
        for to in rule["to"]:  # keys of the node lie there
            assert "169.254.0.0/16" in to["ipBlock"]["except"]


# Autoscaling -------------------------------------------------------------------------------------
def _targets(objects: Any) -> list[tuple[str, str]]:
    made = ("HorizontalPodAutoscaler", "ScaledObject")
    found = [one for (kind, _), one in objects.items() if kind in made]
    return [
        (o["spec"]["scaleTargetRef"]["kind"], o["spec"]["scaleTargetRef"]["name"]) for o in found
    ]


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_nothing_has_two_autoscalers(overlay: str) -> None:
    targets = _targets(kustomized(f"overlays/{overlay}"))
    assert len(targets) == len(set(targets)) == (0 if overlay == "fixed" else 1)


@pytest.mark.parametrize("autoscaling", OVERLAYS.values())
def test_the_chart_has_one_or_none(autoscaling: str) -> None:
    targets = _targets(helmed(scope(autoscaling)))
    assert targets == ([] if autoscaling == "none" else [("StatefulSet", "forebay-engine-qwen")])


def test_the_autoscaler_goes_by_gpus_and_by_the_wait() -> None:
    spec = COMMITTED["HorizontalPodAutoscaler", "forebay-engine-qwen"]["spec"]
    assert (spec["minReplicas"], spec["maxReplicas"]) == (3, 10)
    by = {metric["type"]: metric[metric["type"].lower()] for metric in spec["metrics"]}
    assert by["Pods"]["target"] == {"type": "AverageValue", "averageValue": "80"}
    assert by["External"]["metric"]["selector"] == {"matchLabels": {"pool": "qwen"}}
    assert "Resource" not in by  # of GPUs there is none
    down = spec["behavior"]["scaleDown"]
    loads = 60 * scope()["engines"][0]["gpu"]["loadMinutes"]
    assert down["stabilizationWindowSeconds"] >= loads


@pytest.mark.parametrize("autoscaling", OVERLAYS.values())
def test_a_roll_out_leaves_an_autoscaler_its_number(autoscaling: str) -> None:
    spec = helmed(scope(autoscaling))["StatefulSet", "forebay-engine-qwen"]["spec"]
    assert spec.get("replicas") == (3 if autoscaling == "none" else None)


def test_the_adapter_has_the_figures_that_the_autoscaler_asks_for() -> None:
    rules = yaml.safe_load((HERE / "adapter-values.yaml").read_text())["rules"]
    spec = COMMITTED["HorizontalPodAutoscaler", "forebay-engine-qwen"]["spec"]
    asked = {m["type"]: m[m["type"].lower()]["metric"]["name"] for m in spec["metrics"]}
    assert asked["Pods"] in [rule["name"]["as"] for rule in rules["custom"]]
    assert asked["External"] in [rule["name"]["as"] for rule in rules["external"]]


# The database ------------------------------------------------------------------------------------
def test_a_commit_is_in_two_zones_before_it_is_answered() -> None:
    spec = COMMITTED["Cluster", "forebay-db"]["spec"]
    values = defaults()["database"]
    assert spec["instances"] == values["zones"] * values["instancesPerZone"]
    assert spec["postgresql"]["synchronous"] == {
        "method": "any",
        "number": values["instancesPerZone"],
        "dataDurability": "required",
        "failoverQuorum": True,
    }
    (spread,) = spec["topologySpreadConstraints"]
    assert spread["topologyKey"] == "topology.kubernetes.io/zone"
    assert spread["whenUnsatisfiable"] == "DoNotSchedule"


def test_the_database_has_the_roles_that_the_job_hands_its_tables_to() -> None:
    roles = COMMITTED["Cluster", "forebay-db"]["spec"]["managed"]["roles"]
    migrate = defaults()["migrate"]
    assert [role["name"] for role in roles] == [migrate["role"], migrate["requestsRole"]]


def test_every_password_of_the_database_is_known_before_it_is_made() -> None:
    """The Job that migrates needs the superuser's, and all Secrets are made at once."""
    spec = COMMITTED["Cluster", "forebay-db"]["spec"]
    secrets = [role["passwordSecret"]["name"] for role in spec["managed"]["roles"]]
    text = (PROJECT / "docs" / "operations" / "disaster-recovery.md").read_text()
    for name in (*secrets, spec["superuserSecret"]["name"]):
        assert f"`{name}`" in text


def test_the_databases_first_owner_is_none_of_the_platforms_roles() -> None:
    """CloudNativePG sets that role's password after each failover, whatever its Secret says."""
    spec = COMMITTED["Cluster", "forebay-db"]["spec"]
    roles = [role["name"] for role in spec["managed"]["roles"]]
    owner = spec["bootstrap"]["initdb"]["owner"]
    assert owner not in (*roles, database_owner.OWNER, database_owner.SYSTEM, "postgres")


def test_the_chart_has_no_database_unless_it_is_wanted() -> None:
    assert ("Cluster", "forebay-db") not in helmed(scope())
