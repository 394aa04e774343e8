"""The routes under `/v1`, one module per noun. Each has a `router`; an endpoint parses, calls and answers."""
