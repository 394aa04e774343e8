"""What the broker says of topics when a service starts: some are missing, some are only not to be seen."""

import pytest
from aiokafka.errors import TopicAuthorizationFailedError, UnknownTopicOrPartitionError

from clew.chassis.errors import StartError
from clew.chassis.topics import check_visible

MISSING = {"topic": "plans", "error_code": UnknownTopicOrPartitionError.errno}
HIDDEN = {"topic": "task-updates", "error_code": TopicAuthorizationFailedError.errno}


@pytest.mark.parametrize(("user", "named"), [("clew-planner", "clew-planner"), ("", "anybody without a user")])
def test_topics_that_the_broker_hides_are_not_taken_for_missing(user: str, named: str) -> None:
    check_visible([MISSING], user)
    with pytest.raises(StartError, match=f"does not let {named} see task-updates$"):
        check_visible([MISSING, HIDDEN], user)
