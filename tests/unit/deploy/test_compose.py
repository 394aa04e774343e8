"""The compose file is one that Docker understands, and tells every service what it needs to know and nothing else."""

import re
from copy import deepcopy
from hashlib import sha256
from pathlib import Path
from typing import Any

import compose_spec
import pytest
import yaml

from clew.contracts.topics import SERVICES
from clew.local import redis
from deploy.manifests.programs import entry_point, program, runs
from tests.support.compose import interpolated, load
from tests.support.dockerfile import parse

ROOT = Path(__file__).parents[3]
PATH = ROOT / "deploy/compose.yaml"
COMPOSE = load(PATH, {})
OURS = [*SERVICES, "topics", "migrate", "bucket"]
PARTS = ["kafka", "postgres", "redis", "s3"]


def test_redis_is_a_cache_that_forgets_what_was_used_least() -> None:
    words = COMPOSE["services"]["redis"]["command"]
    told = dict(zip(words[1::2], words[2::2], strict=True))
    assert told == {
        f"--{name}": redis.SETTINGS[name] for name in ("save", "appendonly", "maxmemory", "maxmemory-policy")
    }
    assert (told["--maxmemory"], told["--maxmemory-policy"]) == ("256mb", "allkeys-lru")


def problems(compose: dict[str, Any]) -> list[str]:
    """What Docker would refuse, and what it would take but should not get."""
    try:
        # The package knows addresses only, not Docker's word for the machine it runs on.
        known = compose_spec.PyCompose.from_yaml(yaml.safe_dump(compose).replace("host-gateway", "172.17.0.1"))
        known.validate_configs()
    except ValueError as error:
        return [str(error)]
    services = compose["services"]
    found = [
        f"{name} waits for {other}, which is not there"
        for name, service in services.items()
        for other in service.get("depends_on", {})
        if other not in services
    ]
    for name, service in services.items():
        if not re.search(r":[^/]+$", service["image"]) or service["image"].endswith(":latest"):
            found.append(f"{name}: {service['image']} has no tag, or one that moves")
        found += [
            f"{name}: port {port} is open to all" for port in service.get("ports", []) if "127.0.0.1:" not in port
        ]
        volumes = [volume.partition(":")[0] for volume in service.get("volumes", [])]
        found += [f"{name}: there is no volume {volume}" for volume in volumes if volume not in compose["volumes"]]
    return found + [problem for name in OURS for problem in program_problems(name, services[name])]


def program_problems(name: str, service: dict[str, Any]) -> list[str]:
    target = service["build"]["target"]
    command = (*service.get("entrypoint", entry_point(target)), *service.get("command", []))
    runs_as = program(command)
    if runs_as is None or not runs(command):
        return [f"{name}: {' '.join(command)} is no program of ours"]
    given = set(service["environment"])
    found = [f"{name}: nothing reads {variable}" for variable in sorted(given - runs_as.known)]
    found += [f"{name}: {variable} is not set" for variable in sorted(runs_as.required - given)]
    return found + ([] if target in parse((ROOT / "Dockerfile").read_text()) else [f"{name}: no target {target}"])


def test_nothing_is_wrong_with_it() -> None:
    assert problems(COMPOSE) == []


def test_it_has_the_services_the_jobs_and_the_parts() -> None:
    assert sorted(COMPOSE["services"]) == sorted([*OURS, *PARTS])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_starts_after_the_jobs_and_is_healthy_when_it_is_ready(name: str) -> None:
    service = COMPOSE["services"][name]
    done = {job for job, on in service["depends_on"].items() if on["condition"] == "service_completed_successfully"}
    assert done == {"topics", "migrate", "bucket"}
    variable = "CLEW_GATEWAY_PORT" if name == "gateway" else "CLEW_HEALTH_PORT"
    assert f"http://127.0.0.1:{service['environment'][variable]}/readyz" in service["healthcheck"]["test"][-1]


@pytest.mark.parametrize("name", PARTS)
def test_a_part_says_when_it_is_ready(name: str) -> None:
    assert COMPOSE["services"][name]["healthcheck"]["test"]


@pytest.mark.parametrize(
    ("service", "variable"),
    [
        ("gateway", "CLEW_GATEWAY_PORT"),
        ("kafka", "CLEW_KAFKA_PORT"),
        ("postgres", "CLEW_POSTGRES_PORT"),
        ("redis", "CLEW_REDIS_PORT"),
        ("s3", "CLEW_S3_PORT"),
    ],
)
def test_ports_come_from_the_environment(service: str, variable: str) -> None:
    moved = load(PATH, {variable: "12345"})["services"]
    assert moved[service]["ports"][0].startswith("127.0.0.1:12345:")


def test_kafka_and_the_store_tell_others_the_port_that_they_have_outside() -> None:
    moved = load(PATH, {"CLEW_KAFKA_PORT": "12345", "CLEW_S3_PORT": "12346"})["services"]
    assert "OUTSIDE://localhost:12345" in moved["kafka"]["environment"]["KAFKA_ADVERTISED_LISTENERS"]
    assert moved["gateway"]["environment"]["S3_PUBLIC_ENDPOINT"] == "http://localhost:12346"


def test_the_key_that_the_file_tells_opens_the_gateway() -> None:
    told = re.search(r"The API key is (\w+)", PATH.read_text())
    assert told is not None
    assert sha256(told[1].encode()).hexdigest() in COMPOSE["configs"]["api-keys"]["content"]


@pytest.mark.parametrize(
    ("service", "key", "value", "told"),
    [
        ("gateway", "restart", "unless-stoped", "unknown variant"),
        ("gateway", "helthcheck", {}, "helthcheck"),
        ("gateway", "configs", ["gone"], "gone"),
        ("gateway", "depends_on", {"topix": {"condition": "service_started"}}, "topix"),
        ("gateway", "ports", ["8000:8000"], "open to all"),
        ("redis", "image", "redis:latest", "moves"),
        ("redis", "image", "redis", "moves"),
        ("s3", "volumes", ["gone:/data"], "no volume gone"),
        ("memory", "environment", {"KAFKA_BOOTSTRAP_SERVERS": "x", "DATABASE_URI": "y"}, "nothing reads DATABASE_URI"),
        ("memory", "environment", {"KAFKA_BOOTSTRAP_SERVERS": "x"}, "DATABASE_URL is not set"),
        ("topics", "entrypoint", ["python", "-m", "clew.chassis.topic"], "no program of ours"),
        ("migrate", "command", ["migrates"], "no program of ours"),
        ("planner", "build", {"context": "..", "target": "planer"}, "no program of ours"),
    ],
)
def test_what_is_wrong_is_found(service: str, key: str, value: object, told: str) -> None:
    broken = deepcopy(COMPOSE)
    broken["services"][service][key] = value
    assert any(told in problem for problem in problems(broken))


def test_a_variable_without_a_default_is_found() -> None:
    with pytest.raises(ValueError, match="CLEW_PORT"):
        interpolated("ports: [${CLEW_PORT}:80]", {})


def test_postgres_is_made_with_what_compares_vectors() -> None:
    [mounted] = COMPOSE["services"]["postgres"]["configs"]
    assert mounted["target"].startswith("/docker-entrypoint-initdb.d/")
    assert mounted["target"].endswith(".sql")
    assert COMPOSE["configs"][mounted["source"]]["content"] == "CREATE EXTENSION IF NOT EXISTS vector;"
