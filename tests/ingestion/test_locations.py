"""A run reads only from where its deployment lets it, and says nothing about other places."""

from pathlib import Path

import pytest

from include.ingestion.errors import IngestionError
from include.ingestion.locations import REFUSAL, allowed_location
from include.settings import Settings


@pytest.fixture
def shop(tmp_path: Path) -> Path:
    """The configured source, beside a folder that is none of a run's business."""
    for name in ("shop", "shop/2019", "shop-secret"):
        (tmp_path / name).mkdir()
    (tmp_path / "shop-secret" / "CustomersData.csv").write_text("a\n", encoding="utf-8")
    return tmp_path / "shop"


def refused(location: str, settings: Settings) -> bool:
    """Return whether it is, with the sentence that is the same for all, whether there is something or not."""
    try:
        allowed_location(location, settings)
    except IngestionError as error:
        return str(error) == REFUSAL
    return False


def test_the_configured_source_and_what_lies_in_it_is_allowed(shop: Path) -> None:
    settings = Settings(source_location=str(shop))
    assert allowed_location(str(shop), settings) == str(shop)
    assert allowed_location(f"{shop}/", settings) == str(shop)
    assert allowed_location(f"file://{shop}/2019", settings) == str(shop / "2019")
    assert allowed_location("", settings) == ""


def test_no_other_folder_or_connection_is(shop: Path) -> None:
    settings = Settings(source_location=str(shop))
    others = [
        "/etc",
        "/no/such/folder",
        str(shop.parent),
        f"{shop}-secret",
        f"{shop}/../shop-secret",
        f"file://{shop}/../shop-secret",
        "s3://any_connection@bucket/files",
        "https://example.org/files",
        "local:///etc",
        f"simplecache::file://{shop}",
    ]
    assert [one for one in others if not refused(one, settings)] == []


def test_a_link_counts_as_where_it_leads(shop: Path) -> None:
    settings = Settings(source_location=str(shop))
    (shop / "elsewhere").symlink_to(shop.parent / "shop-secret")
    assert refused(str(shop / "elsewhere"), settings)


def test_a_folder_with_a_link_to_another_place_is_refused(shop: Path) -> None:
    settings = Settings(source_location=str(shop))
    (shop / "2019" / "CustomersData.csv").symlink_to(shop.parent / "shop-secret" / "CustomersData.csv")
    assert refused(str(shop / "2019"), settings)


def test_a_link_within_what_is_allowed_is_followed(shop: Path) -> None:
    (shop / "newest").symlink_to(shop / "2019")
    assert allowed_location(str(shop / "newest"), Settings(source_location=str(shop))) == str(shop / "2019")


def test_the_setting_names_several_places(shop: Path) -> None:
    settings = Settings(source_location=str(shop), source_locations="s3://mine@bucket/in, /srv/shops")
    assert allowed_location("s3://mine@bucket/in", settings) == "s3://mine@bucket/in"
    assert allowed_location("s3://mine@bucket/in/2019", settings) == "s3://mine@bucket/in/2019"
    assert allowed_location("/srv/shops/a", settings) == "/srv/shops/a"
    others = [
        str(shop),
        "s3://mine@bucket/inner",
        "s3://mine@bucket",
        "s3://other@bucket/in",
        "s3://mine@bucket/in/../secret",
        "s3://mine@bucket/in/x::file:///etc",
    ]
    assert [one for one in others if not refused(one, settings)] == []


def test_without_a_source_nothing_is_allowed(shop: Path) -> None:
    assert refused(str(shop), Settings(source_location=""))
