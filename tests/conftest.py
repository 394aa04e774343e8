"""Fixtures that any test may use."""

pytest_plugins = [
    "tests.support.stack",
    "tests.support.scripted_openai",
    "tests.support.searxng",
    "tests.support.memory_fixtures",
]
