"""`python -m deploy.manifests` renders `deploy/k8s` and checks what comes out. It exits with 1 if anything is wrong."""

import sys
from collections.abc import Iterator
from pathlib import Path

from deploy.manifests import pods, schemas
from deploy.manifests.render import Document, RenderError, kustomizations, kustomize, missing_files, plain, rendered
from deploy.manifests.rules import RULES, least_privilege

FOLDER = Path(__file__).parents[1] / "k8s"


def problems(documents: list[Document]) -> list[str]:
    """Everything that is wrong with what would be applied. Rules rely on the schemas, so those come first."""
    if broken := list(schemas.problems(documents)):
        return broken
    return [problem for check in (pods.problems, *RULES) for problem in check(documents)]


def with_kustomize(command: list[str]) -> Iterator[str]:
    for path in [*kustomizations(FOLDER / "overlays"), *kustomizations(FOLDER / "tests")]:
        where = path.parent.relative_to(FOLDER)
        try:
            documents = rendered(command, path.parent)
        except RenderError as error:
            yield f"{where}: {error}"
            continue
        yield from (f"{where}: {problem}" for problem in problems(documents))
        print(f"{where}: {len(documents)} resources")


def without_kustomize() -> Iterator[str]:
    base, strimzi, embeddings = (
        plain(FOLDER / part) for part in ("base", "components/strimzi", "components/embeddings")
    )
    yield from (f"base: {problem}" for problem in problems(base))
    yield from (f"components/strimzi: {p}" for p in [*schemas.problems(strimzi), *least_privilege(strimzi)])
    yield from (f"components/embeddings: {problem}" for problem in schemas.problems(embeddings))


def main() -> None:
    found = list(missing_files(FOLDER))
    match kustomize():
        case str(reason):
            print(f"{reason}: base and components are checked as they are written, overlays are not rendered")
            found += without_kustomize()
        case command:
            found += with_kustomize(command)
    sys.exit("\n".join(found) if found else 0)


if __name__ == "__main__":
    main()
