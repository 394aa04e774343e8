"""Whether arguments that a person wrote are what a tool takes: checked against the JSON Schema that it announced.

Pure. Nothing that a schema refers to is fetched: whoever announces a tool must not make the gateway call anywhere.
"""

from jsonschema import Draft202012Validator
from jsonschema.exceptions import SchemaError, ValidationError
from pydantic import JsonValue
from referencing import Registry
from referencing.exceptions import Unresolvable

from clew.contracts.execution import ToolSpec
from clew.gateway.errors import FieldError, Invalid, pointer

MOST_ERRORS = 10  # named in one answer


def check_arguments(tool: ToolSpec, arguments: dict[str, JsonValue]) -> None:
    """Invalid, naming each field, when the tool does not take them. A schema that makes no sense checks nothing."""
    validator = Draft202012Validator(tool.parameters, registry=Registry())
    try:
        Draft202012Validator.check_schema(tool.parameters)
        wrong = [_field(error) for error, _ in zip(validator.iter_errors(arguments), range(MOST_ERRORS), strict=False)]
    except (SchemaError, Unresolvable):
        return
    if wrong:
        raise Invalid("; ".join(f"{field.pointer}: {field.detail}" for field in wrong[:3]), errors=wrong)


def _field(error: ValidationError) -> FieldError:
    return FieldError(pointer=pointer("#/arguments", error.absolute_path), detail=error.message[:500])
