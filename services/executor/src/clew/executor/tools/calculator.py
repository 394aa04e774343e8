"""The tool that does arithmetic."""

from datetime import timedelta

from clew.executor.arithmetic import CalculationError, evaluate
from clew.executor.tools.registry import tool


@tool(policy="pure", timeout=timedelta(seconds=5))
def calculator(expression: str) -> str:
    """Work out an arithmetic expression exactly.

    Args:
        expression: Numbers with + - * / // % ^, parentheses, sqrt() and abs(); "17% of 2,340" and "80 + 15%" work.
    """
    try:
        return evaluate(expression)
    except CalculationError as error:
        return f"This cannot be calculated: {error}."
