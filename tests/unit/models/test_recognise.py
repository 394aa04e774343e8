"""What the offline model's recognisers take for what: tables of sentences."""

import pytest

from clew.models.offline.arithmetic import expressions
from clew.models.offline.places import zones
from clew.models.offline.recognise import is_actionable, recognise


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what is 17% of 2,340?", ("17% * 2340",)),
        ("What is 12 times 12?", ("12 * 12",)),
        ("calculate (3 + 4) * 2", ("(3 + 4) * 2",)),
        ("2^10", ("2^10",)),
        ("how much is 15 percent of 80", ("15% * 80",)),
        ("what is 144 divided by 12", ("144 / 12",)),
        ("what's 3.5 x 2", ("3.5 * 2",)),
        ("What is the square root of 1,024?", ("sqrt(1024)",)),
        ("what is 5 plus 6 and what is 7 minus 2", ("5 + 6", "7 - 2")),
        ("what is 10-4?", ("10-4",)),
    ],
)
def test_arithmetic_becomes_an_expression(text: str, expected: tuple[str, ...]) -> None:
    assert expressions(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        "the trip takes 3-4 days",
        "we are open 24/7",
        "on 2026-11-21 we met",
        "call me at 555-1234",
        "version 1.2.3 is out",
        "hello there",
    ],
)
def test_ranges_dates_and_versions_are_not_arithmetic(text: str) -> None:
    assert expressions(text) == ()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("what time is it in Tokyo", ("Asia/Tokyo",)),
        ("time in New York City and London", ("America/New_York", "Europe/London")),
        ("what time is it in Europe/Berlin and NYC?", ("Europe/Berlin", "America/New_York")),
        ("what time is it", ()),
    ],
)
def test_places_become_time_zones(text: str, expected: tuple[str, ...]) -> None:
    assert zones(text) == expected


def test_a_time_without_a_place_is_utc() -> None:
    assert recognise("what time is it?").timezones == ("UTC",)


def test_the_flight_question_is_a_fresh_search_that_compares() -> None:
    needs = recognise("Find the cheapest flights from NYC to London next week with reasonable travel times")

    assert needs.search == ("the cheapest flights from NYC to London next week with reasonable travel times")
    assert needs.freshness == "week"
    assert needs.compare
    assert needs.timezones == ()


def test_a_url_is_read_and_not_searched_for() -> None:
    needs = recognise("Summarise https://example.org/a?b=1, please find the key points")

    assert needs.urls == ("https://example.org/a?b=1",)
    assert needs.search is None
    assert needs.summarise


def test_a_question_about_an_uploaded_file_searches_the_documents() -> None:
    assert recognise("What does handbook.md say about holidays?").documents is not None
    assert recognise("search my documents for the deadline").search is None


@pytest.mark.parametrize(
    "text",
    [
        "hi",
        "Hello there!",
        "thanks a lot",
        "What is the capital of France?",
        "who was Ada Lovelace",
        "",
        "  \n",
    ],
)
def test_talk_and_plain_questions_are_not_actionable(text: str) -> None:
    assert is_actionable(text)[0] is False


@pytest.mark.parametrize(
    "text",
    [
        "what is 17% of 2,340?",
        "what time is it in Tokyo",
        "search for news about Kafka",
        "read https://example.org",
        "what does the handbook say about leave?",
        "Find the cheapest flights from NYC to London next week with reasonable travel times",
        "compare PostgreSQL and MySQL",
        "book a table for two",
        "Summarise this in three sentences: ...",
    ],
)
def test_work_is_actionable(text: str) -> None:
    actionable, reason, confidence = is_actionable(text)

    assert actionable
    assert reason
    assert 0 <= confidence <= 1
