"""Variables that are read without a settings class: by the choice of a model, by tools, by the local stack, by the CLI.

A test holds this list against the source: a variable that the code reads and no page names fails it.
"""

from typing import Final

GROUPS: Final[dict[str, list[tuple[str, str, str, str]]]] = {
    "Models: planner and executor": [
        ("CLEW_MODEL", "`provider:model` or `offline`", "", "The model; it goes before everything below"),
        ("OPENAI_BASE_URL", "URL", "", "An OpenAI-compatible server; its first model is used unless one is named"),
        ("OPENAI_API_KEY", "secret", "", "Key of OpenAI, or of that server"),
        ("ANTHROPIC_API_KEY", "secret", "", "Used where the package `anthropic` is installed too"),
        ("GOOGLE_API_KEY", "secret", "", "Used where the package `google-genai` is installed too"),
        ("GEMINI_API_KEY", "secret", "", "The same key by its other name"),
        ("MISTRAL_API_KEY", "secret", "", "Used where the package `mistralai` is installed too"),
        ("GROQ_API_KEY", "secret", "", "Used where the package `groq` is installed too"),
        ("DEEPSEEK_API_KEY", "secret", "", "Key of DeepSeek"),
        ("OLLAMA_BASE_URL", "URL", "`http://127.0.0.1:11434`", "Where Ollama is looked for when no key is set"),
        ("OLLAMA_API_KEY", "secret", "", "For an Ollama that asks for one"),
    ],
    "Tools: executor": [
        ("CLEW_SEARCH_PROVIDER", "`brave`, `tavily` or `searxng`", "", "Where `web_search` searches; nowhere if unset"),
        ("BRAVE_API_KEY", "secret", "", "Needed for `brave`"),
        ("TAVILY_API_KEY", "secret", "", "Needed for `tavily`"),
        ("SEARXNG_URL", "URL", "", "Needed for `searxng`"),
        (
            "CLEW_EGRESS_ALLOW",
            "list of CIDRs, addresses and host names",
            "",
            "Hosts that `fetch_page` may reach although they are not on the public internet",
        ),
    ],
    "Traces: every service": [
        ("OTEL_EXPORTER_OTLP_ENDPOINT", "URL", "", "Where spans go (OTLP over HTTP); without it there are none"),
    ],
    "The local stack: `make run`, `make stop`, `make reset`": [
        ("CLEW_HOME", "path", "`.clew`", "The data folder; two stacks need two"),
        ("CLEW_KAFKA_PORT", "port", "`9092`", "Port of Kafka"),
        ("CLEW_POSTGRES_PORT", "port", "`5432`", "Port of Postgres"),
        ("CLEW_REDIS_PORT", "port", "`6379`", "Port of Redis"),
        ("CLEW_S3_PORT", "port", "`9000`", "Port of the S3 server"),
    ],
    "The command `clew`": [
        ("CLEW_URL", "URL", "`http://127.0.0.1:8000`", "The gateway"),
        ("CLEW_TOKEN", "secret", "", "An API key"),
        ("CLEW_RECORDINGS", "path", "`~/.local/share/clew/recordings`", "Where `clew run import` keeps recordings"),
    ],
}
