# One image for each service: docker build --target gateway -t clew/gateway .
# Third-party packages are installed before the sources are copied, so that a change of ours rebuilds little.
ARG PYTHON_IMAGE=python:3.11-slim-trixie

FROM ${PYTHON_IMAGE} AS build
RUN pip install --no-cache-dir "uv>=0.13,<0.14"
# The environment has the path that it will have in the image: its scripts name it.
ENV UV_COMPILE_BYTECODE=1 UV_LINK_MODE=copy UV_PYTHON_DOWNLOADS=never UV_PROJECT_ENVIRONMENT=/app/.venv
WORKDIR /build
COPY pyproject.toml uv.lock ./
COPY contracts/pyproject.toml contracts/
COPY chassis/pyproject.toml chassis/
COPY views/pyproject.toml views/
COPY models/pyproject.toml models/

FROM scratch AS shared
COPY contracts/src /contracts/src
COPY chassis/src /chassis/src
COPY views/src /views/src
COPY models/src /models/src

FROM build AS gateway-environment
COPY services/gateway/pyproject.toml services/gateway/
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-install-workspace --package clew-gateway
COPY --from=shared / ./
COPY services/gateway/src services/gateway/src
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-editable --package clew-gateway

FROM build AS planner-environment
COPY services/planner/pyproject.toml services/planner/
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-install-workspace --package clew-planner
COPY --from=shared / ./
COPY services/planner/src services/planner/src
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-editable --package clew-planner

FROM build AS executor-environment
COPY services/executor/pyproject.toml services/executor/
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-install-workspace --package clew-executor
COPY --from=shared / ./
COPY services/executor/src services/executor/src
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-editable --package clew-executor

FROM build AS ingestion-environment
COPY services/ingestion/pyproject.toml services/ingestion/
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-install-workspace --package clew-ingestion
COPY --from=shared / ./
COPY services/ingestion/src services/ingestion/src
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-editable --package clew-ingestion

FROM build AS memory-environment
COPY services/memory/pyproject.toml services/memory/
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-install-workspace --package clew-memory
COPY --from=shared / ./
COPY services/memory/src services/memory/src
RUN --mount=type=cache,target=/root/.cache/uv \
    uv sync --frozen --no-dev --no-editable --package clew-memory

# The same Python as above, without uv, sources and caches.
FROM ${PYTHON_IMAGE} AS runtime
RUN useradd --uid 10001 --user-group --no-log-init --no-create-home --shell /usr/sbin/nologin clew
ENV PATH=/app/.venv/bin:${PATH} PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER 10001:10001
STOPSIGNAL SIGTERM

FROM runtime AS gateway
COPY --from=gateway-environment /app/.venv /app/.venv
ENTRYPOINT ["python", "-m", "clew.gateway"]

FROM runtime AS planner
COPY --from=planner-environment /app/.venv /app/.venv
ENTRYPOINT ["python", "-m", "clew.planner"]

FROM runtime AS executor
COPY --from=executor-environment /app/.venv /app/.venv
ENTRYPOINT ["python", "-m", "clew.executor"]

FROM runtime AS ingestion
COPY --from=ingestion-environment /app/.venv /app/.venv
ENTRYPOINT ["python", "-m", "clew.ingestion"]

FROM runtime AS memory
COPY --from=memory-environment /app/.venv /app/.venv
ENTRYPOINT ["python", "-m", "clew.memory"]
