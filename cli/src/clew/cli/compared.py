"""A comparison of two runs as one page of HTML that needs nothing else: no script, no font, no link. All is escaped."""

import json
from collections.abc import Sequence
from html import escape
from itertools import groupby
from typing import Any, Final

from clew.cli.pairs import Pair
from clew.cli.safe import clean
from clew.cli.words import changes

STYLE: Final = """
:root { color-scheme: light dark; --gone: #ffd7d5; --new: #ccf2d4; --line: #8884; }
@media (prefers-color-scheme: dark) { :root { --gone: #67060c88; --new: #0f5a2688; } }
body { font: 15px/1.5 system-ui, sans-serif; max-width: 75rem; margin: 2rem auto; padding: 0 1rem; }
h1 { font-size: 1.4rem } h2 { font-size: 1.1rem; margin: 2rem 0 .5rem; text-transform: capitalize }
table { border-collapse: collapse; width: 100%; table-layout: fixed }
th, td { border-top: 1px solid var(--line); padding: .4rem .6rem; text-align: left; vertical-align: top }
th:first-child { width: 16rem; overflow-wrap: anywhere } td { overflow-wrap: anywhere }
pre { margin: 0; white-space: pre-wrap; font: 13px/1.45 ui-monospace, monospace }
del { background: var(--gone); text-decoration: none } ins { background: var(--new); text-decoration: none }
details > summary { cursor: pointer; opacity: .7 } .none { opacity: .5 }
@media (max-width: 40rem) { tr, th, td { display: block } th:first-child { width: auto } }
"""
TITLES: Final = {"step": "plan", "call": "calls", "usage": "tokens and cost"}


def page(a: str, b: str, pairs: Sequence[Pair]) -> str:
    """The whole page; `a` and `b` are the runs' ids."""
    differing = sum(not pair.equal for pair in pairs)
    sections = "".join(_section(what, list(of)) for what, of in groupby(pairs, key=lambda pair: pair.what))
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Runs {_text(a[:8])} and {_text(b[:8])}</title>'
        f'<meta name="viewport" content="width=device-width"><style>{STYLE}</style>'
        f"<h1>Two runs compared</h1><p>{differing} of {len(pairs)} things differ; <del>only in A</del>, "
        f"<ins>only in B</ins>.</p><table><tr><th></th><th>A: {_text(a)}</th><th>B: {_text(b)}</th></tr></table>"
        f"{sections}</html>\n"
    )


def _section(what: str, pairs: Sequence[Pair]) -> str:
    differ, same = [pair for pair in pairs if not pair.equal], [pair for pair in pairs if pair.equal]
    rows = "".join(_row(pair) for pair in differ)
    table = f"<table>{rows}</table>" if differ else ""
    equal = "".join(f"<tr><th>{_text(pair.name)}</th><td><pre>{_text(_said(pair.a))}</pre></td></tr>" for pair in same)
    folded = f"<details><summary>{len(same)} equal</summary><table>{equal}</table></details>" if same else ""
    return f"<section><h2>{escape(TITLES.get(what, what))}</h2>{table}{folded}</section>"


def _row(pair: Pair) -> str:
    before, after = _sides(pair.a, pair.b)
    return f"<tr><th>{_text(pair.name)}</th><td>{before}</td><td>{after}</td></tr>"


def _sides(a: Any, b: Any) -> tuple[str, str]:
    """Both sides, with what changed in them marked word by word."""
    if a is None or b is None:
        return _whole(a), _whole(b)
    pieces = list(changes(_said(a), _said(b)))
    before = "".join(_marked(text, "del", kind == "gone") for kind, text in pieces if kind != "new")
    after = "".join(_marked(text, "ins", kind == "new") for kind, text in pieces if kind != "gone")
    return f"<pre>{before}</pre>", f"<pre>{after}</pre>"


def _whole(side: Any) -> str:
    return '<span class="none">not there</span>' if side is None else f"<pre>{_text(_said(side))}</pre>"


def _marked(text: str, tag: str, changed: bool) -> str:
    return f"<{tag}>{_text(text)}</{tag}>" if changed else _text(text)


def _said(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, indent=1, ensure_ascii=False, sort_keys=True)


def _text(text: str) -> str:
    return escape(clean(text))
