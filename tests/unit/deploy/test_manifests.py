"""Every check of the Kubernetes manifests finds what it is for: one thing at a time is broken in what is committed.

`make k8s` checks what kustomize renders; here the base is read as it is written, which needs no kustomize.
"""

import ast
from collections.abc import Callable, Iterable
from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import yaml

from clew.contracts.topics import SERVICES, load_topics
from deploy.manifests import pods, render, rules, schemas
from deploy.manifests.__main__ import FOLDER, problems, without_kustomize
from deploy.manifests.generate import GROUPS, files, stale
from deploy.manifests.render import Document, RenderError

ROOT = Path(__file__).parents[3]
PLAIN = render.plain(FOLDER / "base")
STRIMZI = [d for d in PLAIN if d["metadata"]["name"] != "clew-topics"] + render.plain(FOLDER / "components/strimzi")
GONE = object()
POD = "spec.template.spec"
MAIN = f"{POD}.containers.0"
Check = Callable[[list[Document]], Iterable[str]]


def broken(documents: list[Document], where: str, value: object) -> list[Document]:
    """A copy with one value changed, or gone. `where` is "Kind name a.path.0.below"; "~" stands for a dot in a key."""
    copy = deepcopy(documents)
    kind, name, path = where.split(" ")
    node: Any
    [node] = [d for d in copy if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    *parents, last = (int(key) if key.isdigit() else key.replace("~", ".") for key in path.split("."))
    for key in parents:
        node = node[key]
    if value is GONE:
        del node[last]
    else:
        node[last] = value
    return copy


def without(documents: list[Document], kind: str, name: str) -> list[Document]:
    return [d for d in documents if (d["kind"], d["metadata"]["name"]) != (kind, name)]


def test_nothing_is_wrong_with_what_is_committed() -> None:
    assert problems(PLAIN) == []
    assert list(without_kustomize()) == []


def test_who_asks_for_embeddings_has_the_key_and_a_way_to_the_open_internet() -> None:
    documents = PLAIN + render.plain(FOLDER / "components/embeddings")
    asking = [
        w for w in pods.workloads(documents) if "clew-embeddings" in rules.taken_whole(w.containers[0], "secretRef")
    ]
    assert {w.name for w in asking} == {f"clew-{name}" for name in ("gateway", "planner", "executor", "memory")}
    for workload in asking:
        ways = [way for p in rules.policies(documents, workload) for way in p["spec"].get("egress", [])]
        assert [way["ports"] for way in ways if "to" in way] == [[{"protocol": "TCP", "port": 443}]], workload.name


def test_every_service_is_there() -> None:
    names = {workload.name for workload in pods.workloads(PLAIN) if workload.kind != "Job"}
    assert names == {f"clew-{service}" for service in SERVICES}


@pytest.mark.parametrize(
    ("where", "value", "told"),
    [
        (f"Deployment clew-planner {MAIN}.readynessProbe", {}, "readynessProbe"),
        (f"Deployment clew-planner {MAIN}.ports.0.containerPort", "8080", "8080"),
        (f"Deployment clew-planner {MAIN}.imagePullPolicy", ["Sometimes"], "Sometimes"),
        ("Deployment clew-planner spec.selector", GONE, "selector"),
        ("Deployment clew-planner apiVersion", "apps/v9", "v9"),
        ("PodDisruptionBudget clew-planner spec.maxUnavailable", 1.5, "1.5"),
        ("KafkaTopic plans spec.partition", 12, "partition"),
        ("KafkaTopic plans spec.partitions", "12", "'12' is not of type 'integer'"),
        ("KafkaTopic plans apiVersion", "kafka.strimzi.io/v1beta2", "no schema"),
        ("KafkaUser clew-planner spec.authentication.type", "scram-sha-1", "scram-sha-1"),
        ("KafkaUser clew-planner spec.authorization.acls.0.operation", "Read", "operation"),
    ],
)
def test_a_document_that_its_schema_refuses_is_found(where: str, value: object, told: str) -> None:
    kind, name, _ = where.split(" ")
    document = [d for d in STRIMZI if (d["kind"], d["metadata"]["name"]) == (kind, name)]
    assert list(schemas.problems(document)) == []
    assert any(told in line for line in schemas.problems(broken(document, where, value)))


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (f"{POD}.securityContext.runAsNonRoot", False, "runs as a user"),
        (f"{POD}.securityContext.runAsUser", 1000, "runs as a user"),
        (f"{POD}.securityContext.seccompProfile.type", "Unconfined", "seccomp"),
        (f"{POD}.hostNetwork", True, "shares hostNetwork"),
        (f"{POD}.volumes.0", {"name": "tmp", "hostPath": {"path": "/tmp"}}, "of the node"),
        (f"{POD}.volumes.0.emptyDir.sizeLimit", GONE, "no size limit"),
        (f"{POD}.automountServiceAccountToken", GONE, "mounts a token"),
        (f"{POD}.enableServiceLinks", GONE, "REDIS_PORT"),
        (f"{MAIN}.securityContext.allowPrivilegeEscalation", True, "gain privileges"),
        (f"{MAIN}.securityContext.privileged", True, "gain privileges"),
        (f"{MAIN}.securityContext.readOnlyRootFilesystem", GONE, "write into its image"),
        (f"{MAIN}.securityContext.capabilities.drop", ["NET_RAW"], "keeps capabilities"),
        (f"{MAIN}.securityContext.capabilities.add", ["SYS_ADMIN"], "keeps capabilities"),
        (f"{MAIN}.securityContext.runAsUser", 0, "another user"),
        (f"{MAIN}.ports.0.hostPort", 8080, "port of the node"),
        (f"{MAIN}.resources.limits.memory", GONE, "limit of memory"),
        (f"{MAIN}.resources.limits.cpu", "1", "limit of memory"),
    ],
)
def test_a_pod_that_is_not_restricted_is_found(path: str, value: object, told: str) -> None:
    assert any(told in line for line in pods.problems(broken(PLAIN, f"Deployment clew-executor {path}", value)))


def test_an_init_container_is_held_to_the_same() -> None:
    where = f"Deployment clew-executor {POD}.initContainers"
    assert any("init" in line for line in pods.problems(broken(PLAIN, where, [{"name": "init"}])))


@pytest.mark.parametrize(
    ("check", "where", "value", "told"),
    [
        (rules.guarded, f"Deployment clew-executor {POD}.serviceAccountName", "default", "service account"),
        (rules.guarded, f"Deployment clew-executor {POD}.serviceAccountName", GONE, "service account"),
        (rules.guarded, "ServiceAccount clew-memory automountServiceAccountToken", True, "service account"),
        (rules.guarded, "NetworkPolicy clew-migrate spec.podSelector.matchLabels", {"a": "b"}, "no network policy"),
        (rules.guarded, "NetworkPolicy clew-memory spec.policyTypes", ["Ingress"], "no network policy"),
        (rules.guarded, "PodDisruptionBudget clew-memory spec.selector.matchLabels", {"a": "b"}, "disruption budget"),
        (rules.guarded, "PodDisruptionBudget clew-memory spec.maxUnavailable", 0, "disruption budget"),
        (rules.guarded, "PodDisruptionBudget clew-memory spec.unhealthyPodEvictionPolicy", GONE, "disruption budget"),
        (rules.runnable, f"Deployment clew-executor {MAIN}.image", "clew/executor:latest", "moves"),
        (rules.runnable, f"Deployment clew-executor {MAIN}.image", "clew/executor", "no tag"),
        (rules.runnable, f"Deployment clew-executor {MAIN}.image", "clew/executioner:1", "no program of ours"),
        (rules.runnable, f"Job clew-migrate {MAIN}.args", ["migrates"], "no program of ours"),
        (rules.runnable, f"Job clew-topics {MAIN}.command.2", "clew.chassis.topic", "no program of ours"),
        (rules.runnable, f"Deployment clew-ingestion {MAIN}.env.0.name", "DATABASE_URL", "nothing reads DATABASE_URL"),
        (rules.runnable, "ConfigMap clew data.CLEW_LOGLEVEL", "info", "nothing reads CLEW_LOGLEVEL"),
        (rules.runnable, "ConfigMap clew data.KAFKA_BOOTSTRAP_SERVERS", GONE, "KAFKA_BOOTSTRAP_SERVERS is not set"),
        (rules.runnable, f"StatefulSet clew-memory {MAIN}.envFrom.0.configMapRef.name", "klew", "no ConfigMap klew"),
        (rules.agreeing, "ConfigMap clew-topics data.KAFKA_BOOTSTRAP_SERVERS", "kafka:1", "elsewhere"),
        (rules.secret, f"StatefulSet clew-memory {MAIN}.env.2.valueFrom.secretKeyRef.key", "uri", "key uri"),
        (rules.secret, f"StatefulSet clew-memory {MAIN}.env.2.valueFrom.secretKeyRef.name", "db", "Secret db"),
        (rules.secret, f"Deployment clew-gateway {POD}.volumes.1.secret.secretName", "keys", "Secret keys"),
        (rules.secret, f"Deployment clew-executor {MAIN}.envFrom.1.secretRef.name", "keys", "Secret keys"),
        (rules.probed, f"Deployment clew-executor {MAIN}.livenessProbe.httpGet.path", "/readyz", "liveness probe"),
        (rules.probed, f"Deployment clew-executor {MAIN}.readinessProbe", GONE, "readiness probe"),
        (rules.probed, f"Deployment clew-executor {MAIN}.startupProbe.httpGet.port", "https", "startup probe"),
        (rules.probed, f"Deployment clew-executor {MAIN}.env.1.value", "8081", "where the service listens"),
        (rules.probed, f"Deployment clew-executor {MAIN}.env.0.value", "127.0.0.1", "outside its pod"),
        (rules.probed, f"Deployment clew-executor {MAIN}.livenessProbe.failureThreshold", 3, "within a minute"),
        (rules.probed, f"Deployment clew-executor {MAIN}.livenessProbe.initialDelaySeconds", 9, "waits blindly"),
        (rules.patient, "ConfigMap clew data.CLEW_DRAIN_SECONDS", "21", "killed before"),
        (rules.patient, f"Deployment clew-executor {POD}.terminationGracePeriodSeconds", GONE, "killed before"),
        (rules.patient, f"Deployment clew-gateway {MAIN}.lifecycle.preStop.sleep.seconds", 16, "killed before"),
        (rules.patient, "Job clew-migrate spec.activeDeadlineSeconds", GONE, "no deadline"),
        (rules.patient, "Job clew-migrate metadata.annotations.argocd~argoproj~io/hook", GONE, "run anew"),
        (rules.reachable, "ConfigMap clew data.KAFKA_BOOTSTRAP_SERVERS", "kafka:9093", "//kafka:9093"),
        (rules.reachable, "ConfigMap clew data.S3_ENDPOINT", "http://s3:8333", "http://s3:8333"),
        (rules.divisible, "Deployment clew-executor spec.replicas", 5, "among 5 pods"),
        (rules.divisible, "Deployment clew-executor spec.replicas", 0, "among 0 pods"),
        (rules.listed_topics, "ConfigMap clew-topics data.CLEW_THREAD_PARTITIONS", "6", "topics of 12 partitions"),
    ],
)
def test_a_broken_invariant_is_found(check: Check, where: str, value: object, told: str) -> None:
    assert list(check(PLAIN)) == []
    assert any(told in line for line in check(broken(PLAIN, where, value)))


@pytest.mark.parametrize(
    ("check", "where", "value", "told"),
    [
        (rules.listed_topics, "KafkaTopic plans metadata.name", "plan", "['plan', 'plans']"),
        (rules.listed_topics, "KafkaTopic plans spec.partitions", 6, "KafkaTopic plans"),
        (rules.listed_topics, "KafkaTopic plans spec.config.retention~ms", "1", "KafkaTopic plans"),
        (
            rules.listed_topics,
            "KafkaTopic capabilities spec.config.cleanup~policy",
            "delete",
            "KafkaTopic capabilities",
        ),
        (rules.listed_topics, "Job clew-migrate metadata.name", "clew-topics", "two owners"),
        (rules.least_privilege, "KafkaUser clew-gateway spec.authorization.acls.2.operations", ["All"], "clew-gateway"),
        (
            rules.least_privilege,
            "KafkaUser clew-gateway spec.authorization.acls.0.operations",
            ["Write"],
            "clew-gateway",
        ),
        (rules.least_privilege, "KafkaUser clew-gateway spec.authorization.acls.0.resource.name", "*", "clew-gateway"),
        (
            rules.least_privilege,
            "KafkaUser clew-gateway spec.authorization.acls.0.resource.patternType",
            "prefix",
            "clew-gateway",
        ),
        (rules.least_privilege, "KafkaUser clew-memory spec.authorization.acls.9", GONE, "clew-memory"),
        (rules.least_privilege, "KafkaUser clew-operator metadata.name", "ops", "differ"),
        (
            rules.least_privilege,
            "KafkaUser clew-operator spec.authorization.acls.0.operations",
            ["Alter"],
            "clew-operator",
        ),
        (
            rules.least_privilege,
            "KafkaUser clew-operator spec.authorization.acls.0.resource",
            {"type": "cluster"},
            "clew-operator",
        ),
        (rules.least_privilege, "KafkaUser clew-memory metadata.name", "memory", "differ"),
    ],
)
def test_topics_and_rights_that_are_not_those_of_the_list_are_found(
    check: Check, where: str, value: object, told: str
) -> None:
    assert list(check(STRIMZI)) == []
    assert any(told in line for line in check(broken(STRIMZI, where, value)))


@pytest.mark.parametrize("kind", ["ServiceAccount", "PodDisruptionBudget", "NetworkPolicy"])
def test_a_workload_that_lacks_a_guard_is_found(kind: str) -> None:
    assert list(rules.guarded(without(PLAIN, kind, "clew-ingestion"))) != []


def test_topics_that_nobody_makes_are_found() -> None:
    assert list(rules.listed_topics(without(PLAIN, "Job", "clew-topics"))) != []


def test_a_topic_that_is_missing_is_found() -> None:
    assert list(rules.listed_topics(without(STRIMZI, "KafkaTopic", "dead-letters"))) != []


def test_a_secret_outside_the_contract_is_found() -> None:
    extra = {"kind": "Secret", "metadata": {"name": "clew-redis"}, "data": {"uri": ""}}
    assert list(rules.secret([*PLAIN, extra])) != []


def test_a_resource_that_is_not_there_is_found(tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(
        "resources: [a.yaml]\npatches: [{path: c.yaml}]\nconfigMapGenerator: [{name: x, envs: [b.env]}]\n"
    )
    assert [line.rpartition(" ")[2] for line in render.missing_files(tmp_path)] == ["a.yaml", "c.yaml", "b.env"]
    assert list(render.missing_files(FOLDER)) == []


def test_generated_files_are_up_to_date_and_a_change_is_noticed() -> None:
    topics = load_topics()
    assert stale(files(topics)) == []
    changed = topics.model_copy(update={"topics": topics.topics[1:]})
    assert len(stale(files(changed))) == 2


def test_users_may_join_the_groups_that_services_form() -> None:
    """A group is called after its service, but where `on_batch` is told another name."""
    named: dict[str, set[str]] = {s: {s} if load_topics().read_by(s) else set() for s in SERVICES}
    for service in SERVICES:
        for path in (ROOT / "services" / service / "src").rglob("*.py"):
            keywords = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.keyword)]
            named[service] |= {ast.literal_eval(k.value) for k in keywords if k.arg == "group"}
    assert named == {service: set(groups) for service, groups in GROUPS.items()}


@pytest.fixture
def command() -> list[str]:
    match render.kustomize():
        case str(reason):
            pytest.skip(reason)
        case command:
            return command


def test_what_kustomize_makes_of_the_base_is_what_is_checked_without_it(command: list[str]) -> None:
    made = render.rendered(command, FOLDER / "base")
    assert sorted(d["kind"] for d in made) == sorted(d["kind"] for d in PLAIN)
    assert problems(made) == []


@pytest.mark.parametrize(
    ("path", "value", "told"),
    [
        (f"{MAIN}.env.0.value", "clew-planner", "as its user"),
        (f"{MAIN}.env.0", {"name": "KAFKA_USERS", "value": "clew-executor"}, "as its user"),
        (f"{MAIN}.env.1.valueFrom.secretKeyRef.name", "clew-planner", "another user's"),
        (f"{MAIN}.env.1.valueFrom", GONE, "no password"),
    ],
)
def test_where_the_log_has_users_each_service_logs_in_as_its_own(
    command: list[str], path: str, value: object, told: str
) -> None:
    made = render.rendered(command, FOLDER / "tests/strimzi")
    assert problems(made) == []
    assert any(told in line for line in rules.logged_in(broken(made, f"Deployment clew-executor {path}", value)))


def test_what_kustomize_refuses_is_told(command: list[str], tmp_path: Path) -> None:
    (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump({"resource": ["misspelt.yaml"]}))
    with pytest.raises(RenderError, match="resource"):
        render.rendered(command, tmp_path)


@pytest.mark.parametrize(
    ("told", "found"),
    [
        ('{"kustomizeVersion": "v5.5.0"}', True),
        ('{"version": "v5.7.1"}', True),
        ('{"version": "v4.2.0"}', False),
        ("unknown flag: --output", False),
    ],
)
def test_a_kustomize_that_is_too_old_is_not_used(
    told: str, found: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "kustomize"
    program.write_text(f"#!/bin/sh\necho '{told}'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=None)
    match render.kustomize():
        case str(reason):
            assert not found
            assert "5 or newer" in reason
        case command:
            assert found
            assert command == [str(program), "build"]
