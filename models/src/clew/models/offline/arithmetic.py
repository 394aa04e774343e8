"""Finds arithmetic in plain English and writes it as an expression for a calculator.

Pure text to text: it does not compute anything and does not know about tools.
"""

import re

_NUMBER = r"\d[\d,]*(?:\.\d+)?"
_OPERAND = rf"\(*\s*-?{_NUMBER}\s*%?\s*\)*"
_EXPRESSION = re.compile(rf"(?<![\w.,/-]){_OPERAND}(?:\s*(?:\*\*|[-+*/^%×÷·]|of)\s*{_OPERAND})+(?![\w/])")
_SQUARE_ROOT = re.compile(rf"square root of\s+({_NUMBER})", re.IGNORECASE)
_ASKS = re.compile(r"\b(what(?:'s| is| are)|how much is|calculate|compute|work out|evaluate|solve)\b", re.IGNORECASE)
_CLEAR_OPERATOR = re.compile(r"[*×÷^+]|\bof\b|\s[-/]\s")

_WORDS = (
    (re.compile(r"\bplus\b", re.IGNORECASE), "+"),
    (re.compile(r"\bminus\b", re.IGNORECASE), "-"),
    (re.compile(r"\b(?:times|multiplied by)\b", re.IGNORECASE), "*"),
    (re.compile(r"\b(?:divided by|over)\b(?=\s*\(*\d)", re.IGNORECASE), "/"),
    (re.compile(r"\b(?:to the power of|raised to)\b", re.IGNORECASE), "^"),
    (re.compile(r"\bsquared\b", re.IGNORECASE), "^ 2"),
    (re.compile(r"\bcubed\b", re.IGNORECASE), "^ 3"),
    (re.compile(r"(?<=\d)\s*(?:percent|per cent)\b", re.IGNORECASE), "%"),
    (re.compile(r"(?<=\d)\s*[x](?=\s*\d)"), " *"),
)


def expressions(text: str) -> tuple[str, ...]:
    """The calculations that `text` asks for, in order, each once: "17% of 2,340" gives ("17% * 2340",).

    A range such as "3-4 days", a date and "24/7" are not taken for a calculation: a bare minus or slash
    counts only when the text asks for a result or is nothing else than the expression.
    """
    worded = text
    for pattern, symbol in _WORDS:
        worded = pattern.sub(symbol, worded)
    asked = _ASKS.search(text) is not None
    found = [_canonical(match.group(0)) for match in _SQUARE_ROOT.finditer(worded)]
    for match in _EXPRESSION.finditer(worded):
        raw = match.group(0).strip()
        alone = worded.strip(" ?=.!") == raw.strip(" ?=.!")
        if (asked or alone or _CLEAR_OPERATOR.search(raw)) and raw.count("(") == raw.count(")"):
            found.append(_canonical(raw))
    return tuple(dict.fromkeys(found))


def _canonical(raw: str) -> str:
    if root := _SQUARE_ROOT.fullmatch(raw):
        return f"sqrt({root.group(1).replace(',', '')})"
    text = raw.replace(",", "").replace("**", "^").replace("×", "*").replace("·", "*").replace("÷", "/")
    text = re.sub(r"\s*\bof\b\s*", " * ", text)
    text = re.sub(r"\s*(?<!\d)([-+*/])(?!\d)\s*", r" \1 ", text)
    return re.sub(r"\s+", " ", text).strip()
