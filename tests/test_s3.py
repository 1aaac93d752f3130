"""Publishing in a bucket: a real server that speaks S3, and URLs whose time is over."""

from __future__ import annotations

import asyncio
import datetime as dt
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import aiohttp
import attrs
import pytest
from moto.server import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from seedance_async import (
    DownloadError,
    Fixed,
    LocalFile,
    MediaKind,
    PublishError,
    SeedanceSession,
    VideoRequest,
)
from seedance_async.distributed import S3Folder
from seedance_async.emulator import Emulator
from seedance_async.s3 import S3Publisher

CONTENT = b"\x89PNG and more"


@pytest.fixture
def anyio_backend() -> str:
    """A real loop: neither the server nor the bucket's client knows virtual time."""
    return "asyncio"


@attrs.define
class Bucket:
    """Moto's server, which checks no signature: here at least its time, as Amazon documents it."""

    endpoint: str = ""
    calls: list[str] = attrs.field(factory=list)
    forbids: tuple[str, ...] = ()

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        method, query = environ["REQUEST_METHOD"], parse_qs(environ["QUERY_STRING"])
        self.calls.append(method)
        signed = query.get("X-Amz-Date"), query.get("X-Amz-Expires")
        if method in self.forbids or (all(signed) and self._is_over(*signed)):
            start_response("403 Forbidden", [("Content-Type", "application/xml")])
            return [
                b"<Error><Code>AccessDenied</Code><Message>Request has expired</Message></Error>"
            ]
        return self.moto(environ, start_response)

    moto: Any = attrs.field(factory=lambda: DomainDispatcherApplication(create_backend_app))

    @staticmethod
    def _is_over(date: Any, expires: Any) -> bool:
        began = dt.datetime.strptime(date[0], "%Y%m%dT%H%M%SZ").replace(tzinfo=dt.UTC)
        return dt.datetime.now(dt.UTC) > began + dt.timedelta(seconds=int(expires[0]))


@pytest.fixture
def bucket() -> Iterator[Bucket]:
    served = Bucket()
    server = make_server("127.0.0.1", 0, served, threaded=True)
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    served.endpoint = f"http://127.0.0.1:{server.port}"
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
async def made(bucket: Bucket) -> Bucket:
    async with aiohttp.ClientSession() as http, http.put(f"{bucket.endpoint}/pictures") as answer:
        assert answer.status == 200
    bucket.calls.clear()
    return bucket


def publisher(
    bucket: Bucket, where: str = "s3://pictures/for/seedance", **more: Any
) -> S3Publisher:
    keys = {"access_key_id": "id", "secret_access_key": "s3cr3t-key", "region": "us-east-1"}
    return S3Publisher(where, **{"endpoint": bucket.endpoint, **keys, **more})


@pytest.fixture
def file(tmp_path: Path) -> LocalFile:
    path = tmp_path / "a cat é.PNG"
    path.write_bytes(CONTENT)
    return LocalFile(path=path, digest="ab" * 32, size_bytes=len(CONTENT), kind=MediaKind.IMAGE)


async def fetch(url: str) -> tuple[int, str, bytes]:
    async with aiohttp.ClientSession() as http, http.get(url) as answer:
        return answer.status, answer.content_type, await answer.read()


async def test_a_file_is_sent_and_signed(made: Bucket, file: LocalFile) -> None:
    at = publisher(made)
    published = await at.publish(file)
    assert await fetch(published.reference) == (200, "image/png", CONTENT)
    assert urlsplit(published.reference).path == f"/pictures/for/seedance/{'ab' * 16}.png"
    assert published.lifetime_s == 86_400
    again = await publisher(made, lifetime_s=3600).publish(file)
    assert again.lifetime_s == 3600
    assert "X-Amz-Expires=3600" in again.reference
    # A rule of the bucket may be about to delete what is old.
    assert made.calls == ["PUT", "GET", "PUT"]
    assert at.name == f"s3://pictures/for/seedance at {made.endpoint}"
    assert "s3cr3t" not in f"{at!r}{published!r}"


async def test_a_url_whose_time_is_over_is_signed_anew(
    made: Bucket, emulator: Emulator, tmp_path: Path
) -> None:
    (tmp_path / "cat.png").write_bytes(CONTENT)
    urls: list[str] = []

    class Noting(S3Publisher):
        async def publish(self, file: LocalFile) -> Any:
            published = await super().publish(file)
            urls.append(published.reference)
            return published

    keys = {"access_key_id": "id", "secret_access_key": "key", "region": "us-east-1"}
    at = Noting("s3://pictures", lifetime_s=2, endpoint=made.endpoint, **keys)
    request = VideoRequest(model="seedance_2_0_pro", prompt="x", first_image="cat.png")
    async with SeedanceSession(
        emulator.api_key,
        base_url=emulator.base_url,
        publisher=at,
        media_root=tmp_path,
        journal=tmp_path / "journal.sqlite",
    ) as session:
        for _ in range(2):
            await session.submit(request, preflight=False)
        assert len(urls) == 1
        assert (await fetch(urls[0]))[0] == 200
        await asyncio.sleep(2.1)
        assert (await fetch(urls[0]))[0] == 403
        await session.submit(request, preflight=False)
    assert len(urls) == 2
    assert (await fetch(urls[1]))[0] == 200
    assert made.calls.count("PUT") == 2


async def test_temporary_credentials_are_trusted_for_an_hour(
    made: Bucket, file: LocalFile, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = await publisher(made, session_token="t").publish(file)
    assert published.lifetime_s == 3600
    monkeypatch.setenv("AWS_SESSION_TOKEN", "t")
    assert (await publisher(made).publish(file)).lifetime_s == 3600
    monkeypatch.delenv("AWS_SESSION_TOKEN")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "id")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "key")
    monkeypatch.setenv("AWS_ENDPOINT_URL", made.endpoint)
    at = S3Publisher("s3://pictures", lifetime_s=7200)
    assert (await at.publish(file)).lifetime_s == 7200
    assert at.name == f"s3://pictures at {made.endpoint}"


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"where": "s3://no-such-bucket"}, "NoSuchBucket"),
        ({"forbids": ("PUT",)}, "AccessDenied, Request has expired"),
        ({"endpoint": "http://127.0.0.1:9"}, "error sending request"),
    ],
)
async def test_a_bucket_that_takes_nothing_is_named(
    made: Bucket, file: LocalFile, changes: dict[str, Any], words: str
) -> None:
    made.forbids = changes.pop("forbids", ())
    with pytest.raises(PublishError, match=words) as failed:
        await publisher(made, **changes).publish(file)
    assert "does not take a cat é.PNG" in str(failed.value)
    assert "s3cr3t" not in str(failed.value)


async def test_a_file_that_went_away_is_named(made: Bucket, file: LocalFile) -> None:
    file.path.unlink()
    with pytest.raises(PublishError, match=r"does not take a cat é\.PNG"):
        await publisher(made).publish(file)


@pytest.mark.parametrize(
    "where",
    [
        *("pictures", "https://pictures", "s3://", "s3:///a", "s3://bucket?c=d", "s3://bucket#c"),
        *("s3://KEY:SECRET@bucket/x", "s3://bucket:80", "s3://bucket/a//b", "s3://bucket/../x"),
    ],
)
def test_a_bucket_is_a_url(where: str) -> None:
    with pytest.raises(ValueError, match="s3://bucket/prefix") as refused:
        S3Publisher(where)
    assert "SECRET" not in str(refused.value)


@pytest.mark.parametrize(
    "endpoint", ["minio.example.com", "localhost:9000", "https://", "http://[::1", "http://u:p@h"]
)
@pytest.mark.parametrize("by_environment", [True, False])
def test_an_endpoint_is_a_url(
    endpoint: str, monkeypatch: pytest.MonkeyPatch, *, by_environment: bool
) -> None:
    given = {"endpoint": endpoint}
    if by_environment:
        monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
        given = {}
    with pytest.raises(ValueError, match="AWS_ENDPOINT_URL"):
        S3Publisher("s3://bucket", **given)


@pytest.mark.parametrize("lifetime_s", [0, -1, 604_801, float("nan")])
def test_a_signature_holds_at_most_seven_days(lifetime_s: float) -> None:
    with pytest.raises(ValueError, match="1 to 604800 seconds"):
        S3Publisher("s3://pictures", lifetime_s=lifetime_s)


async def test_workers_keep_videos_in_a_bucket(made: Bucket) -> None:
    keys = {"access_key_id": "id", "secret_access_key": "s3cr3t-key", "region": "us-east-1"}
    sink = S3Folder("s3://pictures/videos", endpoint=made.endpoint, **keys)
    assert "s3cr3t" not in repr(sink)
    request = VideoRequest(model="seedance_2_0_fast_pro", prompt="x")
    async with (
        Emulator(speed=600) as emulator,
        SeedanceSession(emulator.api_key, base_url=emulator.base_url, pacing=Fixed(0.1)) as session,
    ):
        video = await session.generate(request)
        where, size_bytes = await sink.keep(video, "a.mp4")
        assert where == "s3://pictures/videos/a.mp4"
        made.forbids = ("PUT",)
        with pytest.raises(DownloadError, match="AccessDenied") as caught:
            await sink.keep(video, "b.mp4")
    assert caught.value.task_id == video.id
    status, kind, content = await fetch(await sink._bucket.sign("a.mp4", 60))
    assert (status, kind, len(content)) == (200, "video/mp4", size_bytes)
    with pytest.raises(ValueError, match="s3://bucket/prefix"):
        S3Folder("s3:/pictures")
