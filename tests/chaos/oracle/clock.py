"""How far the clocks of a trial may be apart."""

CLOCK = 0.05  # seconds: a record's timestamp has whole milliseconds, and is taken a moment before the record is sent
