"""Pods: where they stand in a document, and the Pod Security standard "restricted" with our own additions to it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from deploy.manifests.render import Document

KINDS = ("Deployment", "StatefulSet", "Job")
LOWEST_USER = 10001  # below it a user of the machine may have the same number
VOLUMES = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "persistentVolumeClaim", "projected", "secret"}


@dataclass(frozen=True)
class Workload:
    """A document that makes pods. `spec` is its pod's."""

    kind: str
    name: str
    replicas: int | None
    labels: dict[str, str]
    spec: dict[str, Any]  # Any: as in a document

    @property
    def containers(self) -> list[dict[str, Any]]:
        return self.spec.get("initContainers", []) + self.spec.get("containers", [])

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def workloads(documents: list[Document]) -> Iterator[Workload]:
    for document in documents:
        if document["kind"] in KINDS:
            spec = document["spec"]
            labels = spec["template"]["metadata"].get("labels", {})
            name = document["metadata"]["name"]
            yield Workload(document["kind"], name, spec.get("replicas"), labels, spec["template"]["spec"])


def problems(documents: list[Document]) -> Iterator[str]:
    """What "restricted" forbids, and what we forbid beside it."""
    for workload in workloads(documents):
        yield from (f"{workload}: {problem}" for problem in _pod_problems(workload.spec))
        for container in workload.containers:
            yield from (f"{workload}, {container['name']}: {problem}" for problem in _container_problems(container))


def _pod_problems(spec: dict[str, Any]) -> Iterator[str]:
    context = spec.get("securityContext", {})
    if context.get("runAsNonRoot") is not True or context.get("runAsUser", 0) < LOWEST_USER:
        yield f"runs as a user below {LOWEST_USER}"
    if context.get("seccompProfile", {}).get("type") not in ("RuntimeDefault", "Localhost"):
        yield "has no seccomp profile"
    yield from (f"shares {name} with the node" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name))
    for volume in spec.get("volumes", []):
        if not set(volume) - {"name"} <= VOLUMES:
            yield f"volume {volume['name']} is of the node or of a kind that is not allowed"
        if "emptyDir" in volume and "sizeLimit" not in volume["emptyDir"]:
            yield f"volume {volume['name']} has no size limit"
    if spec.get("automountServiceAccountToken") is not False:
        yield "mounts a token"
    if spec.get("enableServiceLinks") is not False:
        yield "gets a variable for each Service, and REDIS_PORT=tcp://… breaks settings"


def _container_problems(container: dict[str, Any]) -> Iterator[str]:
    context = container.get("securityContext", {})
    if context.get("privileged") or context.get("allowPrivilegeEscalation") is not False:
        yield "may gain privileges"
    if context.get("readOnlyRootFilesystem") is not True:
        yield "may write into its image"
    capabilities = context.get("capabilities", {})
    if capabilities.get("drop") != ["ALL"] or not set(capabilities.get("add", [])) <= {"NET_BIND_SERVICE"}:
        yield "keeps capabilities"
    if context.get("runAsNonRoot") is False or context.get("runAsUser", LOWEST_USER) < LOWEST_USER:
        yield "runs as another user than its pod"
    if any("hostPort" in port for port in container.get("ports", [])):
        yield "takes a port of the node"
    resources = container.get("resources", {})
    if "memory" not in resources.get("limits", {}) or "cpu" in resources.get("limits", {}):
        yield "needs a limit of memory and none of CPU: throttling makes heartbeats late"
