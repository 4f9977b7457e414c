"""How much a packed file may become: a megabyte of gzip or XLSX can hold a thousand times as much."""

from collections.abc import Iterator
from io import BufferedIOBase

from include.ingestion.errors import IngestionError
from include.settings import get_settings

MEGABYTE = 1_000_000
NESTED = 2  # levels of gzip: some servers pack what is packed already
ALWAYS_ALLOWED = 50 * MEGABYTE  # below this no ratio counts: a small file of equal rows packs well
CHUNK_BYTES = 1 << 20


def check_unpacked(name: str, packed: int, unpacked: int, limit_megabytes: int, setting: str) -> None:
    """Raise IngestionError where `unpacked` bytes are too many, or too many for `packed` bytes."""
    if unpacked > limit_megabytes * MEGABYTE:
        raise IngestionError(
            f"{name} unpacks to more than {limit_megabytes} MB ({setting}); deliver it in parts."
        )
    ratio = get_settings().source_max_ratio
    if unpacked > ALWAYS_ALLOWED and unpacked > ratio * packed:
        raise IngestionError(
            f"{name} unpacks to more than {ratio} times its size (SOURCE_MAX_RATIO); deliver it unpacked."
        )


def unpacked_chunks(plain: BufferedIOBase, name: str, packed: int) -> Iterator[bytes]:
    """Yield what `plain` unpacks to; raises IngestionError once it is too much for `packed` bytes."""
    limit, total = get_settings().source_max_unpacked_mb, 0
    while chunk := plain.read(CHUNK_BYTES):
        total += len(chunk)
        check_unpacked(name, packed, total, limit, "SOURCE_MAX_UNPACKED_MB")
        yield chunk
