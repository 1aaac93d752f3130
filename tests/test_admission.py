"""Who may create or ask now: lanes, gates, lines and what is learned, as plain calls."""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Iterator

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from seedance_async import Limits
from seedance_async.adaptation import Adaptation, Dial
from seedance_async.admission import Gate, Lane
from seedance_async.fairness import Flow, Line, Standing

NEVER = float("inf")


def gate(longest_s: float = NEVER) -> Gate:
    return Gate(1.0, 30.0, longest_s)


def goes(lane: Lane, now: float, count: int) -> list[float]:
    """Give the times at which so many callers go who all come at *now*, and come back at once."""
    times = []
    for _ in range(count):
        now = lane.earliest(now)
        passage = lane.go(now)
        lane.gate.let_through(passage.epoch)
        lane.gate.come_back(passage.epoch)
        times.append(now)
    return times


def test_a_limit_that_makes_no_sense_is_refused() -> None:
    for wrong in (0, -1, True, 2.5):
        with pytest.raises(ValueError, match="max_in_flight"):
            Limits(max_in_flight=wrong)  # type: ignore[arg-type]
    assert Limits().max_in_flight is None


def test_without_limits_everybody_goes_at_once() -> None:
    assert goes(Lane(gate()), 5, 3) == [5, 5, 5]


def test_a_rate_spaces_what_it_limits_and_changes_at_once() -> None:
    lane = Lane(gate(), gap_s=10)
    assert goes(lane, 0, 3) == [0, 10, 20]
    assert lane.earliest(100) == 100
    lane.gap_s = 4
    assert lane.earliest(20) == 24


def test_a_call_that_was_never_made_leaves_no_gap() -> None:
    lane = Lane(gate(), gap_s=10)
    goes(lane, 0, 1)
    unused = lane.go(10)
    assert lane.earliest(11) == 20
    lane.undo(unused)
    assert lane.earliest(11) == 11


@given(st.lists(st.floats(0, 1000), min_size=1), st.floats(0.1, 100))
def test_no_minute_has_more_calls_than_allowed(arrivals: list[float], rate: float) -> None:
    lane = Lane(gate(), gap_s=60 / rate)
    times = [goes(lane, now, 1)[0] for now in sorted(arrivals)]
    gaps = [later - earlier for earlier, later in itertools.pairwise(times)]
    assert all(gap >= 60 / rate * (1 - 1e-9) for gap in gaps)


def test_a_refusal_closes_for_as_long_as_was_told_and_only_ever_later() -> None:
    lane = Lane(gate())
    first, second = lane.go(0), lane.go(0)
    assert lane.gate.refuse(first.epoch, 0, 30, 0.0)
    assert not lane.gate.refuse(second.epoch, 5, 15, 0.0)
    assert lane.earliest(5) == 30
    assert not lane.gate.refuse(second.epoch, 6, 40, 0.0)
    assert lane.earliest(6) >= 46
    assert lane.earliest(60) == 60


def test_no_answer_closes_a_gate_for_longer_than_its_longest() -> None:
    closed = gate(longest_s=120)
    closed.refuse(0, 10, 3600, 0.9)
    assert closed.open_from == 130


def test_untold_pauses_double_up_to_the_cap_and_begin_anew_after_a_success() -> None:
    lane, now, pauses = Lane(gate()), 0.0, []
    for _ in range(7):
        passage = lane.go(now)
        lane.gate.refuse(passage.epoch, now, None, 0.999999)
        pauses.append(round(lane.earliest(now) - now))
        now = lane.earliest(now)
    assert pauses == [1, 2, 4, 8, 16, 30, 30]
    passage = lane.go(now)
    lane.gate.let_through(passage.epoch)
    lane.gate.come_back(passage.epoch)
    passage = lane.go(now)
    lane.gate.refuse(passage.epoch, now, None, 0.0)
    assert lane.earliest(now) - now == 0.5


def test_refusals_of_calls_that_went_together_count_once() -> None:
    lane = Lane(gate())
    together = [lane.go(0) for _ in range(20)]
    news = [lane.gate.refuse(passage.epoch, 0.1, None, 0.0) for passage in together]
    assert news == [True] + [False] * 19
    assert lane.gate.open_from == pytest.approx(0.6)


def test_after_a_pause_one_goes_alone_and_each_round_doubles_the_rest() -> None:
    lane = Lane(gate())
    lane.gate.refuse(lane.go(0).epoch, 0, 10, 0.0)

    def at_once(now: float) -> list[int]:
        epochs = []
        while lane.earliest(now) <= now and len(epochs) < 200:
            epochs.append(lane.go(now).epoch)
        return epochs

    widths = []
    for now in range(10, 18):
        epochs = at_once(now)
        widths.append(len(epochs))
        for epoch in epochs:
            lane.gate.let_through(epoch)
            lane.gate.come_back(epoch)
    assert widths == [1, 2, 4, 8, 16, 32, 64, 200]


def test_a_probe_that_ends_without_an_answer_lets_the_next_one_try() -> None:
    lane = Lane(gate())
    lane.gate.refuse(lane.go(0).epoch, 0, 10, 0.0)
    probe = lane.go(10)
    assert lane.earliest(11) == NEVER
    lane.gate.come_back(probe.epoch)
    assert lane.earliest(11) == 11


def test_what_was_sent_before_the_gate_closed_does_not_open_it() -> None:
    lane = Lane(gate())
    refused, late = lane.go(0), lane.go(0)
    lane.gate.refuse(refused.epoch, 1, 10, 0.0)
    lane.gate.let_through(late.epoch)
    lane.gate.come_back(late.epoch)
    lane.gate.come_back(refused.epoch)
    assert lane.earliest(1) == 11
    lane.go(11)
    assert lane.earliest(11) == NEVER


@given(st.data())
def test_whatever_happens_a_lane_opens_once_all_are_back(data: st.DataObject) -> None:
    lane, now = Lane(gate(), gap_s=data.draw(st.sampled_from([0, 0.5]))), 0.0
    out: deque[int] = deque()
    for _ in range(data.draw(st.integers(0, 40))):
        now += data.draw(st.floats(0, 20))
        what = data.draw(st.sampled_from(["go", "ok", "refused", "told", "cancelled", "unused"]))
        if what == "go" and lane.earliest(now) <= now:
            out.append(lane.go(now).epoch)
        elif what == "unused" and lane.earliest(now) <= now:
            lane.undo(lane.go(now))
        elif what in ("ok", "refused", "told", "cancelled") and out:
            epoch = out.popleft()
            if what == "ok":
                lane.gate.let_through(epoch)
            elif what != "cancelled":
                lane.gate.refuse(epoch, now, 7 if what == "told" else None, 0.5)
            lane.gate.come_back(epoch)
    for epoch in out:
        lane.gate.come_back(epoch)
    assert lane.earliest(now) <= now + 37.5


@attrs.frozen(eq=False)
class Waiter:
    standing: Standing
    place: int


def served(line: Line[Waiter]) -> Iterator[Waiter]:
    while (first := line.first()) is not None:
        line.remove(first)
        yield first


def test_the_flow_with_the_fewest_in_flight_is_served_first() -> None:
    line: Line[Waiter] = Line(lambda flow: flow.in_flight)
    batch, single = Flow(in_flight=7), Flow()
    waiters = [Waiter(Standing(flow=batch), place) for place in range(3)]
    late = Waiter(Standing(flow=single), 9)
    for waiter in (*waiters, late):
        line.add(waiter)
    assert list(served(line)) == [late, *waiters]
    assert len(line) == 0


def test_priority_goes_before_fairness() -> None:
    line: Line[Waiter] = Line(lambda flow: flow.in_flight)
    busy, idle = Flow(in_flight=99), Flow()
    low, high = Waiter(Standing(flow=idle), 0), Waiter(Standing(flow=busy, priority=1), 1)
    least = Waiter(Standing(flow=idle, priority=-1), 2)
    for waiter in (least, low, high):
        line.add(waiter)
    assert list(served(line)) == [high, low, least]


def test_who_comes_again_has_not_lost_the_place() -> None:
    line: Line[Waiter] = Line(lambda flow: flow.in_flight)
    first, second, third = (Waiter(Standing(flow=flow), n) for n in range(3) for flow in [FLOW])
    for waiter in (first, second, third):
        line.add(waiter)
    line.remove(first)
    with pytest.raises(KeyError):
        line.remove(first)
    line.add(first)
    line.remove(second)
    assert list(served(line)) == [first, third]


FLOW = Flow()


@given(st.lists(st.integers(0, 3), min_size=1, max_size=60))
def test_no_flow_starves_beside_others_of_its_priority(arrivals: list[int]) -> None:
    flows = [Flow() for _ in range(4)]
    line: Line[Waiter] = Line(lambda flow: flow.in_flight)
    for place, of in enumerate(arrivals):
        line.add(Waiter(Standing(flow=flows[of]), place))
    shares = [0] * 4
    for waiter in served(line):
        others = {flow for flow in flows if flow is not waiter.standing.flow}
        waiting = [flow for flow in others if arrivals.count(flows.index(flow)) > flow.in_flight]
        waiter.standing.flow.in_flight += 1
        assert all(waiter.standing.flow.in_flight <= flow.in_flight + 1 for flow in waiting)
        shares[flows.index(waiter.standing.flow)] += 1
    assert shares == [arrivals.count(of) for of in range(4)]


# ---- what is learned


def accept(learned: Adaptation, now: float, in_flight: int, *, pressed: bool = False) -> None:
    full = in_flight >= learned.jobs.limit
    learned.accepted(now, in_flight, jobs_at_limit=full, rate_at_limit=pressed)


def test_a_burst_that_is_refused_tells_of_both_limits() -> None:
    learned = Adaptation()
    for n in range(1, 8):
        accept(learned, 0.0, n)
    assert learned.jobs.limit == learned.rate.limit == NEVER
    assert learned.refused(0.1, 7, 60.0) == "refused at 7 in flight, 7 a minute"
    assert learned.jobs.limit == 7
    assert learned.rate.limit == pytest.approx(6.86)


def test_the_rest_of_a_burst_corrects_what_its_first_refusal_told() -> None:
    learned = Adaptation()
    for n in range(1, 4):
        accept(learned, 0.0, n)
    learned.refused(0.1, 3, 60.0)
    for n in range(4, 8):
        accept(learned, 0.2, n)
    assert learned.jobs.limit == 7
    assert learned.rate.limit == pytest.approx(6.86)


def at_four() -> Adaptation:
    learned = Adaptation()
    for n in range(1, 5):
        accept(learned, 0.0, n)
    return learned


def test_refusals_without_a_word_are_a_bad_moment_until_they_last_as_long_as_the_rate_says() -> (
    None
):
    learned = at_four()
    for now in (0.1, 0.6, 2.0, 7.0, 15.0):
        assert learned.refused(now, 4) is None
    assert learned.jobs.limit == learned.rate.limit == NEVER
    assert learned.refused(15.1, 4) == "refused at 4 in flight, 4 a minute"
    assert learned.jobs.limit == 4
    assert learned.rate.limit == pytest.approx(3.92)


@pytest.mark.parametrize(
    ("told_s", "jobs", "a_minute"),
    [(9.9, NEVER, NEVER), (10.0, 4, NEVER), (14.9, 4, NEVER), (15.0, 4, 3.92)],
)
def test_a_long_pause_is_meant_and_for_the_rate_one_that_fits_it(
    told_s: float, jobs: float, a_minute: float
) -> None:
    learned = at_four()
    learned.refused(0.1, 4, told_s)
    assert (learned.jobs.limit, learned.rate.limit) == (jobs, pytest.approx(a_minute))


@pytest.mark.parametrize(("accepted", "is_limit"), [(5, True), (6, False)])
def test_a_bad_moment_is_remembered_until_more_than_that_is_accepted(
    accepted: int, is_limit: bool
) -> None:
    learned = at_four()
    learned.refused(0.1, 4)
    for n in range(5, accepted + 1):
        accept(learned, 1.0, n)
    assert (learned.refused(100.0, 4) is not None) is is_limit


@pytest.mark.parametrize(("now", "is_limit"), [(600.0, True), (601.0, False)])
def test_a_bad_moment_is_forgotten_after_ten_minutes(now: float, is_limit: bool) -> None:
    learned = at_four()
    learned.refused(0.1, 4)
    assert (learned.refused(now, 4) is not None) is is_limit


@pytest.mark.parametrize(
    ("in_flight", "now", "limit"), [(1, 1000, NEVER), (2, 1000, 4), (1, 500, 4)]
)
def test_after_ten_minutes_with_nothing_under_way_all_is_forgotten(
    in_flight: int, now: float, limit: float
) -> None:
    learned = at_four()
    learned.refused(0.1, 4, 60.0)
    accept(learned, now, in_flight)
    assert learned.jobs.limit == limit


def test_far_less_than_was_taken_before_is_a_limit_once_it_is_refused_again() -> None:
    learned = Adaptation()
    for n in range(1, 21):
        accept(learned, n * 10.0, n)
    assert learned.refused(1000.0, 3) is None
    assert learned.refused(1059.0, 3) is None
    assert learned.jobs.limit == NEVER
    assert learned.refused(1060.0, 3) is not None
    assert learned.jobs.limit == 3


def at_seven() -> Adaptation:
    learned = Adaptation()
    for n in range(1, 8):
        accept(learned, 0.0, n)
    learned.refused(0.1, 7, 60.0)
    return learned


def test_a_slow_account_that_refuses_again_means_the_jobs_in_flight() -> None:
    learned = at_seven()
    accept(learned, 100.0, 7)
    assert learned.jobs.limit == 8  # tried at once: nobody knew which of the two it was
    rate = learned.rate.limit
    learned.refused(110.0, 7)
    assert (learned.jobs.limit, learned.rate.limit) == (7, rate)


def test_a_limit_that_was_found_twice_is_tried_ever_more_seldom() -> None:
    learned, tried, now = at_seven(), [], 100.0
    for create in range(400):
        accept(learned, now, 7)
        now += 20
        if learned.jobs.limit == 8:
            learned.refused(now, 7)
            tried.append(create)
    assert tried == [0, 60, 180, 300]


def test_a_limit_that_was_lifted_is_found_and_passed_quickly() -> None:
    learned, now = at_seven(), 100.0
    for _ in range(3):
        accept(learned, now, 7)
        learned.refused(now + 1, 7)
        now += 20
    levels = []
    for _ in range(170):
        now += 20
        level = int(learned.jobs.limit)
        accept(learned, now, level)
        levels.append(level)
    assert levels[:60] == [7] * 60
    assert levels[-1] > 50


def test_more_in_flight_than_ever_while_the_rate_is_at_its_known_end_blames_the_rate() -> None:
    learned, now = Adaptation(), 0.0
    for n in range(1, 31):
        accept(learned, now, n)
    learned.refused(1.0, 30, 60.0)
    now = 61.0
    while learned.rate.limit < 30:
        now += 60 / learned.rate.limit
        accept(learned, now, 20, pressed=True)
    for _ in range(3):
        now += 60 / learned.rate.limit
        accept(learned, now, 20, pressed=True)
    learned.refused(now, 25)
    assert learned.jobs.limit == 30
    assert learned.rate.limit == pytest.approx(29.4, abs=1)


def test_refused_again_and_again_it_falls_by_multiplying_and_never_below_one() -> None:
    dial, limits = Dial(step=1, growth=0, margin=1, doubt=1), []
    for level in (20, 20, 19, 16, 3, 1, 1):
        dial.refused(level, 0.0)
        limits.append(dial.limit)
    assert limits == [20, 20, 19, 14.25, 3, 1, 1]


def test_an_outage_while_jobs_end_is_no_limit() -> None:
    learned = at_seven()
    for now, in_flight in ((200.0, 5), (230.0, 3), (260.0, 1)):
        assert learned.refused(now, in_flight) is None
    assert learned.jobs.limit == 7


def test_after_a_long_outage_it_grows_with_every_create() -> None:
    learned = at_seven()
    for now in (200.0, 230.0, 260.0):
        learned.refused(now, 1)
    assert learned.jobs.limit == 1
    for n in range(1, 8):
        accept(learned, 300.0 + n, n)
    assert learned.jobs.limit >= 7


def test_who_creates_seldom_does_not_wait_for_sixty_creates() -> None:
    learned, now = at_seven(), 100.0
    accept(learned, now, 7)
    learned.refused(now, 7)
    raised = []
    for _ in range(10):
        now += 300
        accept(learned, now, 7)
        raised.append(learned.jobs.limit)
    assert raised == [7] * 5 + [8] * 5


def test_a_provider_that_takes_nothing_at_all_tells_of_no_limit() -> None:
    learned = Adaptation()
    assert learned.refused(0.0, 0) is None
    assert learned.jobs.limit == learned.rate.limit == NEVER


@settings(max_examples=200)
@given(
    st.lists(
        st.tuples(st.floats(0, 30), st.integers(0, 60), st.booleans(), st.booleans()), max_size=80
    )
)
def test_no_story_drives_a_limit_below_one(
    story: list[tuple[float, int, bool, bool]],
) -> None:
    learned, now = Adaptation(), 0.0
    for after_s, in_flight, is_refused, pressed in story:
        now += after_s
        if is_refused:
            learned.refused(now, in_flight)
        else:
            accept(learned, now, max(in_flight, 1), pressed=pressed)
        assert learned.jobs.limit >= 1
        assert learned.rate.limit >= 1
