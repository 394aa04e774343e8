"""The documents name only what is there."""

from pathlib import Path

import pytest

from tests.support.docs import documents, problems

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("document", documents(ROOT), ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_names_is_there(document: Path) -> None:
    assert problems(ROOT, document) == []


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A small checkout with one document to write into."""
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/other.md").write_text("# Other things, too\n\n## On `names`\n")
    (tmp_path / "cli/src").mkdir(parents=True)
    (tmp_path / "cli/src/__init__.py").write_text("")
    (tmp_path / "cli/src/app.py").write_text('parser.add_parser("send")\ndef doctor(): ...\n')
    (tmp_path / "Makefile").write_text("run: x\n\techo\n")
    return tmp_path


def write(checkout: Path, text: str) -> Path:
    path = checkout / "README.md"
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("[x](docs/gone.md)", "docs/gone.md leads nowhere"),
        ("[x](docs/other.md#gone)", "names no heading"),
        ("[x](#gone)", "names no heading"),
        ("see `docs/gone.md`", "there is no docs/gone.md"),
        ("see `cli/src/gone.py`.", "there is no cli/src/gone.py"),
        ("`make fly`", "make fly is no target"),
        ("```sh\n$ make fly\n```", "make fly is no target"),
        ("```sh\ncd x && make fly\n```", "make fly is no target"),
        ("`python -m clew.contracts.gone`", "clew.contracts.gone cannot be run"),
        ("`python -m clew.contracts`", "clew.contracts cannot be run"),
        ("`python -m gone.entirely --x`", "gone.entirely cannot be run"),
        ("`clew fly --far`", "clew fly is no command"),
        ("```\nuv run clew fly\n```", "clew fly is no command"),
    ],
)
def test_what_is_not_there_is_found(checkout: Path, text: str, told: str) -> None:
    [line] = problems(checkout, write(checkout, text))
    assert line.startswith("README.md: ")
    assert line.endswith(told)


@pytest.mark.parametrize(
    "text",
    [
        "[x](docs/other.md#other-things-too) [y](docs/other.md#on-names) [z](https://example.org/gone)",
        "# Here\n[x](#here)",
        "`docs/other.md` `docs/<name>.md` `docs/*.md` `docs/{a,b}.md` `text/plain` `and/or`",
        "`make run` and people make things",
        "```sh\nmake run   # then make coffee\nclew send 'make haste'\n```",
        "`python -m clew.contracts.generate --check` `python -m json.tool`",
        "`clew doctor` and `clew send --wait`",
    ],
)
def test_what_is_there_is_left_alone(checkout: Path, text: str) -> None:
    assert problems(checkout, write(checkout, text)) == []


def test_a_checkout_without_documents_has_none(tmp_path: Path) -> None:
    assert documents(tmp_path) == []
