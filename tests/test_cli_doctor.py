"""``seedance doctor``: what it finds, against servers that have what is to be found."""

from __future__ import annotations

import contextlib
import datetime as dt
import http.server
import ipaddress
import json
import socket
import ssl
import threading
from collections.abc import Callable, Iterator
from email.utils import format_datetime
from pathlib import Path
from typing import Any

import pytest
from cli_process import account, emulating, run
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from seedance_async.cli.app import run as command
from seedance_async.cli.reach import NO_TASK

KEY = "sk-0123456789abcdefghij"
NOW = dt.datetime.now(dt.UTC)
Found = dict[str, tuple[str, str, str]]
Doctor = Callable[..., tuple[int, Found]]


@contextlib.contextmanager
def serving(
    *, status: int = 404, body: str = '{"error": "no such task"}', date: dt.datetime | None = None,
    context: ssl.SSLContext | None = None, **headers: str,
) -> Iterator[tuple[str, list[tuple[str, str]]]]:  # fmt: skip
    """Answer every call so; gives the address, and what was asked with which authorization."""
    asked: list[tuple[str, str]] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization", "")))
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body.encode())

        def date_time_string(self, timestamp: float | None = None) -> str:
            # Not the time of the import: a run of all tests takes minutes.
            return format_datetime(date or dt.datetime.now(dt.UTC), usegmt=True)

        def log_message(self, *args: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.handle_error = lambda *_: None  # type: ignore[method-assign]
    if context is not None:
        server.socket = context.wrap_socket(server.socket, server_side=True)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        scheme = "http" if context is None else "https"
        yield f"{scheme}://127.0.0.1:{server.server_port}", asked
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def certificate(folder: Path, days: int) -> tuple[ssl.SSLContext, Path]:
    """Make a server's certificate that nobody has signed but itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    host = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(NOW - dt.timedelta(days=days + 30))
        .not_valid_after(NOW + dt.timedelta(days=days))
        .add_extension(host, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    form, pem = serialization.PrivateFormat.PKCS8, serialization.Encoding.PEM
    file = folder / "server.pem"
    file.write_bytes(
        key.private_bytes(pem, form, serialization.NoEncryption()) + made.public_bytes(pem)
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context, file


@pytest.fixture
def doctor(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Doctor:
    monkeypatch.chdir(tmp_path)
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)

    def examined(*words: str, **env: str) -> tuple[int, Found]:
        for name, value in env.items():
            monkeypatch.setenv(name, value)
        code = command(["doctor", "--json", *words])
        told = capsys.readouterr()
        assert KEY not in told.out + told.err
        lines = map(json.loads, told.out.splitlines())
        return code, {one["check"]: (one["level"], one["says"], one["hint"]) for one in lines}

    return examined


def test_all_is_well_at_an_emulator(tmp_path: Path) -> None:
    with emulating() as emulator:
        ran = run("doctor", cwd=tmp_path, env=account(emulator))
        assert not emulator.accepted_ids
    assert (ran.returncode, "all is well" in ran.stderr) == (0, False), ran.stdout
    checks = {line[9:21].strip(): line for line in ran.stdout.splitlines()}
    assert checks["API"].startswith("ok       API          the key is taken")
    assert checks["clock"].split(maxsplit=2)[2] == "as the service's"
    assert "is short for a key" in checks["key"]
    assert emulator.api_key not in checks["key"].partition("from SEEDANCE_API_KEY")[2]
    assert "seedance-async" in checks["versions"]


def test_an_emulator_in_the_process_does_as_well(doctor: Doctor) -> None:
    code, found = doctor("--emulate")
    assert (code, found["API"][0], found["journal"][1]) == (0, "ok", "none here")


def test_one_harmless_call_is_made_and_the_key_goes_nowhere_else(doctor: Doctor) -> None:
    with serving() as (other, asked_there), serving(
        status=302, Location=f"{other}/v1/result/x"
    ) as (url, asked):  # fmt: skip
        code, found = doctor(SEEDANCE_API_KEY=KEY, SEEDANCE_BASE_URL=url)
    assert asked == [(f"/v1/result/{NO_TASK}", f"Bearer {KEY}")]
    assert asked_there == []
    assert (code, found["API"][:2]) == (1, ("problem", "HTTP 302: the address leads elsewhere"))


ANSWERS: list[tuple[dict[str, Any], str, str]] = [
    ({"status": 404}, "ok", "the key is taken"),
    ({"status": 200, "body": '{"code": 1, "msg": "no"}'}, "ok", "the key is taken"),
    ({"status": 401}, "problem", "the key is refused (HTTP 401: no such task)"),
    ({"status": 403, "body": f'{{"error": "bad {KEY}"}}'}, "problem", "the key is refused"),
    ({"status": 402}, "warning", "the key is taken"),
    ({"status": 429}, "warning", "HTTP 429"),
    ({"status": 502, "body": "<html>"}, "warning", "HTTP 502"),
    ({"status": 404, "body": "<html>"}, "problem", "HTTP 404 with HTML instead of JSON: not the"),
    ({"status": 200, "body": ""}, "problem", "HTTP 200 with an empty body: not the API"),
]


@pytest.mark.parametrize(("answer", "level", "says"), ANSWERS)
def test_an_answer_tells_whether_the_key_is_taken(
    doctor: Doctor, answer: dict[str, Any], level: str, says: str
) -> None:
    with serving(**answer) as (url, _):
        code, found = doctor(SEEDANCE_API_KEY=KEY, SEEDANCE_BASE_URL=url)
    problems = {name: told for name, told in found.items() if told[0] == "problem"}
    assert set(problems) == ({"API"} if level == "problem" else set()), problems
    assert (code, found["API"][0], says in found["API"][1]) == (level == "problem", level, True)
    assert found["key"][:2] == ("ok", "from SEEDANCE_API_KEY, 20 to 39 characters")


@pytest.mark.parametrize(
    ("ahead", "level", "says"),
    [(0, "ok", "as the"), (100, "warning", "behind"), (-4000, "problem", "ahead of")],
)
def test_a_wrong_clock_is_found_by_the_date_of_the_answer(
    doctor: Doctor, ahead: int, level: str, says: str
) -> None:
    date = dt.datetime.now(dt.UTC) + dt.timedelta(seconds=ahead)
    with serving(date=date) as (url, _):
        code, found = doctor(SEEDANCE_API_KEY=KEY, SEEDANCE_BASE_URL=url)
    assert (code, found["clock"][0], says in found["clock"][1]) == (level == "problem", level, True)


def test_a_certificate_is_checked_and_its_end_is_told(doctor: Doctor, tmp_path: Path) -> None:
    soon, file = certificate(tmp_path, days=5)
    with serving(context=soon) as (url, asked):
        code, found = doctor(SEEDANCE_API_KEY=KEY, SEEDANCE_BASE_URL=url)
        assert (code, found["TLS"][0], "API" in found) == (1, "problem", False)
        assert "self-signed certificate" in found["TLS"][1]
        assert asked == []
        code, found = doctor(SSL_CERT_FILE=str(file))
    assert found["TLS"][0] == "warning"
    assert f"good until {NOW + dt.timedelta(days=5):%Y-%m-%d}" in found["TLS"][1]
    with serving() as (url, _):
        code, found = doctor(SEEDANCE_BASE_URL=url.replace("http", "https"))
    assert (code, found["TLS"][0], "is it https at all" in found["TLS"][2]) == (1, "problem", True)


def test_what_is_wrong_before_anything_is_asked(doctor: Doctor) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{closed.getsockname()[1]}"
        code, found = doctor(SEEDANCE_API_KEY="Bearer x", SEEDANCE_BASE_URL=nobody)
    assert (code, found["TCP"][0], found["key"][0]) == (1, "problem", "problem")
    assert "no quotes, no word Bearer" in found["key"][2]
    proxy = "http://me:pass@proxy.example.com:3128"
    _, found = doctor(SEEDANCE_API_KEY="'abc'", SEEDANCE_BASE_URL=f"{nobody}/v1", HTTPS_PROXY=proxy)
    assert found["key"][0] == found["base URL"][0] == found["proxy"][0] == "warning"
    assert found["proxy"][1].startswith("https_proxy = proxy.example.com:3128: set, and not")
    _, found = doctor(SEEDANCE_API_KEY="", SEEDANCE_BASE_URL="ftp://x")
    assert (found["key"][0], found["base URL"][0]) == ("problem", "problem")
    Path("seedance.sqlite").write_text("something else" * 100)
    _, found = doctor()
    assert (found["journal"][0], "file is not a database" in found["journal"][1]) == (
        "problem", True,
    )  # fmt: skip


def test_a_broken_config_is_one_problem_among_the_others(doctor: Doctor, tmp_path: Path) -> None:
    (tmp_path / "c.toml").write_text("[profiles.a]\nfoo = 1\n")
    code, found = doctor(SEEDANCE_CONFIG=str(tmp_path / "c.toml"))
    assert (code, found["config"][0], found["account"][0]) == (1, "problem", "problem")
    (tmp_path / "c.toml").write_text("[profiles.a]\nkey_env = 'NO_SUCH'\n")
    code, found = doctor("--profile", "a")
    assert (found["config"][0], found["key"][0]) == ("ok", "problem")
    assert "no API key: NO_SUCH is not set (profile a takes" in found["key"][1]
