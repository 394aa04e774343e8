"""Our own invariants over rendered documents. Each rule is a function from all documents to what is wrong with them."""

from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

from clew.contracts.topics import SERVICES, load_topics
from deploy.manifests.generate import GROUPS, OPERATOR, PASSWORD, operations
from deploy.manifests.pods import Workload, workloads
from deploy.manifests.programs import entry_point, program, runs
from deploy.manifests.render import Document

GRACE = 15  # seconds that a pod has beyond the service's own deadline
LIKELY_REPLICAS = (2, 3, 4, 6, 12)  # partitions are shared out evenly among so many pods
# The contract of names: who runs Clew makes these Secrets, and Strimzi those of its users. None: any keys.
SECRETS: dict[str, set[str] | None] = {
    "clew-database": {"url"},
    "clew-redis": {"url"},
    "clew-s3": {"access-key", "secret-key"},
    "clew-api-keys": {"keys.json"},
    "clew-models": None,
    "clew-embeddings": None,
    **{f"clew-{service}": {PASSWORD} for service in SERVICES},
}


def of_kind(documents: list[Document], kind: str) -> list[Document]:
    return [document for document in documents if document["kind"] == kind]


def name(document: Document) -> str:
    return document["metadata"]["name"]


def command(container: dict[str, Any]) -> tuple[str, ...]:
    """What a container runs: the entry point of its image, unless it says something else."""
    service = container["image"].rpartition(":")[0].rpartition("/")[2]
    return (*container.get("command", entry_point(service)), *container.get("args", []))


def environment(documents: list[Document], container: dict[str, Any]) -> dict[str, str | None]:
    """Its variables by name, None for a value that is secret."""
    maps = {name(document): document["data"] for document in of_kind(documents, "ConfigMap")}
    values: dict[str, str | None] = {}
    for reference in taken_whole(container, "configMapRef"):
        values |= maps.get(reference, {})
    return values | {variable["name"]: variable.get("value") for variable in container.get("env", [])}


def taken_whole(container: dict[str, Any], kind: str) -> list[str]:
    """The names of the ConfigMaps or Secrets that become variables as they are."""
    return [source[kind]["name"] for source in container.get("envFrom", []) if kind in source]


def selects(selector: dict[str, Any], workload: Workload) -> bool:
    return selector.get("matchLabels", {}).items() <= workload.labels.items()


def policies(documents: list[Document], workload: Workload) -> list[Document]:
    return [
        policy for policy in of_kind(documents, "NetworkPolicy") if selects(policy["spec"]["podSelector"], workload)
    ]


def servers(documents: list[Document]) -> Iterator[tuple[Workload, dict[str, Any]]]:
    """The containers that run for ever."""
    for workload in workloads(documents):
        if workload.kind != "Job":
            yield from ((workload, container) for container in workload.containers)


def guarded(documents: list[Document]) -> Iterator[str]:
    """Each workload has an account of its own without a token, network policies, and a budget if it runs for ever."""
    accounts = {name(d) for d in of_kind(documents, "ServiceAccount") if d.get("automountServiceAccountToken") is False}
    budgets = [d["spec"] for d in of_kind(documents, "PodDisruptionBudget")]
    for workload in workloads(documents):
        if workload.spec.get("serviceAccountName") not in accounts or workload.name not in accounts:
            yield f"{workload} has no service account of its own that keeps its token to itself"
        own = [policy["spec"] for policy in policies(documents, workload) if name(policy) == workload.name]
        if not own or set(own[0]["policyTypes"]) != {"Ingress", "Egress"}:
            yield f"{workload} has no network policy for both directions"
        mine = [b for b in budgets if selects(b["selector"], workload)]
        wanted = [] if workload.kind == "Job" else [(1, "AlwaysAllow")]
        if [(b.get("maxUnavailable"), b.get("unhealthyPodEvictionPolicy")) for b in mine] != wanted:
            yield f"{workload} needs {len(wanted)} disruption budgets that give one pod at a time, and sick ones always"


def runnable(documents: list[Document]) -> Iterator[str]:
    """Images have a tag that stays, commands exist, variables are known to the program, and none is missing."""
    maps = {name(document) for document in of_kind(documents, "ConfigMap")}
    for workload in workloads(documents):
        for container in workload.containers:
            if container["image"].rpartition(":")[2] in ("", "latest", container["image"]):
                yield f"{workload}: {container['image']} has no tag, or one that moves"
            if absent := set(taken_whole(container, "configMapRef")) - maps:
                yield f"{workload}: there is no ConfigMap {', '.join(sorted(absent))}"
            runs_as = program(command(container))
            if runs_as is None or not runs(command(container)):
                yield f"{workload}: {' '.join(command(container))} is no program of ours"
                continue
            given = set(environment(documents, container))
            if unknown := given - runs_as.known:
                yield f"{workload}: nothing reads {', '.join(sorted(unknown))}"
            if missing := runs_as.required - given:
                yield f"{workload}: {', '.join(sorted(missing))} is not set"


def agreeing(documents: list[Document]) -> Iterator[str]:
    """ConfigMaps that name the same variable give it the same value."""
    seen: dict[str, str] = {}
    for document in of_kind(documents, "ConfigMap"):
        for key, value in document["data"].items():
            if seen.setdefault(key, value) != value:
                yield f"ConfigMap {name(document)}: {key} is {value}, elsewhere {seen[key]}"


def secret(documents: list[Document]) -> Iterator[str]:
    """Secrets and their keys are those of the contract."""
    for document in of_kind(documents, "Secret"):
        keys = SECRETS.get(name(document), set())
        if keys is not None and set(document.get("data", {})) != keys:
            yield f"Secret {name(document)}: its name and keys are not in the contract"
    for workload in workloads(documents):
        whole = [volume["secret"]["secretName"] for volume in workload.spec.get("volumes", []) if "secret" in volume]
        for container in workload.containers:
            whole += taken_whole(container, "secretRef")
            sources = [variable.get("valueFrom", {}).get("secretKeyRef") for variable in container.get("env", [])]
            for reference in filter(None, sources):
                if reference["key"] not in (SECRETS.get(reference["name"]) or ()):
                    yield f"{workload}: no Secret {reference['name']} with key {reference['key']} is in the contract"
        yield from (f"{workload}: no Secret {used} is in the contract" for used in whole if used not in SECRETS)


def probed(documents: list[Document]) -> Iterator[str]:
    """Probes ask the port that the service listens on; being live depends on nothing else, and death is slow."""
    for workload, container in servers(documents):
        values = environment(documents, container)
        kind = "GATEWAY" if "CLEW_GATEWAY_PORT" in values else "HEALTH"
        port = values.get(f"CLEW_{kind}_PORT")
        ports = {p["name"]: str(p["containerPort"]) for p in container.get("ports", [])}
        if values.get(f"CLEW_{kind}_HOST") != "0.0.0.0":
            yield f"{workload}: nobody outside its pod reaches it at {values.get(f'CLEW_{kind}_HOST')}"
        for probe, path in (("startup", "/livez"), ("liveness", "/livez"), ("readiness", "/readyz")):
            asked = container.get(f"{probe}Probe", {})
            get = asked.get("httpGet", {})
            if (get.get("path"), ports.get(get.get("port"))) != (path, port):
                yield f"{workload}: its {probe} probe does not ask {path} where the service listens"
            if "initialDelaySeconds" in asked:
                yield f"{workload}: its {probe} probe waits blindly; that is what the startup probe is for"
        liveness = container.get("livenessProbe", {})
        if liveness.get("periodSeconds", 10) * liveness.get("failureThreshold", 3) < 60:
            yield f"{workload}: its liveness probe kills within a minute, and a killed pod's runs all move"


def patient(documents: list[Document]) -> Iterator[str]:
    """A pod that is told to stop has the time that its service takes; jobs end one day."""
    for workload, container in servers(documents):
        stop = container.get("lifecycle", {}).get("preStop", {}).get("sleep", {}).get("seconds", 0)
        drain = float(environment(documents, container).get("CLEW_DRAIN_SECONDS") or 10)
        if workload.spec.get("terminationGracePeriodSeconds", 30) < max(drain + GRACE, drain + stop):
            yield f"{workload}: it is killed before its {drain:g} s of draining are over"
    for job in of_kind(documents, "Job"):
        if not {"activeDeadlineSeconds", "ttlSecondsAfterFinished"} <= set(job["spec"]):
            yield f"Job {name(job)} has no deadline, or stays for ever"
        if not {"argocd.argoproj.io/hook", "kustomize.toolkit.fluxcd.io/force"} <= set(job["metadata"]["annotations"]):
            yield f"Job {name(job)} is not run anew by Argo CD and Flux"


def reachable(documents: list[Document]) -> Iterator[str]:
    """The network policies let a pod out to the ports that its settings name."""
    for workload in workloads(documents):
        for container in workload.containers:
            values = environment(documents, container)
            rules = [rule for policy in policies(documents, workload) for rule in policy["spec"].get("egress", [])]
            allowed = {port["port"] for rule in rules if "to" not in rule for port in rule.get("ports", [])}
            kafka = [f"//{broker}" for broker in (values.get("KAFKA_BOOTSTRAP_SERVERS") or "").split(",") if broker]
            for address in [*kafka, *filter(None, [values.get("S3_ENDPOINT")])]:
                if urlsplit(address).port not in allowed:
                    yield f"{workload}: its network policy does not let it out to {address}"


def divisible(documents: list[Document]) -> Iterator[str]:
    """Partitions are shared out evenly among the pods of a service."""
    partitions = load_topics().thread_partitions
    if any(partitions % replicas for replicas in LIKELY_REPLICAS):
        yield f"{partitions} partitions cannot be shared out evenly among {LIKELY_REPLICAS} pods"
    for workload in workloads(documents):
        if workload.replicas is not None and (workload.replicas < 1 or partitions % workload.replicas):
            yield f"{workload}: {partitions} partitions cannot be shared out evenly among {workload.replicas} pods"


def listed_topics(documents: list[Document]) -> Iterator[str]:
    """Topics are those of `topics.yaml`, made by one owner: KafkaTopic resources, or else the Job."""
    topics = load_topics()
    found = {name(document): document["spec"] for document in of_kind(documents, "KafkaTopic")}
    jobs = [w for w in workloads(documents) if w.name == "clew-topics"]
    if not found:
        partitions = [environment(documents, c).get("CLEW_THREAD_PARTITIONS") for job in jobs for c in job.containers]
        if partitions != [str(topics.thread_partitions)]:
            yield f"nothing makes topics of {topics.thread_partitions} partitions"
        return
    if jobs:
        yield "the topics have two owners: KafkaTopic resources and the Job"
    if set(found) != {topic.name for topic in topics.topics}:
        yield f"KafkaTopics and topics.yaml differ: {sorted(set(found) ^ {topic.name for topic in topics.topics})}"
    for topic in topics.topics:
        spec = found.get(topic.name, {})
        config = {key: spec.get("config", {}).get(key) for key in topic.config}
        if spec and (spec["partitions"], config) != (topic.partition_count(topics.thread_partitions), topic.config):
            yield f"KafkaTopic {topic.name}: partitions or retention are not those of topics.yaml"


def least_privilege(documents: list[Document]) -> Iterator[str]:
    """Each service may do with topics and groups what it does, and nothing else."""
    if not of_kind(documents, "KafkaTopic"):
        return
    users = {name(document): document["spec"] for document in of_kind(documents, "KafkaUser")}
    if set(users) != {f"clew-{name}" for name in (*SERVICES, OPERATOR)}:
        yield f"KafkaUsers and services differ: {sorted(users)}"
    for service in SERVICES:
        wanted = {("topic", topic.name): set(operations(service, topic)) for topic in load_topics().topics}
        wanted |= {("group", group): {"Describe", "Read"} for group in GROUPS[service]}
        rules = users.get(f"clew-{service}", {}).get("authorization", {}).get("acls", [])
        found = {(r["resource"]["type"], r["resource"]["name"]): set(r["operations"]) for r in rules}
        literal = all(r["resource"].get("patternType", "literal") == "literal" for r in rules)
        if found != wanted or not literal or len(rules) != len(found):
            yield f"KafkaUser clew-{service}: it may do something else than topics.yaml says"
    for rule in users.get(f"clew-{OPERATOR}", {}).get("authorization", {}).get("acls", []):
        resource, does = rule["resource"], set(rule["operations"])
        if resource["type"] not in ("topic", "group") or resource.get("patternType", "literal") != "literal":
            yield f"KafkaUser clew-{OPERATOR}: it may do something to {resource['type']} {resource.get('name', '')}"
        if does & {"All", "Alter", "AlterConfigs", "Create", "Delete", "ClusterAction"} or (
            resource["type"] == "group" and does != {"Describe"}
        ):
            yield f"KafkaUser clew-{OPERATOR}: it may change {resource['type']} {resource.get('name', '')}"


def logged_in(documents: list[Document]) -> Iterator[str]:
    """Where the log has users, each service comes to it as its own: rights bind only who logs in."""
    users = {name(document) for document in of_kind(documents, "KafkaUser")}
    for workload, container in servers(documents) if users else ():
        given = {variable["name"]: variable for variable in container.get("env", [])}
        if given.get("KAFKA_USER", {}).get("value") != workload.name or workload.name not in users:
            yield f"{workload}: it does not come to the log as its user"
        source = given.get("KAFKA_PASSWORD", {}).get("valueFrom", {}).get("secretKeyRef", {})
        if source.get("name") != workload.name:
            yield f"{workload}: it has no password, or another user's"


RULES: tuple[Callable[[list[Document]], Iterator[str]], ...] = (
    guarded,
    runnable,
    agreeing,
    secret,
    probed,
    patient,
    reachable,
    divisible,
    listed_topics,
    least_privilege,
    logged_in,
)
