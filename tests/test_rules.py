"""The rule table, against the golden file and by its own data."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedance_async import InvalidRequest, VideoRequest
from seedance_async.hosts import is_public
from seedance_async.rules import RULE_IDS, RULES, Stage, violations
from seedance_async.wire import WIRE_NAMES, given_fields, spell_violation

GOLDEN = [
    json.loads(line)
    for line in (Path(__file__).parent / "golden" / "requests.jsonl")
    .read_text("utf-8")
    .splitlines()
]
GOOD = [case for case in GOLDEN if not case["rules"]]
BAD = [case for case in GOLDEN if case["rules"]]


def named(cases: list[dict[str, Any]]) -> Any:
    return pytest.mark.parametrize("case", cases, ids=lambda case: case["name"])


def test_the_golden_file_is_large_and_covers_every_rule_of_construction() -> None:
    assert len(GOOD) >= 30
    assert len(BAD) >= 30
    broken = {rule for case in BAD for rule in case["rules"]}
    assert broken == {rule.id for rule in RULES if rule.stage is Stage.CONSTRUCTION}


@named(GOOD)
def test_a_good_case_is_sent_field_for_field(case: dict[str, Any]) -> None:
    request = VideoRequest.from_wire(case["wire"])
    assert request.to_wire() == case["sent"]
    assert VideoRequest.from_wire(request.to_wire()) == request


@named(BAD)
def test_a_bad_case_names_all_its_rules(case: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest) as caught:
        VideoRequest.from_wire(case["wire"])
    assert sorted({violation.rule for violation in caught.value.violations}) == case["rules"]


@named(BAD)
def test_a_rule_that_is_switched_off_is_not_named(case: dict[str, Any]) -> None:
    for rule in case["rules"]:
        found = violations(given_fields(case["wire"]), waive=[rule])
        assert {violation.rule for violation in found} == set(case["rules"]) - {rule}


def test_the_pages_own_example_is_refused_with_the_twin_to_use_and_can_be_waived() -> None:
    page = next(case for case in BAD if case["name"] == "the_pages_own_curl")["wire"]
    with pytest.raises(InvalidRequest, match="use seedance_2_0_pro") as caught:
        VideoRequest.from_wire(page)
    assert [violation.rule for violation in caught.value.violations] == [
        "model.needs_reference_video"
    ]
    knows_better = VideoRequest(
        model="seedance_2_0",
        prompt=page["prompt"],
        duration=10,
        waive="model.needs_reference_video",
    )
    assert knows_better.to_wire() == page


def test_rule_ids_are_unique_and_speak_of_fields_that_exist() -> None:
    assert len(RULE_IDS) == len(RULES)
    for rule in RULES:
        assert set(rule.fields) <= set(WIRE_NAMES)
        assert rule.requirement.endswith(".")


def test_no_message_quotes_a_media_reference_or_a_prompt() -> None:
    for case in BAD:
        for violation in violations(given_fields(case["wire"])):
            assert "sig=" not in violation.message
            assert "://user" not in violation.message


def test_a_servers_violation_speaks_the_wires_language() -> None:
    found = violations({"model": "seedance_2_0", "prompt": "x", "reference_images": []})
    spelled = [spell_violation(violation) for violation in found]
    assert [violation.field for violation in spelled] == ["referenceImages", "model"]
    assert "referenceVideos" in spelled[1].message


PRIVATE = """
localhost LOCALHOST localhost. printer.local a.localhost db.internal nas.lan router
127.0.0.1 127.1 127.0.1 2130706433 0x7f000001 0x7f.1 0177.0.0.1 017700000001 0 0.0.0.0 10.1.2.3
172.16.0.1 172.31.255.255 192.168.1.1 169.254.169.254 100.64.0.1 192.0.2.7 198.18.0.1 224.0.0.1
255.255.255.255 240.0.0.1 [::1] ::1 [::] [fe80::1] [fe80::1%25eth0] [fc00::1] [fd12::1]
[::ffff:127.0.0.1] [::ffff:7f00:1] [64:ff9b::7f00:1] [2002:7f00:1::] [ff02::1]
127.0.0。1 my.printer。local a.localhost。 [::127.0.0.1] [fec0::1] [64:ff9b:1::7f00:1]
[::ffff:0:127.0.0.1] 127.0.0.1%00 a.local%C2%ADhost
%31%32%37.0.0.1 １２７.0.0.1 127。0。0。1 ⓛocalhost 127.0.0.1. home.arpa box.home.arpa x.onion
""".split()
PUBLIC = """
example.com EXAMPLE.COM cdn.example media.test 8.8.8.8 134744072 0x08080808 1.1 1.1.1.1
172.32.0.1 192.169.0.1 [2606:4700:4700::1111] [64:ff9b::808:808] münchen.de xn--mnchen-3ya.de
例え。jp 例え.jp [::8.8.8.8]
localhost.example.com 127.0.0.1.example.com local.example.com 1.2.3.4.5 256.1.1.1.example.com
""".split()


@pytest.mark.parametrize("host", PRIVATE)
def test_a_private_host_is_known_in_any_spelling(host: str) -> None:
    assert not is_public(host)


@pytest.mark.parametrize("host", PUBLIC)
def test_a_public_host_is_left_alone(host: str) -> None:
    assert is_public(host)


@given(st.text())
def test_any_text_is_judged_without_failing(host: str) -> None:
    assert is_public(host) in (True, False)


@given(
    st.dictionaries(
        st.sampled_from(sorted(WIRE_NAMES)),
        st.one_of(
            st.none(), st.booleans(), st.integers(), st.floats(), st.text(), st.lists(st.text())
        ),
    )
)
def test_any_fields_are_judged_without_failing(fields: dict[str, Any]) -> None:
    for violation in violations(fields):
        assert violation.rule in RULE_IDS
        assert violation.message


@pytest.mark.parametrize(
    "reference",
    ["http://127.0.0.1/a.png", "https://localhost:8000/a", "http://2130706433/a", "http://[::1]/a"],
)
def test_private_hosts_pass_at_construction_and_break_media_public_at_submission(
    reference: str,
) -> None:
    request = VideoRequest(model="seedance_2_0_pro", prompt="x", first_image=reference)
    with pytest.raises(InvalidRequest) as caught:
        request.check_submission()
    assert [violation.rule for violation in caught.value.violations] == ["media.public"]


def test_assets_and_public_hosts_pass_at_submission() -> None:
    VideoRequest(
        model="seedance_2_0_pro",
        prompt="x",
        reference_images=["asset://asset-20260330142158-q75m8", "https://cdn.example.com/a.png"],
    ).check_submission()
    VideoRequest(
        model="seedance_2_0_pro",
        prompt="x",
        first_image="http://10.0.0.1/a",
        waive=["media.public"],
    ).check_submission()
