"""Exact arithmetic on an expression written by a model: parsed by Python's grammar, evaluated by our own rules.

Nothing but numbers, operators and two functions is understood, so nothing else can run. Every number is a
fraction until it is written out; sizes are bounded, so no expression takes long.
"""

import ast
import operator
import re
from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction

_LONGEST = 300
"""Characters of an expression."""
_MOST_BITS = 8192
"""Bits of a numerator or denominator: about 2,400 digits."""
_DIGITS = 15
"""Significant digits of a number that has no end."""
_ROOT_DIGITS = 50
"""Digits to which roots are worked out, far more than are shown."""

_THOUSANDS = re.compile(r"(?<![\d.])\d{1,3}(?:,\d{3})+(?![\d,])")
_PERCENT = re.compile(r"(\d+(?:\.\d+)?|\.\d+)\s*%(?!\s*[\d(.])")
_SYMBOLS = str.maketrans({"×": "*", "·": "*", "÷": "/", "−": "-", "–": "-"})


class CalculationError(ValueError):
    """The expression is not arithmetic, is too large, or has no value. The text says which."""


def evaluate(expression: str) -> str:
    """The value of `expression` in plain decimal notation, with "≈ " before it when it had to be rounded.

    `17%` is 17/100; `80 + 15%` adds 15 percent of 80, as pocket calculators do; a `%` before a number is the
    remainder.

    Raises:
        CalculationError: see its text.
    """
    if len(expression) > _LONGEST:
        raise CalculationError(f"the expression is longer than {_LONGEST} characters")
    source = _normalised(expression)
    try:
        return _written(_value(_parsed(source), source))
    except ZeroDivisionError as error:
        raise CalculationError("it divides by zero") from error


def _parsed(source: str) -> ast.expr:
    try:
        return ast.parse(source, mode="eval").body
    except (SyntaxError, ValueError) as error:  # ValueError: null characters and lone surrogates
        raise CalculationError("it is not a complete arithmetic expression") from error
    except (RecursionError, MemoryError) as error:  # how the parser refuses what is nested too deeply
        raise CalculationError("it is nested too deeply") from error


def _normalised(expression: str) -> str:
    text = expression.strip().rstrip("=?").strip().translate(_SYMBOLS)
    text = _THOUSANDS.sub(lambda match: match.group(0).replace(",", ""), text)
    text = _PERCENT.sub(r"percent(\1)", text)
    return re.sub(r"\bof\b", "*", text).replace("^", "**")


def _value(node: ast.expr, source: str) -> Fraction:
    match node:
        case ast.Constant(value=int() | float()) if not isinstance(node.value, bool):
            return _number(ast.get_source_segment(source, node) or "")
        case ast.UnaryOp(op=ast.USub(), operand=operand):
            return -_value(operand, source)
        case ast.UnaryOp(op=ast.UAdd(), operand=operand):
            return _value(operand, source)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right) if _is_percent(right):
            share = _value(left, source) * _value(right, source)
            return _bounded(_OPERATORS[type(op)](_value(left, source), share))
        case ast.BinOp(left=left, op=op, right=right) if type(op) in _OPERATORS:
            return _bounded(_OPERATORS[type(op)](_value(left, source), _value(right, source)))
        case ast.Call(func=ast.Name(id=name), args=[argument], keywords=[]) if name in _FUNCTIONS:
            return _bounded(_FUNCTIONS[name](_value(argument, source)))
        case _:
            written = ast.get_source_segment(source, node) or source
            raise CalculationError(f"{written[:60]!r} is not arithmetic")


def _is_percent(node: ast.expr) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "percent"


def _number(written: str) -> Fraction:
    mantissa, _, exponent = written.lower().partition("e")
    if not re.fullmatch(r"[\d_]*\.?[\d_]*", mantissa) or len(exponent) > 4:
        raise CalculationError(f"{written[:60]!r} is not a number of ordinary size")
    return Fraction(written.replace("_", ""))


def _bounded(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > _MOST_BITS:
        raise CalculationError("the result is too large")
    return value


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        return _real_power(base, exponent)
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if bits * abs(exponent.numerator) > _MOST_BITS:
        raise CalculationError("the result is too large")
    return base**exponent.numerator


def _real_power(base: Fraction, exponent: Fraction) -> Fraction:
    if base < 0:
        raise CalculationError("a negative number has no such power")
    if abs(exponent) > 1000 or base.numerator.bit_length() > 1024 or base.denominator.bit_length() > 1024:
        raise CalculationError("the result is too large")
    with localcontext(prec=_ROOT_DIGITS):
        return Fraction(_decimal(base) ** _decimal(exponent)) if base else Fraction(0)


def _square_root(value: Fraction) -> Fraction:
    if value < 0:
        raise CalculationError("a negative number has no square root")
    with localcontext(prec=_ROOT_DIGITS):
        return Fraction(_decimal(value).sqrt())


def _percent(value: Fraction) -> Fraction:
    return value / 100


_OPERATORS: dict[type[ast.operator], Callable[[Fraction, Fraction], Fraction]] = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.Div: operator.truediv,
    ast.FloorDiv: lambda left, right: Fraction(left // right),
    ast.Mod: operator.mod,
    ast.Pow: _power,
}
_FUNCTIONS: dict[str, Callable[[Fraction], Fraction]] = {"sqrt": _square_root, "abs": abs, "percent": _percent}


def _decimal(value: Fraction) -> Decimal:
    return Decimal(value.numerator) / Decimal(value.denominator)


def _written(value: Fraction) -> str:
    if value.denominator == 1:
        return str(value.numerator)
    with localcontext(prec=_DIGITS):
        rounded = _decimal(value)
    text = f"{rounded.normalize():f}"
    return text if Fraction(rounded) == value else f"≈ {text}"
