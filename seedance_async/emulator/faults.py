"""Faults: which of the emulator's calls go wrong, and how, by chance or by script.

Decides only, from a plan and a seeded ``random``: what a fault does stands in ``mishaps``, and
nothing is sent here.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from random import Random
from typing import Any

import attrs

from seedance_async.emulator.mishaps import FAULTS, Call, Mishap

__all__ = ["FAULTS", "Call", "Choice", "Decider", "Fault", "FaultPlan", "Faults"]

_SEED_BITS = 64


def _known(name: str) -> str:
    if name in FAULTS:
        return name
    nearest = difflib.get_close_matches(str(name), FAULTS, n=1, cutoff=0.0)[0]
    call, _, kind = str(name).partition(".")
    fitting = [str(each) for each in Call if f"{each}.{kind}" in FAULTS]
    why = f"{kind} fits {' and '.join(fitting)}, not {call}" if fitting else "there is none"
    raise ValueError(f"no fault {name!r}: {why}; the nearest is {nearest!r}")


def _check_name(_: object, __: object, value: str) -> None:
    _known(value)


def _check_count(_: object, attribute: attrs.Attribute[Any], value: Any) -> None:
    if value is None and attribute.name != "nth":
        return
    if type(value) is not int or value < 1:
        raise ValueError(f"{attribute.name} must be a whole number from 1, not {value!r}")


@attrs.frozen
class Fault:
    """A fault in a script: which, and which calls it comes upon.

    ``Fault("create.html_502", nth=3)`` is the third create, ``Fault("query.reset", times=2,
    task=1)`` the next two queries of the first task, ``Fault("download.cut", each=True)`` the
    first download of every video.

    Args:
        name: The fault's name.
        nth: The call that it begins with, counted from 1: all calls of that kind, or those
            about *task*, or where *each* is true about each task on its own.
        times: How many calls it comes upon, 1 or more; None for all from then on. A call in
            which it would change nothing does not count.
        task: The task that the call must be about, by its place in the order of acceptance,
            from 1; None for any. Not for creates and assets.
        each: Whether *nth* and *times* are counted for each task on its own; likewise.

    Raises:
        ValueError: If the name is unknown, or an argument out of its bounds.
    """

    name: str = attrs.field(validator=_check_name)
    nth: int = attrs.field(default=1, kw_only=True, validator=_check_count)
    times: int | None = attrs.field(default=1, kw_only=True, validator=_check_count)
    task: int | None = attrs.field(default=None, kw_only=True, validator=_check_count)
    each: bool = attrs.field(default=False, kw_only=True)

    def __attrs_post_init__(self) -> None:
        """Check what only together is wrong."""
        if self.call not in (Call.QUERY, Call.DOWNLOAD) and (self.task or self.each):
            raise ValueError(f"{self.name}: task and each are for queries and downloads")

    @property
    def call(self) -> str:
        """The kind of call that it fits, the first word of its name."""
        return self.name.partition(".")[0]


def _rates(given: Mapping[str, Any]) -> Mapping[str, float]:
    sums: dict[str, float] = {}
    for name, share in given.items():
        if not isinstance(share, (int, float)) or not 0 <= share <= 1:
            raise ValueError(f"{_known(name)} must be a share from 0.0 to 1.0, not {share!r}")
        call = _known(name).partition(".")[0]
        sums[call] = sums.get(call, 0.0) + share
    for call, share in sums.items():
        if share > 1 and not math.isclose(share, 1):
            raise ValueError(f"the shares of all faults of {call} are {share:g}, more than 1.0")
    return dict(given)


def _script(given: Iterable[str | Fault]) -> tuple[Fault, ...]:
    listed = (given,) if isinstance(given, str | Fault) else given
    return tuple(each if isinstance(each, Fault) else Fault(each) for each in listed)


def _check_slow(_: object, __: object, value: float) -> None:
    if not 0 <= value < math.inf:
        raise ValueError(f"slow_s must be 0 or more seconds, not {value!r}")


def _check_retry(_: object, __: object, value: int) -> None:
    if type(value) is not int or value < 0:
        raise ValueError(f"retry_after_s must be a whole number of seconds, not {value!r}")


@attrs.frozen(kw_only=True)
class FaultPlan:
    """What goes wrong in an emulator. One fault a call at the most, the script's first.

    Args:
        rates: The share of calls that a fault comes upon, 0.0 to 1.0 inclusive, by its name;
            those of one kind of call add up to 1.0 at the most. The emulator's seed decides
            which.
        script: Faults in order: a call takes the first that fits it and is not used up. A
            name alone is the next call of its kind, once.
        slow_s: Real seconds that what is slow takes, 0 or more.
        retry_after_s: Seconds after which clients are told to come again, a whole number.

    Raises:
        ValueError: If a name is unknown or a number out of its bounds; the message names it.
    """

    rates: Mapping[str, float] = attrs.field(factory=dict, converter=_rates)
    script: tuple[Fault, ...] = attrs.field(default=(), converter=_script)
    slow_s: float = attrs.field(default=5.0, validator=_check_slow)
    retry_after_s: int = attrs.field(default=2, validator=_check_retry)

    @classmethod
    def of(cls, faults: Faults) -> FaultPlan:
        """Make a plan of what stands for one."""
        if isinstance(faults, FaultPlan):
            return faults
        if isinstance(faults, Mapping):
            return cls(rates=faults)
        return cls(script=() if faults is None else faults)

    @property
    def names(self) -> frozenset[str]:
        """All faults that may come."""
        return frozenset(self.rates) | {each.name for each in self.script}


#: A plan, or its rates or its script alone; None for no faults.
Faults = FaultPlan | Mapping[str, float] | Iterable[str | Fault] | None


@attrs.define(eq=False)
class _Step:
    """A fault of the script as it goes on; both count by task, or by None for all of them."""

    fault: Fault
    seen: Counter[str | None] = attrs.field(factory=Counter)
    used: Counter[str | None] = attrs.field(factory=Counter)


@attrs.frozen(eq=False)
class Choice:
    """A fault that is to come upon a call.

    Attributes:
        name: Its name.
        mishap: What it does.
    """

    name: str
    mishap: Mishap
    _step: _Step | None = None
    _about: str | None = None

    def _take(self, number: int) -> None:
        if self._step is not None:
            self._step.used[self._about] += number


class Decider:
    """Goes through a plan, call by call.

    A script that counts for each task on its own remembers every task that was asked about.

    Attributes:
        plan: The plan.
        counts: How many calls each fault came upon.
    """

    def __init__(
        self, plan: FaultPlan, random: Random, *, nth_task: Callable[[int], str | None]
    ) -> None:
        """Begin a plan.

        Args:
            plan: The plan.
            random: Where all chance comes from, drawn from here and now only.
            nth_task: Gives a task's id for its place in the order of acceptance, from 1.
        """
        self.plan = plan
        self.counts: Counter[str] = Counter()
        self._steps = [_Step(fault) for fault in plan.script]
        self._nth_task = nth_task
        # One for each kind of call: how often a client asks must not move what its creates meet.
        self._luck = {call: Random(random.getrandbits(_SEED_BITS)) for call in Call}  # noqa: S311

    def choose(self, call: Call, task_id: str | None) -> Choice | None:
        """Decide what comes upon a call, in the order in which calls arrive.

        Args:
            call: The kind of call.
            task_id: The task that it is about, for queries and downloads.
        """
        scripted = [self._offer(step, task_id) for step in self._steps if step.fault.call == call]
        drawn = self._draw(call)
        choice = next((each for each in scripted if each is not None), drawn)
        if choice is not None:
            choice._take(1)
        return choice

    def note(self, choice: Choice) -> None:
        """Count a fault that came upon its call."""
        self.counts[choice.name] += 1

    def give_back(self, choice: Choice) -> None:
        """Take a choice back that changed nothing; a later call will have it."""
        choice._take(-1)

    def _offer(self, step: _Step, task_id: str | None) -> Choice | None:
        """Count a call, and offer the step's fault for it."""
        fault = step.fault
        if fault.task is not None and task_id != self._nth_task(fault.task):
            return None
        about = task_id if fault.each else None
        step.seen[about] += 1
        is_used_up = fault.times is not None and step.used[about] >= fault.times
        if step.seen[about] < fault.nth or is_used_up:
            return None
        return Choice(fault.name, FAULTS[fault.name], step, about)

    def _draw(self, call: Call) -> Choice | None:
        """Draw once for each call, whether or not the script has something for it."""
        luck = self._luck[call].random()
        for name, share in self.plan.rates.items():
            if name.startswith(f"{call}."):
                if luck < share:
                    return Choice(name, FAULTS[name])
                luck -= share
        return None
