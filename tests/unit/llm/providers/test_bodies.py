from __future__ import annotations

import gzip
import sys
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import brotli
import pytest
import zstandard

from pairmill.errors import Kind, ProviderError
from pairmill.llm.providers.bodies import unpack

if TYPE_CHECKING:
    from collections.abc import Callable

BODY = b'{"choices": []}' * 100
RAW = zlib.compressobj(wbits=-15)
PACKED = {
    "": BODY,
    "identity": BODY,
    "gzip": gzip.compress(BODY),
    "X-GZIP": gzip.compress(BODY),
    "deflate": zlib.compress(BODY),
    "deflate, gzip": gzip.compress(zlib.compress(BODY)),
    "br": brotli.compress(BODY),
    "zstd": zstandard.compress(BODY),
    "zstd, br": brotli.compress(zstandard.compress(BODY)),
    "gzip,\tidentity": gzip.compress(BODY),
    "none": BODY,
    "utf-8": b" " + BODY,
}
HALVES = (BODY[:300], BODY[300:])
BOMBS = {
    "gzip": gzip.compress(bytes(10**8)),
    "br": brotli.compress(bytes(10**8), quality=3),
    "zstd": zstandard.compress(bytes(10**8)),
}
LIBRARIES = {
    "br": ("brotli", "brotlicffi"),
    "zstd": ("compression", "compression.zstd", "backports", "backports.zstd", "zstandard"),
}


@pytest.mark.parametrize("packing", PACKED)
def test_a_packed_body_is_read(packing: str) -> None:
    assert unpack(PACKED[packing], packing, 10_000).strip() == BODY


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_members_that_follow_each_other_are_read_up_to_the_limit(
    pack: Callable[[bytes], bytes], request: pytest.FixtureRequest
) -> None:
    packing = request.node.callspec.id
    packed = b"".join(map(pack, HALVES))
    assert unpack(packed, packing, 10_000) == BODY
    assert unpack(packed, packing, 400) == BODY[:400]
    bombs = b"".join(pack(bytes(10**6)) for _ in range(100))
    assert len(unpack(bombs, packing, 1000)) == 1000


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.compress], ids=["gzip", "zstd"])
def test_a_packed_body_whose_header_a_proxy_took_away_is_read(
    pack: Callable[[bytes], bytes],
) -> None:
    assert unpack(pack(BODY), "", 10_000) == BODY


@pytest.mark.parametrize("packing", PACKED)
def test_a_packed_body_that_is_cut_is_never_taken_for_another(packing: str) -> None:
    """What comes of it is its beginning, which is not JSON then."""
    whole, found = PACKED[packing], []
    for end in range(len(whole)):
        with suppress(ProviderError):
            found.append(unpack(whole[:end], packing, 10_000).strip())
    assert found
    assert all(BODY.startswith(part) for part in found)


@pytest.mark.parametrize("packing", BOMBS)
def test_no_more_is_unpacked_than_is_read(packing: str) -> None:
    assert len(unpack(BOMBS[packing], packing, 1000)) == 1000


@pytest.mark.parametrize("packing", LIBRARIES)
def test_without_its_library_it_says_which_to_install(
    packing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in LIBRARIES[packing]:
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(ProviderError, match=r"pip install \w+") as caught:
        unpack(PACKED[packing], packing, 1000)
    assert caught.value.kind is Kind.CONFIG


@pytest.mark.parametrize("packing", ["gzip", "deflate", "br", "zstd"])
def test_what_is_broken_is_garbage(packing: str) -> None:
    with pytest.raises(ProviderError) as caught:
        unpack(b"not packed at all", packing, 1000)
    assert caught.value.kind is Kind.LOST


@pytest.mark.parametrize("packing", ["gzip", "deflate", "br", "zstd", "gzip, br"])
def test_json_under_a_name_that_a_proxy_left_there_is_read(packing: str) -> None:
    assert unpack(BODY, packing, 10_000) == BODY


@pytest.mark.parametrize("packing", ["snappy", "\x1b[31m", "gzip, gzip, gzip, gzip"])
def test_what_no_library_reads_is_named_and_a_matter_of_settings(packing: str) -> None:
    with pytest.raises(ProviderError) as caught:
        unpack(b"?", packing, 1000)
    assert caught.value.kind is Kind.CONFIG
    assert str(caught.value).isprintable()
