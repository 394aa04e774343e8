"""When a run is blocked, and when it only looks as if it were."""

from uuid import UUID

from clew.executor.waits import Wait, Waits

CALL = UUID(int=1)


def test_a_step_that_waits_for_a_person_is_blocked_unless_a_call_of_it_is_under_way() -> None:
    waits = Waits()
    with waits.waiting(Wait("one", "approval")):
        assert waits.blocked(["one"]) is not None
        assert waits.blocked(["one", "two"]) is None
        waits.began(CALL, "one")
        assert waits.blocked(["one"]) is None
        waits.over(CALL)
        assert waits.blocked(["one"]) is not None


def test_nothing_is_blocked_while_an_answer_is_being_written_down() -> None:
    changes: list[bool] = []
    waits = Waits()
    waits.changed = lambda: changes.append(waits.blocked(["one"]) is not None)
    with waits.waiting(Wait("one", "approval")):
        with waits.hearing():
            assert waits.blocked(["one"]) is None
        assert waits.blocked(["one"]) is not None
    assert changes == [True, True], "who looks after a run is told when it may be blocked"
