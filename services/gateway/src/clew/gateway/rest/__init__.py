"""The routes under `/v1`, one module per noun. Each has `make_router(deps)`; an endpoint parses, calls and answers."""
