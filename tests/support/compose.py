"""The compose file as Docker reads it: variables replaced, then YAML."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

VARIABLE = re.compile(r"\$\{([A-Z0-9_]+):-([^}]*)\}")


def interpolated(text: str, environ: Mapping[str, str]) -> str:
    """`${NAME:-default}` replaced. ValueError for any other use of `$`."""
    result = VARIABLE.sub(lambda match: environ.get(match[1]) or match[2], text)
    if "$" in result:
        raise ValueError(f"no variable with a default: {result[result.index('$') :][:40]}")
    return result


def load(path: Path, environ: Mapping[str, str]) -> dict[str, Any]:
    """The file with merge keys resolved. Any: it is a document of others' making."""
    return yaml.safe_load(interpolated(path.read_text(), environ))
