"""The calculator: exact, bounded, and nothing but arithmetic."""

from contextlib import suppress
from decimal import Decimal
from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from clew.executor.arithmetic import CalculationError, evaluate


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("17% * 2340", "397.8"),
        ("17% of 2,340", "397.8"),
        ("0.1 + 0.2", "0.3"),
        ("1/3*3", "1"),
        ("1/3", "≈ 0.333333333333333"),
        ("2^10", "1024"),
        ("2**-2", "0.25"),
        ("-(3 - 5) * 2", "4"),
        ("17 % 5", "2"),
        ("7 // 2", "3"),
        ("80 + 15%", "92"),
        ("80 - 25%", "60"),
        ("1,234,567.5 × 2", "2469135"),
        ("144 ÷ 12 =", "12"),
        ("sqrt(1024)", "32"),
        ("sqrt(2)", "≈ 1.4142135623731"),
        ("abs(-3.50)", "3.5"),
        ("4 ^ 0.5", "2"),
        ("1e3 + 1", "1001"),
        ("2^200", str(2**200)),
        ("(" * 140 + "1" + ")" * 140, "1"),
        ("-" * 250 + "1", "1"),
    ],
)
def test_arithmetic_is_exact(expression: str, value: str) -> None:
    assert evaluate(expression) == value


@pytest.mark.parametrize(
    ("expression", "reason"),
    [
        ("1/0", "divides by zero"),
        ("5 % 0", "divides by zero"),
        ("0 ^ -1", "divides by zero"),
        ("9^9^9^9", "too large"),
        ("10^100000", "too large"),
        ("(2^4000) * (2^4000) * (2^4000)", "too large"),
        ("1e99999", "ordinary size"),
        ("sqrt(-1)", "no square root"),
        ("(-8)^0.5", "no such power"),
        ("2 +", "not a complete"),
        ("", "not a complete"),
        ("((((", "not a complete"),
        ("1" * 301, "longer than 300"),
        ("1\x00", "not a complete"),
        ("\ud800", "not a complete"),
        ("__import__('os')", "not arithmetic"),
        ("open", "not arithmetic"),
        ("'a' * 1000", "not arithmetic"),
        ("[1] * 9", "not arithmetic"),
        ("True + 1", "not arithmetic"),
        ("1 if 2 else 3", "not arithmetic"),
        ("(lambda: 1)()", "not arithmetic"),
        ("(1).real", "not arithmetic"),
        ("1 < 2", "not arithmetic"),
        ("sqrt(1, 2)", "not arithmetic"),
        ("3j", "not arithmetic"),
    ],
)
def test_anything_else_is_refused_with_a_reason(expression: str, reason: str) -> None:
    with pytest.raises(CalculationError, match=reason):
        evaluate(expression)


@given(st.text(max_size=80) | st.text(alphabet="0123456789+-*/%^().,e ofsqrt", max_size=80))
def test_any_text_gives_a_value_or_a_calculation_error(text: str) -> None:
    with suppress(CalculationError):
        assert evaluate(text)


@given(st.decimals(-(10**6), 10**6, places=3), st.decimals(-(10**6), 10**6, places=3))
def test_sums_agree_with_fractions(left: Decimal, right: Decimal) -> None:
    assert Fraction(evaluate(f"({left}) + ({right})")) == Fraction(left) + Fraction(right)
