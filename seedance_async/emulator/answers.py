"""The emulator's answers: what the API says, in the API's own spelling, as values.

Sends nothing and decides nothing. Source of every shape: the contract.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from seedance_async import wire
from seedance_async.emulator.account import Status, Task
from seedance_async.emulator.assets import Asset
from seedance_async.errors import Violation

#: Codes of the asset library for a call that cannot be served, and for an unknown asset.
ASSET_REFUSED, ASSET_UNKNOWN = 1001, -1


def created(task: Task, status: Status, created_unix_s: int) -> dict[str, Any]:
    """Answer a create, and begin the answer to a query."""
    return {
        "id": task.id,
        "object": "video",
        "created": created_unix_s,
        "model": task.order.model,
        "status": status,
        "error": task.failure if status is Status.FAILED else None,
    }


def result(task: Task, status: Status, created_unix_s: int, video_url: str) -> dict[str, Any]:
    """Answer a query; *video_url* is told only once there is a video."""
    answer = created(task, status, created_unix_s)
    if status is not Status.COMPLETED:
        return {**answer, "video_url": None}
    return {
        **answer,
        "video_url": video_url,
        "actualDuration": task.order.duration_s,
        "totalTokens": task.order.total_tokens,
    }


def error(message: str, **details: Any) -> dict[str, Any]:
    """Answer a call that was refused."""
    return {"error": {"message": message, **details}}


def invalid(violations: Iterable[Violation]) -> dict[str, Any]:
    """Answer a create that breaks rules, all of them at once and in the wire's spelling."""
    spelled = [wire.spell_violation(violation) for violation in violations]
    return error(
        "; ".join(map(str, spelled)),
        violations=[
            {"rule": each.rule, "field": each.field, "message": each.message} for each in spelled
        ],
    )


def asset_done(data: dict[str, Any] | None = None, *, code: int | str = 0) -> dict[str, Any]:
    """Answer a call to the asset library that was served."""
    return {"code": code, "msg": None, "data": data}


def asset_failed(code: int, message: str) -> dict[str, Any]:
    """Answer a call to the asset library that was not, under HTTP 200 nevertheless."""
    return {"code": code, "msg": message, "data": None}


def asset(found: Asset, now: float) -> dict[str, Any]:
    """Describe an asset."""
    return {
        "name": found.name,
        "assetId": found.id,
        "status": found.status(now),
        "assetType": found.kind,
        "url": found.url,
        "createTime": f"{found.created_at:%Y-%m-%d %H:%M:%S}",
    }
