"""Audiences: who is in them, files as each tool imports them, and a webhook of changes only."""

import base64
import csv
import hashlib
import hmac
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from include.insights import audiences, webhook
from include.insights.audiences import AudienceError, e164, export, file, google_address, hashed
from include.insights.snapshot import latest
from include.insights.webhook import Webhook, WebhookError
from include.settings import Settings
from tests.insights.snapshots import TABLES, Rows, write_snapshot

SECRET = "whsec_" + base64.b64encode(b"a key of these tests, 32 bytes!!").decode()
CONTACTS: Rows = [
    {"customer_id": 1, "email": " Ann.Lee@Gmail.com ", "phone": "+49 (0)30 1234-56", "consent": True},
    {"customer_id": 2, "email": "bob@example.org", "phone": "+1 500 555 0006", "consent": False},
    {"customer_id": 3, "email": "=cmd|'/C calc'!A0", "phone": "030 123456", "consent": True},
    {"customer_id": 4, "email": "dan@example.org", "phone": None, "consent": None},
    {"customer_id": 5, "email": None, "phone": "0049 30 123456", "consent": True},
]


def customers(segment: int) -> Rows:
    """Return the first five customers, all in one segment."""
    rows = [row for row in TABLES["customers"]() if row["customer_id"] <= 5]
    return [{**row, "segment_id": segment, "segment_name": "Champions (VIPs)"} for row in rows]


@pytest.fixture
def with_contacts(tmp_path: Path) -> Any:
    return latest(write_snapshot(tmp_path, customers=customers(3), contacts=CONTACTS))


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(text, newline="")))


def test_every_segment_every_stage_and_who_is_at_risk_is_one(snapshot: Any) -> None:
    found = {one.key: one.customer_count for one in audiences.names(snapshot)}
    rows = TABLES["customers"]()
    for segment in range(5):
        assert found[f"segment-{segment}"] == sum(row["segment_id"] == segment for row in rows)
    for stage in {row["lifecycle_stage"] for row in rows}:
        key = f"stage-{stage.lower().replace(' ', '-')}"
        assert found[key] == sum(row["lifecycle_stage"] == stage for row in rows)
    overdue = {row["customer_id"] for row in TABLES["fct_at_risk_customers"]() if row["is_overdue"]}
    assert found["at-risk"] == len(overdue)
    assert {row["customer_id"] for row in audiences.members(snapshot, "at-risk")} == overdue


@pytest.mark.parametrize("target", audiences.TARGETS)
def test_without_contacts_a_file_has_customer_ids_and_says_so(snapshot: Any, target: str) -> None:
    made = file(snapshot, "segment-3", target)
    assert made.name == "segment-3_customer-ids-only_2019-12-31.csv"
    rows = read(made.text)
    assert len(rows) == made.rows == 60
    assert "email" not in rows[0]
    assert set(rows[0]) == set(audiences.GENERIC)


def test_klaviyo_gets_who_consented_with_international_numbers(with_contacts: Any) -> None:
    rows = read(file(with_contacts, "segment-3", "klaviyo").text)
    assert [(row["Email"], row["Phone Number"], row["External ID"]) for row in rows] == [
        ("ann.lee@gmail.com", "+493012345" + "6", "1"),
        ("", "+4930123456", "5"),
    ]


def test_mailchimp_needs_an_address(with_contacts: Any) -> None:
    [row] = read(file(with_contacts, "segment-3", "mailchimp").text)
    assert row["Email Address"] == "ann.lee@gmail.com"
    assert row["Phone Number"] == "+49 (0)30 1234-56", "a phone number is not defused"
    assert row["Tags"] == "Segment Champions (VIPs)"


def test_google_ads_gets_nothing_in_plain(with_contacts: Any) -> None:
    text = file(with_contacts, "segment-3", "google-ads").text
    assert "@" not in text
    assert text.splitlines()[0] == "Email,Phone", (
        "the headers that Customer Match asks for, without a mark before"
    )
    rows = read(text)
    assert rows[0] == {
        "Email": hashlib.sha256(b"annlee@gmail.com").hexdigest(),
        "Phone": hashlib.sha256(b"+4930123456").hexdigest(),
    }
    assert [row["Email"] for row in rows[1:]] == [""]


def test_the_generic_file_has_everybody_and_addresses_by_consent_only(with_contacts: Any) -> None:
    rows = {row["customer_id"]: row for row in read(file(with_contacts, "segment-3", "generic").text)}
    assert set(rows) == {"1", "2", "3", "4", "5"}
    assert (rows["2"]["email"], rows["2"]["phone"], rows["4"]["email"]) == ("", "", "")
    assert rows["3"]["email"] == "'=cmd|'/C calc'!A0"
    assert rows["1"]["phone"] == "+49 (0)30 1234-56"


@pytest.mark.parametrize(
    ("key", "target", "said"),
    [
        ("segment-9", "generic", "There is no audience 'segment-9'"),
        ("at-risk", "facebook", "There is no target 'facebook'"),
    ],
)
def test_another_audience_or_target_is_refused(snapshot: Any, key: str, target: str, said: str) -> None:
    with pytest.raises(AudienceError, match=said):
        file(snapshot, key, target)


@pytest.mark.parametrize(
    ("phone", "number"),
    [
        ("+49 (0)30 123456", "+4930123456"),
        ("0049 30 123456", "+4930123456"),
        ("+1 (500) 555-0006", "+15005550006"),
        ("030 123456", ""),
        ("call me", ""),
        ("+0123456789", ""),
        (None, ""),
    ],
)
def test_a_number_without_country_is_none(phone: str | None, number: str) -> None:
    assert e164(phone) == number


def test_an_address_is_hashed_as_google_does() -> None:
    assert google_address("A.b.C@GoogleMail.com") == "abc@googlemail.com"
    assert google_address("A.b@Example.org") == "a.b@example.org"
    # The well-known digest of "test@gmail.com".
    assert hashed("test@gmail.com") == "87924606b4131a8aceeeae8868531fbb9712aaa07a5d3a756b26ce0f5d6ca674"


class Receiver:
    """A tool that takes messages: it proves each one, and fails as often as it is told to."""

    def __init__(self, *statuses: int) -> None:
        self.statuses = list(statuses)
        self.seen: list[tuple[str, dict[str, Any]]] = []  # id and message, refused ones too
        self.taken: dict[str, dict[str, Any]] = {}

    def take(self, headers: Any, body: bytes) -> int:
        key = base64.b64decode(SECRET.removeprefix("whsec_"))
        signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
        expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
        assert hmac.compare_digest(headers["webhook-signature"], f"v1,{expected}")
        message = json.loads(body)
        assert str(message["timestamp"]) == headers["webhook-timestamp"]
        self.seen.append((headers["webhook-id"], message["data"]))
        status = self.statuses.pop(0) if self.statuses else 204
        if status < 300:
            self.taken[headers["webhook-id"]] = message["data"]
        return status


@contextmanager
def listening(receiver: Receiver) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            status = receiver.take(self.headers, self.rfile.read(int(self.headers["content-length"])))
            self.send_response(status)
            if status == 302:
                self.send_header("location", "http://127.0.0.1:1/elsewhere")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/s3cret-path"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


Export = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def exported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[Receiver], Export]:
    """Return what exports to a receiver, without waiting between attempts."""
    monkeypatch.setattr(webhook, "wait_exponential_jitter", lambda *_args, **_more: 0)

    def of(receiver: Receiver) -> Export:
        def run(location: str, **params: Any) -> list[dict[str, Any]]:
            with listening(receiver) as url:
                settings = Settings(audiences_webhook_url=url, audiences_webhook_secret=SECRET)
                return export(location, params, settings)

        return run

    return of


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["customer_id"] for row in rows]


def test_only_changes_are_sent(tmp_path: Path, exported: Callable[[Receiver], Export]) -> None:
    receiver = Receiver()
    run = exported(receiver)
    location = write_snapshot(tmp_path, "20260105T000000Z", customers=customers(3), contacts=CONTACTS)
    assert run(location, audiences=["segment-3"]) == [
        {"audience": "segment-3", "entered": 5, "left": 0, "sent": True}
    ]
    [first] = receiver.taken.values()
    assert (ids(first["entered"]), first["left"], first["previous_snapshot_id"]) == (
        [1, 2, 3, 4, 5],
        [],
        None,
    )
    assert first["entered"][0]["phone"] == "+49 (0)30 1234-56"
    assert "email" not in first["entered"][1], "no consent"

    assert run(location, audiences=["segment-3"])[0]["entered"] == 0
    assert len(receiver.taken) == 1, "nothing changed, so nothing was sent"

    moved = [{**row, "segment_id": 3 if row["customer_id"] != 2 else 4} for row in customers(3)[:4]]
    write_snapshot(tmp_path, "20260106T000000Z", customers=moved, contacts=CONTACTS)
    run(location, audiences=["segment-3"])
    second = list(receiver.taken.values())[1]
    assert (second["entered"], ids(second["left"])) == ([], [2, 5])
    assert (second["previous_snapshot_id"], second["snapshot_id"]) == ("20260105T000000Z", "20260106T000000Z")


def test_an_audience_that_loses_its_last_customer_is_told_of(
    tmp_path: Path, exported: Callable[[Receiver], Export]
) -> None:
    receiver = Receiver()
    run = exported(receiver)
    location = write_snapshot(tmp_path, "20260105T000000Z", customers=customers(3))
    export(location, {}, Settings(audiences_files="generic"))
    run(location)
    assert (tmp_path / "audiences" / "segment-3_customer-ids-only.csv").exists()

    write_snapshot(tmp_path, "20260106T000000Z", customers=customers(4))
    found = {one["audience"]: one for one in run(location)}

    assert found["segment-3"] == {"audience": "segment-3", "entered": 0, "left": 5, "sent": True}
    [message] = [one for one in receiver.taken.values() if one["audience"] == "segment-3" and one["left"]]
    assert ids(message["left"]) == [1, 2, 3, 4, 5]
    assert not list((tmp_path / "audiences").glob("segment-3_*.csv")), "nobody is in it any more"


def test_a_busy_receiver_is_asked_again_with_the_same_id(
    tmp_path: Path, exported: Callable[[Receiver], Export]
) -> None:
    receiver = Receiver(503, 429, 500)
    location = write_snapshot(tmp_path, customers=customers(3))
    exported(receiver)(location, audiences=["segment-3"])
    assert len(receiver.seen) == 4
    assert len({key for key, _ in receiver.seen}) == len(receiver.taken) == 1


@pytest.mark.parametrize("statuses", [(400,), (302,), (500,) * 5])
def test_what_was_not_taken_is_sent_again_by_the_next_run(
    tmp_path: Path, exported: Callable[[Receiver], Export], statuses: tuple[int, ...]
) -> None:
    receiver = Receiver(*statuses)
    run = exported(receiver)
    location = write_snapshot(tmp_path, customers=customers(3))
    with pytest.raises(WebhookError, match=f"answered {statuses[0]}") as error:
        run(location, audiences=["segment-3"])
    assert "s3cret" not in str(error.value)
    assert len(receiver.seen) == len(statuses)
    run(location, audiences=["segment-3"])
    assert len({key for key, _ in receiver.seen}) == 1, "the receiver can tell that it is the same"
    assert len(receiver.taken) == 1


def test_many_changes_are_sent_in_parts_that_add_up(
    tmp_path: Path, exported: Callable[[Receiver], Export], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(audiences, "CHANGES_A_MESSAGE", 2)
    receiver = Receiver()
    location = write_snapshot(tmp_path, customers=customers(3))
    exported(receiver)(location, audiences=["segment-3"])
    parts = list(receiver.taken.values())
    assert [(one["part"], one["parts"]) for one in parts] == [(1, 3), (2, 3), (3, 3)]
    assert [one for part in parts for one in ids(part["entered"])] == [1, 2, 3, 4, 5]


def test_a_dry_run_counts_and_changes_nothing(tmp_path: Path, exported: Callable[[Receiver], Export]) -> None:
    receiver = Receiver()
    location = write_snapshot(tmp_path, customers=customers(3))
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    [found] = exported(receiver)(location, audiences=["segment-3"], dry_run=True)
    assert found == {"audience": "segment-3", "entered": 5, "left": 0, "sent": False}
    assert receiver.seen == []
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == before


def test_all_audiences_are_exported_by_default_and_files_by_setting(tmp_path: Path) -> None:
    location = write_snapshot(tmp_path, contacts=CONTACTS)
    found = export(location, {}, Settings(audiences_files="generic, google-ads"))
    known = {one.key for one in audiences.names(latest(location))}
    assert {one["audience"] for one in found} == known
    assert not any(one["sent"] for one in found), "there is no address to send to"
    written = {path.name for path in (tmp_path / "audiences").glob("*.csv")}
    assert written == {f"{key}_{target}.csv" for key in known for target in ("generic", "google-ads")}


def test_a_customer_is_erased_from_every_file(tmp_path: Path, exported: Callable[[Receiver], Export]) -> None:
    location = write_snapshot(tmp_path, customers=customers(3), contacts=CONTACTS)
    export(location, {}, Settings(audiences_files=", ".join(audiences.TARGETS)))
    exported(Receiver())(location, audiences=["segment-3"])
    assert audiences.erase(1, location)["segment-3_klaviyo.csv"] == 1
    left = {path.name: path.read_text() for path in (tmp_path / "audiences").rglob("*.csv")}
    assert "segment-3.csv" in left, "what was delivered, too"
    assert not any("google-ads" in name for name in left)
    for name, text in left.items():
        assert "ann.lee" not in text.lower(), name
        assert not any(value == "1" for row in read(text) for value in row.values()), name
    assert "'=cmd|'/C calc'!A0" in left["segment-3_generic.csv"]
    assert "''=cmd" not in left["segment-3_generic.csv"]
    assert audiences.erase(1, location) == {}


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"audiences_webhook_url": "http://tool.example.org/hook"}, "must be an https address"),
        ({"audiences_webhook_url": "https://tool.example.org/hook"}, "AUDIENCES_WEBHOOK_SECRET is not set"),
        (
            {
                "audiences_webhook_url": "https://tool.example.org/hook",
                "audiences_webhook_secret": "whsec_short",
            },
            "24 to 64 bytes in base64",
        ),
    ],
)
def test_a_bad_setting_is_named_and_its_value_is_not(values: dict[str, Any], said: str) -> None:
    with pytest.raises(WebhookError, match=said) as error:
        Webhook.of(Settings(**values))
    assert "tool.example.org" not in str(error.value)
    assert "whsec_short" not in str(error.value)


def test_the_signature_is_that_of_standard_webhooks() -> None:
    """The example of the specification."""
    key = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
    body = b'{"test": 2432232314}'
    made = webhook.signature(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, body)
    assert made == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
