"""Documents against the schemas of their kinds: Kubernetes' own, and the operators' in `deploy/k8s/schemas`."""

import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import jsonschema
import kubernetes_validate

from deploy.manifests.render import Document

KUBERNETES = "1.37"
FOLDER = Path(__file__).parents[1] / "k8s/schemas"


def problems(documents: list[Document]) -> Iterator[str]:
    """A misspelt field, a wrong enum, a string for a number, an unknown kind."""
    for document in documents:
        for problem in _of_ours(document) if _is_custom(document) else _of_kubernetes(document):
            yield f"{document.get('kind')} {document.get('metadata', {}).get('name')}: {problem}"


def _is_custom(document: Document) -> bool:
    return "." in _group(document) and not _group(document).endswith(".k8s.io")


def _group(document: Document) -> str:
    return str(document.get("apiVersion", "")).rpartition("/")[0]


def _of_kubernetes(document: Document) -> Iterator[str]:
    try:
        kubernetes_validate.validate(document, KUBERNETES, strict=True)
    except kubernetes_validate.ValidationError as error:
        yield f"{'.'.join(map(str, error.path))}: {error.message}"
    except (kubernetes_validate.SchemaNotFoundError, kubernetes_validate.InvalidSchemaError) as error:
        yield error.message


def _of_ours(document: Document) -> Iterator[str]:
    version = document["apiVersion"].rpartition("/")[2]
    path = FOLDER / _group(document) / f"{document['kind'].lower()}_{version}.json"
    if not path.is_file():
        yield f"there is no schema {path.relative_to(FOLDER)}"
        return
    yield from (f"{error.json_path}: {error.message}" for error in _validator(path).iter_errors(document))


@cache
def _validator(path: Path) -> jsonschema.Draft7Validator:
    return jsonschema.Draft7Validator(json.loads(path.read_text()))
