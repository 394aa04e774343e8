"""The environment of each service: its own, and not the whole of ours."""

from clew.local.services import JOBS, SERVICES, environment, job_program, service_program
from clew.local.settings import Settings

PARTS = {"KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1", "DATABASE_URL": "postgresql://"}
ENVIRON = {
    "PATH": "/bin",
    "HOME": "/home/someone",
    "AWS_SECRET_ACCESS_KEY": "not for us",
    "OPENAI_API_KEY": "key",
    "BRAVE_API_KEY": "key",
    "CLEW_MODEL": "test",
    "CLEW_HOME": "/data",
    "CLEW_HEALTH_PORT": "1",
    "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector",
    "DATABASE_URL": "postgresql://somebody-else",
}


def test_a_service_sees_basics_settings_and_parts_and_nothing_else() -> None:
    assert environment(ENVIRON, PARTS) == {
        "PATH": "/bin",
        "HOME": "/home/someone",
        "CLEW_MODEL": "test",
        "OTEL_EXPORTER_OTLP_ENDPOINT": "http://collector",
        **PARTS,
    }


def test_keys_go_only_to_the_services_that_use_them() -> None:
    settings = Settings.from_env({**ENVIRON, "DATABASE_URL": ""})

    def holders(key: str) -> set[str]:
        return {service.name for service in SERVICES if key in service_program(service, settings, PARTS).env}

    assert holders("OPENAI_API_KEY") == {"planner", "executor"}
    assert holders("BRAVE_API_KEY") == {"executor"}
    assert not [job for job in JOBS if "OPENAI_API_KEY" in job_program(job, settings, PARTS).env]


def test_services_get_a_health_port_each_and_the_gateway_its_own() -> None:
    settings = Settings.from_env({"CLEW_GATEWAY_PORT": "8123"})
    programs = {service.name: service_program(service, settings, PARTS) for service in SERVICES}
    ports = [program.env.get("CLEW_HEALTH_PORT") for program in programs.values()]
    assert list(programs) == ["memory", "planner", "executor", "ingestion", "gateway"]
    assert len(set(ports)) == len(SERVICES)
    assert "CLEW_HEALTH_PORT" not in programs["gateway"].env


def test_each_service_is_a_module_of_its_own_name() -> None:
    assert [service.arguments for service in SERVICES] == [("-m", f"clew.{service.name}") for service in SERVICES]
