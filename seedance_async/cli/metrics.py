"""Counts in Prometheus' text format, for its textfile collector or any other that reads it.

Source: "Text-based format" of Prometheus' page "Exposition formats".
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Sample = tuple[Mapping[str, str], int]


def of(
    counts: Mapping[str, Mapping[Any, int]], workers: Iterable[Iterable[str]], states: Iterable[Any]
) -> Iterator[str]:
    """Give the lines of the gauges ``seedance_jobs`` and ``seedance_workers``.

    Args:
        counts: How many jobs each account has in which state.
        workers: The accounts of each worker.
        states: All states: one without jobs has a 0, so that an alert finds it.
    """
    everyone = [name for names in workers for name in names]
    accounts = sorted({*counts, *everyone})
    jobs = (
        ({"account": account, "state": str(state)}, counts.get(account, {}).get(state, 0))
        for account in accounts
        for state in tuple(states)
    )
    yield from gauge("seedance_jobs", "Jobs in the database.", jobs)
    working = (({"account": account}, everyone.count(account)) for account in accounts)
    yield from gauge("seedance_workers", "Workers that give a sign of life.", working)


def gauge(name: str, about: str, samples: Iterable[Sample]) -> Iterator[str]:
    """Give the lines of one gauge."""
    yield f"# HELP {name} {_escaped(about)}"
    yield f"# TYPE {name} gauge"
    for labels, value in samples:
        pairs = ",".join(f'{label}="{_quoted(text)}"' for label, text in labels.items())
        yield f"{name}{{{pairs}}} {value}"


def _escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n")


def _quoted(text: str) -> str:
    return _escaped(text).replace('"', r"\"")
