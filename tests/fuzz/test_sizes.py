"""An object that is too large for its kind is refused before its bytes are taken in, on S3 as in a folder."""

from __future__ import annotations

import pytest

from storage_schema.errors import DamagedRecord
from storage_schema.keys import BOARD, STUDY
from storage_schema.store import Blob, open_store
from storage_schema.store.key_rules import MAX_OBJECT_BYTES, max_bytes

MIB = 1024 * 1024


@pytest.mark.parametrize(
    ("key", "most"),
    [
        (STUDY, 8 * MIB),
        ("log/00000000.json", 8 * MIB),
        ("checkpoints/00000000/0000000001-00000000-000.0001/manifest.json", 8 * MIB),
        ("checkpoints/00000000/0000000001-00000000-000.0001/files/config.json", MAX_OBJECT_BYTES),
        ("checkpoints/00000000/0000000001-00000000-000.0001/files/model.pt", MAX_OBJECT_BYTES),
        ("metrics/00000000/000.0001.000001.parquet", 64 * MIB),
        ("snapshots/00000063.parquet", 1024 * MIB),
        ("output/00000000/000.0001.txt", 8 * MIB),
        ("proof/x", MAX_OBJECT_BYTES),
    ],
)
def test_every_kind_of_object_has_a_size(key: str, most: int) -> None:
    assert max_bytes(key) == most


def test_a_bucket_object_larger_than_its_kind_is_not_taken_in(s3_url: str) -> None:
    store = open_store(s3_url)
    store.replace(BOARD, b" " * (8 * MIB))
    assert isinstance(store.get(BOARD), Blob)
    store.replace(BOARD, b" " * (8 * MIB + 1))
    with pytest.raises(DamagedRecord, match=rf"^{BOARD}: 8388609 bytes, more than 8388608"):
        store.get(BOARD)
    store.replace(BOARD, b"{}")
    assert isinstance(store.get(BOARD), Blob)
