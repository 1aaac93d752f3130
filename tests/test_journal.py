from __future__ import annotations

import datetime as dt

from seedance_async import JobRecord, JobState, MemoryJournal, VideoRequest

NOW = dt.datetime(2026, 3, 30, 12, 0, tzinfo=dt.UTC)
REQUEST = VideoRequest(model="seedance_2_0_pro", prompt="A cat")


def record(key: str, state: JobState) -> JobRecord:
    return JobRecord(key=key, request=REQUEST, state=state, planned_at=NOW)


async def keys(journal: MemoryJournal, state: JobState | None = None) -> list[str]:
    return [job.key async for job in journal.records(state)]


async def test_records_are_found_by_key_and_by_state_in_the_order_of_planning() -> None:
    journal = MemoryJournal()
    await journal.put(record("b", JobState.PLANNED))
    await journal.put(record("a", JobState.PLANNED))
    await journal.put(record("b", JobState.SUBMITTING))
    assert await keys(journal) == ["b", "a"]
    assert await keys(journal, JobState.PLANNED) == ["a"]
    found = await journal.get("b")
    assert found is not None
    assert found.state is JobState.SUBMITTING
    assert await journal.get("c") is None


async def test_the_oldest_settled_jobs_are_forgotten_and_no_other() -> None:
    journal = MemoryJournal(kept_settled=2)
    for number, state in enumerate(JobState):
        await journal.put(record(f"{state}", state))
        for _ in range(2):  # written again, it is still one job
            await journal.put(record(f"done {number}", JobState.COMPLETED))
    left = set(await keys(journal))
    assert {"planned", "submitting", "submitted", "unknown"} <= left
    assert left - set(JobState) == {"done 4", "done 5"}
