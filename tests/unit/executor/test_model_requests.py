"""What is written of a model request: whoever replays it compares it with what was written by other versions."""

import pytest
from pydantic_ai.messages import ModelRequest, ToolReturnPart
from pydantic_ai.models import ModelRequestParameters
from pydantic_core import to_jsonable_python

from clew.executor.model_requests import RequestLog


@pytest.mark.parametrize("content", ["text", 4, [1, 2], {"a": [None]}])
def test_of_a_result_all_is_written_but_what_its_own_call_holds(content: object) -> None:
    part = ToolReturnPart("look", content, "call-1", metadata={"untrusted": True})
    described = RequestLog(0, set()).describe("m", [ModelRequest([part])], None, ModelRequestParameters())
    whole = to_jsonable_python(part, serialize_unknown=True, exclude_none=True)
    assert described["messages"] == [[{k: v for k, v in whole.items() if k not in ("content", "metadata")}]]


def test_beside_a_result_that_is_no_scalar_its_files_are_named() -> None:
    part = ToolReturnPart("look", [1, 2], "call-1")
    described = RequestLog(0, set()).describe("m", [ModelRequest([part])], None, ModelRequestParameters())
    assert "content_file_digests" in described["messages"][0][0]  # type: ignore[index,operator]  # as just made
