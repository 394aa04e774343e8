"""What durable runs cost: one executor's real parts on a real log, beside bare pydantic-ai in the same process."""
