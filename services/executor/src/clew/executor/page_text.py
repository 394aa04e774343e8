"""HTML to readable text: the title, and the text with one line per block. No layout, no links, no scripts.

A scanner of our own because pages are hostile: on 100 kB of unfinished tags Python's own parser takes two
minutes, and a tree-building one takes as long on deeply nested blocks. This one looks at each character a fixed
number of times. It pays with precision: a `>` inside a quoted attribute ends the tag.
"""

import html
import re

_UNSEEN = frozenset({"script", "style", "noscript", "template", "svg", "iframe", "textarea", "select"})
_BLOCKS = frozenset(
    {"address", "article", "aside", "blockquote", "br", "dd", "div", "dl", "dt", "figure", "footer", "form", "header"}
    | {"h1", "h2", "h3", "h4", "h5", "h6", "hr", "li", "main", "nav", "ol", "p", "pre", "section", "table", "td", "th"}
    | {"tr", "ul"}
)
_TAG_NAME = re.compile(r"/?([a-zA-Z][a-zA-Z0-9]{0,20})")


def page_text(page: str) -> tuple[str, str]:
    """(title, text) of a page; broken HTML gives what can be read of it."""
    title: list[str] = []
    text: list[str] = []
    position = 0
    while (start := page.find("<", position)) >= 0:
        text.append(html.unescape(page[position:start]))
        name, position = _markup(page, start)
        if name in _BLOCKS:
            text.append("\n")
        elif (name in _UNSEEN or name == "title") and page[start + 1] != "/":
            inside, position = _element(page, name, position)
            if name == "title" and not title:
                title.append(html.unescape(inside))
        elif not name and position == start + 1:
            text.append("<")
    text.append(html.unescape(page[position:]))
    lines = (" ".join(line.split()) for line in "".join(text).splitlines())
    return " ".join("".join(title).split()), "\n".join(line for line in lines if line)


def _markup(page: str, start: int) -> tuple[str, int]:
    """(tag name or nothing, where what follows begins) of the markup at `start`; unfinished, it eats the rest."""
    if page.startswith("<!--", start):
        return "", _after(page, "-->", start + 4)
    if match := _TAG_NAME.match(page, start + 1):
        return match.group(1).lower(), _after(page, ">", match.end())
    if page.startswith(("<!", "<?", "</"), start):
        return "", _after(page, ">", start + 2)
    return "", start + 1  # a bare less-than sign


def _element(page: str, name: str, position: int) -> tuple[str, int]:
    """(what is inside the element `name` that was opened before `position`, where what follows it begins)."""
    closing = re.compile(rf"</{name}\b", re.IGNORECASE).search(page, position)
    if closing is None:
        return page[position:], len(page)
    return page[position : closing.start()], _after(page, ">", closing.end())


def _after(page: str, mark: str, position: int) -> int:
    found = page.find(mark, position)
    return len(page) if found < 0 else found + len(mark)
