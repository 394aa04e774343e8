"""What things are called in Postgres and Redis."""

import pytest

from clew.views.names import Keys, Schemas, stream_id
from tests.support.story import Story

RUN = Story().run_id("a")


def test_a_namespace_keeps_schemas_and_keys_apart() -> None:
    assert Schemas.of("") == Schemas("clew", "read_v1")
    assert Schemas.of("x1") == Schemas("clew_x1", "clew_x1_read_v1")
    assert Keys("").live("t1", RUN) == f"t1:run:{RUN}:live"
    assert Keys("x1").history("t1", RUN) == f"x1:t1:thread:{RUN}:pages"


@pytest.mark.parametrize("namespace", ["A", "a-b", "a b", "x; DROP SCHEMA clew", "é", "a" * 21])
def test_what_cannot_stand_in_sql_is_no_namespace(namespace: str) -> None:
    with pytest.raises(ValueError, match="is not a namespace"):
        Schemas.of(namespace)


def test_no_entry_of_a_stream_is_the_one_that_redis_refuses() -> None:
    assert stream_id(0) == "1-0"
    assert stream_id(-1) == "0-0", "from the beginning"
