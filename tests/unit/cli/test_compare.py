"""Comparing two runs: the words that changed, time and cost, and a page that nothing in a run can break out of."""

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from clew.cli.compared import page
from clew.cli.pairs import Pair, pairs
from clew.cli.words import changes
from tests.unit.cli.moments import RUN, state_json
from tests.unit.cli.scripted_gateway import ScriptedGateway, clew, ok

Capture = pytest.CaptureFixture[str]
OTHER = "0198c0df-5e6f-7f00-9d10-2a4b6c8e0f16"
NASTY = "<script>alert('&amp;')</script>\x1b[31m"


class Tags(HTMLParser):
    """What a browser would see."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str | None] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [value for name, value in attrs if name in ("src", "href")]

    def handle_data(self, data: str) -> None:
        self.text += data


def test_words_that_changed_are_told_apart_from_those_that_stay() -> None:
    assert list(changes("It is 4.", "It is 5, surely.")) == [
        ("same", "It is "),
        ("gone", "4"),
        ("new", "5, surely"),
        ("same", "."),
    ]


@pytest.mark.parametrize(
    ("before", "after"), [("", "new"), ("a b c", "c b a"), ("x\ny", "x\n\ny"), ("w " * 15_000, "w")]
)
def test_the_pieces_make_both_texts(before: str, after: str) -> None:
    pieces = list(changes(before, after))
    assert "".join(text for kind, text in pieces if kind != "new") == before
    assert "".join(text for kind, text in pieces if kind != "gone") == after


def test_time_is_compared_too() -> None:
    whole = state_json()
    found = {pair.name: pair for pair in pairs(whole, whole | {"ended_at": None}) if pair.what == "latency"}
    assert list(found) == ["run_s", "models_s", "tools_s"]
    assert (found["run_s"].b, found["tools_s"].equal) == (None, True)
    assert found["tools_s"].a == 0.002


async def test_a_page_shows_both_runs_and_needs_nothing_else(
    gateway: ScriptedGateway, capsys: Capture, tmp_path: Path
) -> None:
    gateway.on(f"GET /v1/runs/{RUN}/state", ok(json.loads(json.dumps(state_json()))))
    gateway.on(f"GET /v1/runs/{OTHER}/state", ok(state_json() | {"output": "It is 5."}))
    path = tmp_path / "page.html"
    done = await clew(gateway.url, capsys, "run", "diff", RUN, OTHER, "--html", str(path))
    assert (done.code, done.out) == (0, "")
    seen = Tags()
    seen.feed(text := path.read_text())
    assert "<del>4</del>" in text
    assert "<ins>5</ins>" in text
    assert RUN in seen.text
    assert seen.attributes == []
    assert not {"script", "link", "img"} & set(seen.tags)


def test_nothing_in_a_run_breaks_out_of_the_page() -> None:
    seen = Tags()
    seen.feed(page(NASTY, NASTY, [Pair("call", NASTY, {"a": NASTY}, NASTY), Pair("answer", "output", NASTY, "fine")]))
    assert "script" not in seen.tags
    assert "alert('&amp;')" in seen.text
    assert "\x1b" not in seen.text
