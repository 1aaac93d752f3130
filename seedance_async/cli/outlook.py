"""What a run has before it: what is sent, skipped, taken up, published, and what it comes to."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import attrs

from seedance_async.budget import Budget, Expense, PriceTable, total
from seedance_async.cli import money
from seedance_async.cli.manifest import Line, Manifest
from seedance_async.cli.past import Past, Stand
from seedance_async.cli.terminal import count, one_line
from seedance_async.estimate import Ahead, Estimate, stride
from seedance_async.expenses import Expenses, expected
from seedance_async.rates import Rates
from seedance_async.turnaround import Turnarounds

# In the order in which they are told; what becomes of a job that stood so.
_FATES = {
    Stand.DONE: "made before, skipped",
    Stand.UNFETCHED: "made but not on disk, fetched",
    Stand.RUNNING: "at the provider, waited for",
    Stand.FAILED: "failed before, not sent again",
    Stand.UNKNOWN: "unknown, left alone until they are settled",
    Stand.INVALID: "invalid, skipped",
}
#: The same in a word, for programs.
_PLANS = {
    Stand.DONE: "skip",
    Stand.UNFETCHED: "fetch",
    Stand.RUNNING: "wait",
    Stand.FAILED: "leave",
    Stand.UNKNOWN: "leave",
    Stand.INVALID: "invalid",
}


@attrs.frozen(kw_only=True)
class Planned:
    """One job: ``plan`` is what a run would do with it; ``expense`` is of one that is sent."""

    line: Line
    key: str | None
    plan: str
    expense: Expense | None = None
    over: str | None = None


@attrs.frozen(kw_only=True)
class Outlook:
    """What is before a run.

    Attributes:
        jobs: All of them, in their order.
        past: How they stood.
        expense: What those come to that are sent.
        currency: What money is in.
        files: How many distinct local files those have.
        over: How many of them are not within the budget, and why the first is not.
        estimate: How long it takes; None where that is not known.
    """

    jobs: tuple[Planned, ...]
    past: Past
    expense: Expense
    currency: str
    files: int
    over: tuple[int, str] | None
    estimate: Estimate | None = None

    @property
    def to_send(self) -> int:
        """How many jobs are sent, as far as the budget goes."""
        return self.expense.videos

    def summed(self) -> str:
        """Spell what is sent, and what it comes to."""
        return f"{count(self.to_send, 'video')}, {money.spelled(self.expense, self.currency)}"

    def lines(self) -> Iterator[str]:
        """Tell all of it, a line each."""
        yield f"  {self.to_send:,} to send: {money.spelled(self.expense, self.currency)}"
        if self.expense.tokens is None and self.to_send:
            yield "    what they take in tokens is known once the first of a model is made"
        models = Counter(job.line.job.request.model for job in self._sent if job.line.job)
        if len(models) > 1:
            for model, number in models.items():
                yield f"    {number:,} of {one_line(str(model))}"
        if self.files:
            yield f"    with {count(self.files, 'local file')}, published unless that was done"
        if self.over is not None:
            number, reason = self.over
            yield f"  {number:,} not sent: {reason}"
        counts = self.past.counts
        for stand, fate in _FATES.items():
            if counts[stand]:
                yield f"  {counts[stand]:,} {fate}"

    @property
    def _sent(self) -> Iterator[Planned]:
        return (job for job in self.jobs if job.plan == "send")

    def told(self) -> dict[str, Any]:
        """Give what all jobs come to together as an object for a program."""
        return {
            "plans": dict(Counter(job.plan for job in self.jobs)),
            "expense": money.fields(self.expense),
            "currency": self.currency or None,
            "files": self.files,
            "estimate_s": None if self.estimate is None else attrs.asdict(self.estimate),
        }

    def objects(self) -> Iterator[dict[str, Any]]:
        """Give it as objects for a program: one for each job, then one for all."""
        for index, job in enumerate(self.jobs):
            yield {
                "event": "planned",
                "index": index,
                "line": job.line.number,
                "key": job.key,
                "name": job.line.name,
                "plan": job.plan,
                "reason": job.over,
                "expense": None if job.expense is None else money.fields(job.expense),
            }
        yield {"event": "outlook", "jobs": len(self.jobs), **self.told()}


@attrs.frozen(kw_only=True)
class Known:
    """What an outlook rests on, besides the jobs.

    Attributes:
        rates: What videos were billed so far.
        prices: What they cost.
        budget: The bounds.
        resubmits: Whether unknown jobs are sent again.
        turnarounds: How long tasks took so far; None where their time is not the provider's.
        slots: How many may be in flight at once.
    """

    rates: Rates
    prices: PriceTable | None
    budget: Budget
    resubmits: bool
    turnarounds: Turnarounds | None
    slots: int


def look_ahead(manifest: Manifest, past: Past, known: Known) -> Outlook:
    """See what a run would do."""
    expenses = Expenses(known.budget, known.prices, lambda: known.rates)
    for record in (*past.known.values(), *past.aside):
        expenses.note(record, adopts=True)
    jobs = tuple(_planned(manifest, past, known, expenses))
    sent = [job for job in jobs if job.plan == "send" and job.line.job]
    over = [job.over for job in jobs if job.over is not None]
    requests = [job.line.job.request for job in sent if job.line.job]
    running = past.counts[Stand.RUNNING]
    return Outlook(
        jobs=jobs,
        past=past,
        expense=total(job.expense for job in sent if job.expense),
        currency=known.prices.currency if known.prices else "",
        files=len({path for request in requests for path in request.local_media().values()}),
        # How much is spent then, is not yet.
        over=(len(over), over[0].partition(":")[0]) if over else None,
        estimate=_estimate(known, [(each.model, each.duration) for each in requests], running),
    )


def _planned(manifest: Manifest, past: Past, known: Known, expenses: Expenses) -> Iterator[Planned]:
    sent = {Stand.UNSENT, Stand.UNKNOWN} if known.resubmits else {Stand.UNSENT}
    for line, key in zip(manifest.lines, past.keys, strict=True):
        stand = past.stand(key)
        if stand not in sent or line.job is None or key is None:
            yield Planned(line=line, key=key, plan=_PLANS.get(stand, "invalid"))
            continue
        request = line.job.request
        refusal = expenses.reserve(key, request)
        # What waits for the first of its model to tell what one takes may be sent yet.
        if refusal is not None and not refusal.is_guess:
            yield Planned(line=line, key=key, plan="over_budget", over=refusal.reason)
            continue
        expense = expected(request, known.rates, known.prices)
        yield Planned(line=line, key=key, plan="send", expense=expense)


def _estimate(known: Known, kinds: list[tuple[str, int]], running: int) -> Estimate | None:
    if known.turnarounds is None or not (kinds or running):
        return None
    step = stride(len(kinds))
    fresh = [known.turnarounds.course(*kind) for kind in kinds[::step]]
    return Ahead(
        running=[],
        fresh=fresh or [known.turnarounds.course(None)],
        waiting=len(kinds) + running,
        slots=known.slots,
        stride=stride(known.slots),
    ).estimate()
