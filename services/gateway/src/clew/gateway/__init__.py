"""REST, WebSocket and SSE for people and programs."""
