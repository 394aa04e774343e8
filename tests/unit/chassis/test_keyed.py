"""The scheduler, driven by generated sequences of everything that can happen to it.

The model is the log and what was handled of it. A step is played on the scheduler as the consumer would, and after each
one the promises are checked: no commit passes unfinished work, a key is in one place at a time and in order, and in
the end nothing is left out.
"""

from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st

from clew.chassis.bookmarks import Bookmark, Offsets, decode, encode
from clew.chassis.claims import Claims
from clew.chassis.keyed import Limits, Scheduler
from clew.chassis.partition import Partition, Place, Work
from clew.contracts.execution import PartitionClaimed

KEYS = (b"a", b"b", b"c", None)
PLACES: tuple[Place, ...] = (("work", 0), ("control", 0))
OFTEN = ("write", "fetch", "begin", "finish")
ACTIONS = (
    *(OFTEN * 3),
    *("postpone", "wake", "commit", "lose", "late finish", "late end", "take", "hold", "release", "reread"),
)
STEPS = st.lists(  # of 60 on average: hypothesis makes five of a list that may be empty, and five are no story
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, 1000)), min_size=30, max_size=120
)
LIMITS = Limits(running=3, records=8, size=1000)


@dataclass
class World:
    """The log of two partitions, one process, and what the broker and the handlers know."""

    scheduler: Scheduler[int] = field(default_factory=lambda: Scheduler[int](LIMITS))
    log: dict[Place, list[bytes | None]] = field(default_factory=lambda: {place: [] for place in PLACES})
    handled: dict[Place, list[int]] = field(default_factory=lambda: {place: [] for place in PLACES})
    commits: dict[Place, tuple[int, str]] = field(default_factory=dict[Place, tuple[int, str]])
    active: list[Work[int]] = field(default_factory=list[Work[int]])
    waiting: list[Work[int]] = field(default_factory=list[Work[int]])
    dying: list[Work[int]] = field(default_factory=list[Work[int]])

    def step(self, action: str, n: int) -> None:
        place = PLACES[n % 2]
        partition = self.scheduler.partitions.get(place)
        match action:
            case "write":
                self.log[place].append(KEYS[n % len(KEYS)])
            case "take" if partition is None:
                self.take(place)
            case "fetch" if partition is not None:
                self.fetch(partition, partition.position, 1 + n % 5)
            case "reread" if partition is not None:
                self.fetch(partition, self.commits.get(place, (0, ""))[0], 1 + n % 9)
            case "lose" if partition is not None:
                self.lose(place)
            case "commit":
                self.commit()
            case "hold" | "release":
                self.scheduler.held = action == "hold"
            case "begin":
                self.begin()
            case _:
                self.end(action, n)
        self.check()

    def take(self, place: Place) -> None:
        committed = decode(*self.commits[place]) if place in self.commits else Bookmark(0)
        start = self.scheduler.known(place, committed, len(self.log[place]))
        self.scheduler.take(place, start, control=place[0] == "control")

    def fetch(self, partition: Partition[int], start: int, count: int) -> None:
        for offset, key in [*enumerate(self.log[partition.place])][start : start + count]:
            self.scheduler.admit(partition, offset, key, offset, tenant=str(key), size=10)

    def lose(self, place: Place) -> None:
        cut = self.scheduler.lose(place)
        assert {id(work) for work in cut} == {id(work) for work in self.active if work.partition.place == place}
        self.dying += cut
        self.active = [work for work in self.active if work not in cut]

    def commit(self) -> None:
        marks = self.scheduler.plan()
        for place, mark in marks.items():
            unfinished = [o for o in range(mark.offset) if o not in self.handled[place]]
            assert not unfinished, f"the commit of {mark.offset} passes {unfinished}"
            assert set(mark.finished) <= set(self.handled[place]), "what is not finished is said to be"
            self.commits[place] = (mark.offset, encode(mark))
        self.scheduler.committed(marks)
        assert not self.scheduler.plan()

    def begin(self) -> None:
        while (work := self.scheduler.next()) is not None:
            assert not self.scheduler.held
            same = [
                w for w in self.active + self.dying if (w.partition.place, w.key) == (work.partition.place, work.key)
            ]
            assert not same, "a key runs twice at once"
            self.active.append(work)
        assert sum(not work.partition.control for work in self.active + self.dying) <= LIMITS.running

    def end(self, action: str, n: int) -> None:
        crowd = {"finish": self.active, "postpone": self.active, "wake": self.waiting}.get(action, self.dying)
        if not crowd:
            return
        work = crowd.pop(n % len(crowd))
        match action:
            case "finish" | "late finish":
                self.handle(work)
                self.scheduler.finish(work)
            case "postpone":
                self.scheduler.postpone(work)
                self.waiting.append(work)
            case "wake":
                self.scheduler.wake(work)
            case _:
                self.scheduler.abandon(work)

    def handle(self, work: Work[int]) -> None:
        place = work.partition.place
        key = self.log[place][work.offset]
        before = [o for o, k in enumerate(self.log[place][: work.offset]) if key is not None and k == key]
        missing = [offset for offset in before if offset not in self.handled[place]]
        assert not missing, f"{work.offset} of key {key!r} is handled before {missing}"
        self.handled[place].append(work.offset)

    def check(self) -> None:
        for control, lane in self.scheduler.lanes.items():
            partitions = [p for p in self.scheduler.partitions.values() if p.control == control]
            works = [work for partition in partitions for work in partition.works()]
            assert (lane.records, lane.size) == (len(works), sum(work.size for work in works))
        for place, partition in self.scheduler.partitions.items():
            mark = partition.bookmark
            assert all(offset in self.handled[place] for offset in range(mark.offset))

    def settle(self) -> None:
        """Lets everything come to its end: what is in the log is handled, and committed."""
        self.scheduler.held = False
        for place in set(PLACES) - self.scheduler.partitions.keys():
            self.take(place)
        for _ in range(sum(map(len, self.log.values())) + 20):
            for partition in self.scheduler.partitions.values():
                self.fetch(partition, partition.position, 1000)
            for action in ("late end", "wake", "begin", "finish"):
                self.step(action, 0)
        self.commit()


@settings(max_examples=150)
@given(STEPS)
def test_whatever_happens_nothing_is_lost_nothing_passed_and_no_key_runs_twice(steps: list[tuple[str, int]]) -> None:
    world = World()
    for action, n in steps:
        world.step(action, n)
    world.settle()
    for place in PLACES:
        assert set(world.handled[place]) == set(range(len(world.log[place])))
        assert world.commits.get(place, (0, ""))[0] == len(world.log[place])


@settings(max_examples=100)
@given(STEPS)
def test_what_this_process_finished_it_never_repeats(steps: list[tuple[str, int]]) -> None:
    world = World()
    for action, n in steps:
        world.step(action, n)
    world.settle()
    assert all(len(handled) == len(set(handled)) for handled in world.handled.values())


@settings(max_examples=100)
@given(STEPS)
def test_a_new_owner_repeats_only_what_ended_after_the_last_commit(steps: list[tuple[str, int]]) -> None:
    first = World()
    for action, n in steps:
        first.step(action, n)
    first.commit()
    second = World(log=first.log, commits=first.commits)
    known = {place: set(first.handled[place]) for place in first.scheduler.partitions}
    second.handled = {place: sorted(known.get(place, first.handled[place])) for place in PLACES}
    before = {place: len(handled) for place, handled in second.handled.items()}
    second.settle()
    for place in known:
        late = {work.offset for work in first.dying if work.partition.place == place}
        assert not known[place] & set(second.handled[place][before[place] :]) - late


def scheduler_with(*works: tuple[str, int], limits: Limits = LIMITS) -> Scheduler[str]:
    """One work partition with records as (tenant, how many), each of a key of its own."""
    made = Scheduler[str](limits)
    partition = made.take(("work", 0), Bookmark(0), control=False)
    for tenant, count in works:
        for _ in range(count):
            made.admit(partition, partition.position, None, tenant, tenant=tenant, size=10)
    return made


def test_one_tenant_with_much_work_does_not_make_another_wait() -> None:
    made = scheduler_with(("many", 50), ("few", 2))
    begun = [made.next() for _ in range(3)]
    assert [work and work.record for work in begun] == ["many", "few", "many"]
    assert made.next() is None
    for work in begun[::2]:
        assert work is not None
        made.finish(work)
    assert [work and work.record for work in (made.next(), made.next())] == ["many", "few"]


def test_hundreds_of_keys_are_in_flight_and_each_with_its_first_record() -> None:
    made = Scheduler[int]()
    partition = made.take(("work", 0), Bookmark(0), control=False)
    for offset in range(900):
        made.admit(partition, offset, b"%d" % (offset % 300), offset, tenant="t", size=10)
    begun = [work.offset for _ in range(300) if (work := made.next()) is not None]
    assert begun == list(range(250))
    assert [made.next() for _ in range(3)] == [None] * 3


def test_a_slot_goes_to_the_tenant_that_has_the_fewest() -> None:
    made = scheduler_with(("many", 3))
    held = [made.next() for _ in range(3)]
    partition = made.partitions[("work", 0)]
    made.admit(partition, partition.position, None, "many", tenant="many")
    made.admit(partition, partition.position, None, "late", tenant="late")
    assert held[0] is not None
    made.finish(held[0])
    work = made.next()
    assert work is not None
    assert work.record == "late"


def test_control_is_begun_however_busy_work_is() -> None:
    made = scheduler_with(("many", 50))
    while made.next() is not None:
        pass
    control = made.take(("control", 0), Bookmark(0), control=True)
    for _ in range(20):
        made.admit(control, control.position, None, "stop", size=10)
    assert sum(made.next() is not None for _ in range(30)) == 20


def test_control_goes_before_work_that_came_earlier() -> None:
    made = scheduler_with(("many", 50))
    control = made.take(("control", 0), Bookmark(0), control=True)
    made.admit(control, 0, None, "stop")
    work = made.next()
    assert work is not None
    assert work.record == "stop"


def test_what_ended_out_of_order_is_remembered_over_a_loss_although_it_was_never_committed() -> None:
    made = scheduler_with(("t", 3))
    first, *others = [work for _ in range(3) if (work := made.next()) is not None]
    for work in others:
        made.finish(work)
    assert made.lose(("work", 0)) == [first]
    made.abandon(first)
    known = made.known(("work", 0), Bookmark(0), end=3)
    assert (known.offset, list(known.finished)) == (0, [1, 2])


def test_a_lane_is_full_by_count_or_by_bytes_until_half_of_it_is_done() -> None:
    by_count = scheduler_with(("t", 8)).lanes[False]
    assert by_count.full
    by_count.records = 5
    assert by_count.full
    by_count.records = 4
    by_count.size = 40
    assert not by_count.full
    assert scheduler_with(("t", 3), limits=Limits(size=30)).lanes[False].full
    assert not scheduler_with(("t", 2), limits=Limits(size=30)).lanes[False].full
    assert not scheduler_with(("t", 50)).lanes[True].full


def test_facts_of_a_log_that_was_longer_than_this_one_are_of_another_log() -> None:
    made = scheduler_with(("t", 3))
    while (work := made.next()) is not None:
        made.finish(work)
    made.lose(("work", 0))
    assert made.known(("work", 0), Bookmark(0), end=2) == Bookmark(0)
    assert made.known(("work", 0), Bookmark(0), end=3) == Bookmark(3)


def test_what_does_not_count_is_finished_at_once_and_the_claim_in_force_is_of_the_commit() -> None:
    claimed = PartitionClaimed.ce_type().encode()
    headers = [
        [("ce_type", claimed), ("claim", b"one")],
        [("ce_type", b"x"), ("claim", b"one")],
        [("ce_type", claimed), ("claim", b"two"), ("supersedes", b"one")],
        [("ce_type", b"x"), ("claim", b"one")],
        [("ce_type", b"x"), ("claim", b"two")],
    ]
    made = Scheduler[str]()
    partition = made.take(("updates", 0), Bookmark(0), control=True, claims=Claims())
    for offset, said in enumerate(headers):
        made.admit(partition, offset, b"key", "", headers=said)
    handled: list[int] = []
    while (work := made.next()) is not None:
        assert partition.bookmark.claim == (None, "one", "one", "two", "two")[work.offset]
        handled.append(work.offset)
        made.finish(work)
    assert handled == [0, 1, 2, 4]
    assert partition.bookmark == Bookmark(5, claim="two")


def test_a_handler_that_ends_well_while_nobody_owns_its_partition_is_not_repeated() -> None:
    made = scheduler_with(("t", 2))
    first, second = made.next(), made.next()
    assert first is not None
    assert second is not None
    made.lose(("work", 0))
    made.finish(second)
    made.abandon(first)
    known = made.known(("work", 0), Bookmark(0), end=2)
    assert (known.offset, list(known.finished)) == (0, [1])


def test_a_handler_that_ends_well_after_the_loss_is_not_repeated_by_the_next_ownership() -> None:
    made = scheduler_with(("t", 2))
    works = [made.next(), made.next()]
    cut = made.lose(("work", 0))
    assert cut == works
    again = made.take(("work", 0), Bookmark(0), control=False)
    made.admit(again, 0, None, "t")
    made.finish(cut[0])
    made.finish(cut[1])
    made.admit(again, 1, None, "t")
    assert made.next() is None
    assert again.bookmark == Bookmark(2, Offsets())
