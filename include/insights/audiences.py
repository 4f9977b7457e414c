"""Lists of customers for other tools: files as Klaviyo, Mailchimp and Google Ads import them, and a webhook.

An audience is a segment, a lifecycle stage or who is at risk. E-mail addresses and phone numbers come from
the optional sixth file, and leave only with the customer's consent; without that file there are customer ids
only, and each file's name says so. `export` is the task of the DAG: files, and to the webhook who entered and
who left.
"""

import csv
import hashlib
import io
import logging
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from include.insights.block import Row
from include.insights.snapshot import Snapshot, latest
from include.insights.spreadsheet import to_csv
from include.insights.webhook import Webhook
from include.settings import Settings, get_settings
from include.storage import open_folder, replace_file

log = logging.getLogger(__name__)

AT_RISK = "at-risk"
TARGETS = {"generic": "any tool", "klaviyo": "Klaviyo", "mailchimp": "Mailchimp", "google-ads": "Google Ads"}
IDS_ONLY = "customer-ids-only"
CHANGES_A_MESSAGE = 1000
FOLDER, DELIVERED = "audiences", "delivered"
ID_COLUMNS = ("customer_id", "External ID", "Customer ID")
_E164 = re.compile(r"^\+[1-9][0-9]{6,14}$")
_EMAIL = re.compile(r"^[^@\s]+@[^@\s]+\.[^@\s]+$")
_GMAIL = {"gmail.com", "googlemail.com"}


class AudienceError(ValueError):
    """There is no such audience or target; the message names those that there are."""


@dataclass(frozen=True)
class Audience:
    """A list of customers: its key in addresses and files, its name for a reader, and how many it holds."""

    key: str
    label: str
    customer_count: int


@dataclass(frozen=True)
class AudienceFile:
    """A file to download, with the number of its customers."""

    name: str
    text: str
    rows: int


@dataclass(frozen=True)
class Change:
    """Who entered and who left an audience since what was last delivered, and whether it was sent."""

    audience: str
    entered: int
    left: int
    sent: bool


@lru_cache(maxsize=2)
def names(snapshot: Snapshot) -> tuple[Audience, ...]:
    """Return all audiences of a snapshot: at risk, each segment, each lifecycle stage."""
    if not {"customers", "fct_at_risk_customers"} <= snapshot.tables:
        return ()
    rows = snapshot.query(
        """
        select 'at-risk' as key, 'At risk' as label, count(*) as customer_count, 0 as place
        from fct_at_risk_customers where is_overdue
        union all
        select 'segment-' || segment_id, 'Segment ' || segment_name, count(*), 1
        from customers where segment_id is not null group by segment_id, segment_name
        union all
        select 'stage-' || lower(replace(lifecycle_stage, ' ', '-')), 'Stage ' || lifecycle_stage, count(*), 2
        from customers where lifecycle_stage is not null group by lifecycle_stage
        order by place, key
        """
    )
    return tuple(Audience(row["key"], row["label"], row["customer_count"]) for row in rows)


def members(snapshot: Snapshot, key: str) -> list[Row]:
    """Return an audience's customers by id; `email` and `phone` are None without consent.

    Raises AudienceError.
    """
    known = [audience.key for audience in names(snapshot)]
    if key not in known:
        raise AudienceError(f"There is no audience {key[:40]!r}: take one of {', '.join(known)}.")
    has_contacts = "contacts" in snapshot.tables
    contact = "contacts.email, contacts.phone, coalesce(contacts.consent, false) as consent"
    nothing = "null as email, null as phone, false as consent"
    rows = snapshot.query(
        f"""
        select
            customers.customer_id, segment_name, lifecycle_stage, last_purchase_date,
            days_since_last_purchase, net_sales_amount, purchase_probability, next_best_action,
            {contact if has_contacts else nothing}
        from customers
        {"left join contacts using (customer_id)" if has_contacts else ""}
        where
            customer_id is not null
            and (
                'segment-' || segment_id = $key
                or 'stage-' || lower(replace(lifecycle_stage, ' ', '-')) = $key
                or (
                    $key = '{AT_RISK}'
                    and customer_id in (select customer_id from fct_at_risk_customers where is_overdue)
                )
            )
        order by customer_id
        """,  # noqa: S608 (our own words)
        {"key": key},
    )
    for row in rows:
        if not row["consent"]:
            row["email"] = row["phone"] = None
    return rows


def file(snapshot: Snapshot, key: str, target: str) -> AudienceFile:
    """Return an audience as a file for a tool. Raises AudienceError for an unknown one.

    Files for a tool hold customers with consent and an address only; the generic one holds all.
    """
    if target not in TARGETS:
        raise AudienceError(f"There is no target {target[:40]!r}: take one of {', '.join(TARGETS)}.")
    rows = members(snapshot, key)
    if "contacts" not in snapshot.tables:
        target = "generic"
        return _file(
            f"{key}_{IDS_ONLY}_{snapshot.as_of_date}.csv",
            [_generic(row, contacts=False) for row in rows],
            GENERIC,
        )
    name = f"{key}_{target}_{snapshot.as_of_date}.csv"
    if target == "generic":
        return _file(name, [_generic(row, contacts=True) for row in rows], (*GENERIC, *CONTACTS))
    header, line = _FORMS[target]
    label = next(audience.label for audience in names(snapshot) if audience.key == key)
    lines = [made for row in rows if (made := line(row, label))]
    return _file(name, lines, header)


def _file(name: str, lines: list[list[Any]], header: tuple[str, ...]) -> AudienceFile:
    return AudienceFile(name, to_csv(header, lines), len(lines))


GENERIC = (
    "customer_id",
    "segment_name",
    "lifecycle_stage",
    "last_purchase_date",
    "days_since_last_purchase",
    "net_sales_amount",
    "purchase_probability",
    "next_best_action",
)
CONTACTS = ("email", "phone", "consent")


def _generic(row: Row, *, contacts: bool) -> list[Any]:
    return [row[key] for key in ((*GENERIC, *CONTACTS) if contacts else GENERIC)]


def _klaviyo(row: Row, label: str) -> list[Any] | None:
    """Return a line of Klaviyo's list import: the phone number in E.164, our id as external id."""
    email, phone = _address(row), e164(row["phone"])
    if not (email or phone):
        return None
    return [email, phone, row["customer_id"], label, row["lifecycle_stage"], row["net_sales_amount"]]


def _mailchimp(row: Row, label: str) -> list[Any] | None:
    """Return a line of Mailchimp's import, which needs an e-mail address; the audience becomes a tag."""
    email = _address(row)
    return [email, row["phone"], label, row["customer_id"], row["lifecycle_stage"]] if email else None


def _google_ads(row: Row, _label: str) -> list[Any] | None:
    """Return a line of Customer Match: normalised, then SHA-256, so that no address is uploaded in plain."""
    email, phone = _address(row), e164(row["phone"])
    if not (email or phone):
        return None
    return [hashed(google_address(email)) if email else "", hashed(phone) if phone else ""]


_FORMS: dict[str, tuple[tuple[str, ...], Callable[[Row, str], list[Any] | None]]] = {
    "klaviyo": (("Email", "Phone Number", "External ID", "Audience", "Lifecycle Stage", "Revenue"), _klaviyo),
    "mailchimp": (("Email Address", "Phone Number", "Tags", "Customer ID", "Lifecycle Stage"), _mailchimp),
    "google-ads": (("Email", "Phone"), _google_ads),
}


def _address(row: Row) -> str:
    """Return the e-mail address in lower case, or nothing where it has no address's form."""
    text = (row["email"] or "").strip().lower()
    return text if _EMAIL.match(text) else ""


def e164(phone: str | None) -> str:
    """Return a phone number with country code as E.164, as in +4930123456; nothing for one without."""
    text = re.sub(r"\(0\)|[\s().\-/]", "", phone or "")
    text = f"+{text[2:]}" if text.startswith("00") else text
    return text if _E164.match(text) else ""


def google_address(email: str) -> str:
    """Return an address as Google hashes it: in lower case, without the dots of a Gmail name."""
    name, _, host = email.strip().lower().rpartition("@")
    return f"{name.replace('.', '') if host in _GMAIL else name}@{host}"


def hashed(text: str) -> str:
    """Return the SHA-256 of a text, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


def export(
    location: str, params: Mapping[str, Any], settings: Settings | None = None
) -> list[dict[str, Any]]:
    """Write the files that the settings ask for, send the webhook who entered and left; return the counts.

    params: `dry_run` (nothing is written or sent) and `audiences` (keys; default: all). What was delivered is
    remembered beside the snapshots, by audience and only after the webhook took it, so that a failed delivery
    is repeated as a whole by the next run. Raises AudienceError for an unknown audience, and what
    Webhook.send raises.
    """
    settings = settings or get_settings()
    snapshot = latest(location)
    emptied = _emptied(location, snapshot)
    wanted = params.get("audiences") or [*(audience.key for audience in names(snapshot)), *emptied]
    webhook = Webhook.of(settings)
    changes = []
    for key in wanted:
        rows = [] if key in emptied else members(snapshot, key)
        if not params.get("dry_run"):
            if key in emptied:
                _delete_files(location, key)
            else:
                _write_files(location, snapshot, key, settings)
        changes.append(_deliver(location, snapshot, key, rows, webhook, dry_run=bool(params.get("dry_run"))))
        log.info("Audience %s", changes[-1])
    return [asdict(change) for change in changes]


def erase(customer_id: int, location: str = "") -> dict[str, int]:
    """Take a customer out of every file of audiences and of what was delivered; return the rows by file.

    A file without ids (Google Ads) is deleted as a whole: the next run writes it again.
    """
    folder = _place(location, "")
    found = {}
    for place in [*_csv_files(folder), *_csv_files(folder / DELIVERED)]:
        header, *rows = list(csv.reader(io.StringIO(place.read_text(encoding="utf-8"), newline="")))
        column = next((n for n, name in enumerate(header) if name in ID_COLUMNS), None)
        kept = [] if column is None else [row for row in rows if row[column] != str(customer_id)]
        if column is None:
            place.unlink()
        elif len(kept) < len(rows):
            _write(place, _plain_csv([header, *kept]))
        if len(kept) < len(rows):
            found[place.name] = len(rows) - len(kept)
    return found


def _csv_files(folder: Path) -> list[Path]:
    return [one for one in folder.iterdir() if one.name.endswith(".csv")] if folder.exists() else []


def _plain_csv(rows: list[list[str]]) -> str:
    """Return rows that were read from a file as the file had them: nothing is defused twice."""
    out = io.StringIO(newline="")
    csv.writer(out).writerows(rows)
    return out.getvalue()


def _emptied(location: str, snapshot: Snapshot) -> list[str]:
    """Return the audiences that were written or delivered and have lost their last customer.

    None from a snapshot that has no audiences at all, because its marts were not built.
    """
    known, folder = {audience.key for audience in names(snapshot)}, _place(location, "")
    files = [*_csv_files(folder), *_csv_files(folder / DELIVERED)]
    held = {one.name.removesuffix(".csv").partition("_")[0] for one in files}
    return sorted(held - known) if known else []


def _write_files(location: str, snapshot: Snapshot, key: str, settings: Settings) -> None:
    """Write the files of an audience, each in place of the one before."""
    for target in filter(None, (one.strip() for one in settings.audiences_files.split(","))):
        made = file(snapshot, key, target)
        name = re.sub(r"_\d{4}-\d\d-\d\d\.csv$", ".csv", made.name)
        _write(_place(location, name), made.text)


def _delete_files(location: str, key: str) -> None:
    for place in _csv_files(_place(location, "")):
        if place.name.startswith(f"{key}_"):
            place.unlink()


def _deliver(
    location: str,
    snapshot: Snapshot,
    key: str,
    members_now: list[Row],
    webhook: Webhook | None,
    *,
    dry_run: bool,
) -> Change:
    rows = {row["customer_id"]: row for row in members_now}
    place = _place(location, f"{DELIVERED}/{key}.csv")
    before, previous = _delivered(place)
    entered = [rows[one] for one in sorted(rows.keys() - before)]
    left = sorted(before - rows.keys())
    sends = webhook is not None and not dry_run
    if sends and webhook and (entered or left):
        for message in _messages(key, snapshot, previous, entered, left):
            webhook.send("audience.changed", message)
    if sends:
        _write(
            place,
            to_csv(
                ("customer_id", "snapshot_id"), ([one, snapshot.manifest.snapshot_id] for one in sorted(rows))
            ),
        )
    return Change(key, len(entered), len(left), sent=sends)


def _messages(
    key: str, snapshot: Snapshot, previous: str, entered: list[Row], left: list[int]
) -> Iterator[dict[str, Any]]:
    """Yield the changes in parts; the same changes make the same messages, and so the same keys."""
    size = CHANGES_A_MESSAGE
    steps = range(0, max(len(entered), len(left)), size)
    for part, start in enumerate(steps, 1):
        yield {
            "audience": key,
            "snapshot_id": snapshot.manifest.snapshot_id,
            "previous_snapshot_id": previous or None,
            "as_of_date": snapshot.as_of_date.isoformat(),
            "part": part,
            "parts": len(steps),
            "entered": [
                {name: row[name] for name in ("customer_id", "email", "phone") if row[name] is not None}
                for row in entered[start : start + size]
            ],
            "left": [{"customer_id": one} for one in left[start : start + size]],
        }


def _place(location: str, name: str) -> Path:
    return open_folder(location or str(get_settings().local_dir / "insights")) / FOLDER / name


def _delivered(place: Path) -> tuple[set[int], str]:
    """Return who was delivered last, and of which snapshot."""
    if not place.exists():
        return set(), ""
    rows = list(csv.DictReader(io.StringIO(place.read_text(encoding="utf-8"))))
    return {int(row["customer_id"]) for row in rows}, rows[0]["snapshot_id"] if rows else ""


def _write(place: Path, text: str) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    replace_file(place, text.encode())
