"""The tree is RFC 6962's: held against the RFC's own recursive definition and the published roots."""

from __future__ import annotations

import time
from hashlib import sha256

import pytest
from hypothesis import given, strategies as st

from storage import merkle
from storage.merkle import EMPTY, Frontier, levels, path, root_of, siblings, verify_inclusion

# the reference implementation's own vectors (transparency-dev/merkle, certificate-transparency-go)
INPUTS = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]

SIZES = st.integers(1, 600)


def events(count: int) -> list[bytes]:
    return [sha256(b"%d" % number).digest() for number in range(count)]


def by_the_rfc(entries: list[bytes]) -> bytes:
    """MTH of RFC 6962, 2.1, word for word."""
    if len(entries) <= 1:
        return sha256(b"\x00" + entries[0]).digest() if entries else sha256(b"").digest()
    half = 1
    while half * 2 < len(entries):
        half *= 2
    return sha256(b"\x01" + by_the_rfc(entries[:half]) + by_the_rfc(entries[half:])).digest()


def path_by_the_rfc(index: int, entries: list[bytes]) -> list[bytes]:
    """PATH of RFC 6962, 2.1.1, word for word."""
    if len(entries) <= 1:
        return []
    half = 1
    while half * 2 < len(entries):
        half *= 2
    if index < half:
        return [*path_by_the_rfc(index, entries[:half]), by_the_rfc(entries[half:])]
    return [*path_by_the_rfc(index - half, entries[half:]), by_the_rfc(entries[:half])]


@pytest.mark.parametrize("count", range(1, 9))
def test_the_published_roots_come_out(count: int) -> None:
    assert root_of([bytes.fromhex(text) for text in INPUTS[:count]]).hex() == ROOTS[count - 1]


@given(st.integers(0, 300))
def test_every_way_to_the_root_is_the_rfc_s(count: int) -> None:
    grown = Frontier()
    grown.extend(events(count))
    assert root_of(events(count)) == grown.root() == by_the_rfc(events(count))
    assert (root_of([]), Frontier().root()) == (EMPTY, EMPTY)


@given(SIZES, st.data())
def test_a_proof_is_the_rfc_s_and_verifies(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    leaves = events(size)
    proof = path(leaves, index)
    assert proof == path_by_the_rfc(index, leaves)
    assert verify_inclusion(leaves[index], index, size, proof, root_of(leaves))


@given(st.integers(2, 200), st.data())
def test_a_proof_of_anything_else_does_not_verify(size: int, data: st.DataObject) -> None:
    index = data.draw(st.integers(0, size - 1))
    other = data.draw(st.integers(0, size - 1).filter(lambda number: number != index))
    leaves = events(size)
    proof, root = path(leaves, index), root_of(leaves)
    assert not verify_inclusion(leaves[other], index, size, proof, root)
    assert not verify_inclusion(leaves[index], other, size, proof, root)
    assert not verify_inclusion(leaves[index], index, size, proof[:-1], root)
    assert not verify_inclusion(leaves[index], index, size, [*proof, root], root)
    assert not verify_inclusion(leaves[index], index, size, proof, EMPTY)
    changed = data.draw(st.integers(0, len(proof) - 1))
    assert not verify_inclusion(leaves[index], index, size, [*proof[:changed], EMPTY, *proof[changed + 1 :]], root)


def test_an_inner_node_is_no_event() -> None:
    leaves = events(4)
    left, right = merkle.levels([merkle.leaf_of(leaf) for leaf in leaves])[1]
    assert not verify_inclusion(left, 0, 2, [right], root_of(leaves))


@pytest.mark.parametrize(("index", "size"), [(-1, 4), (4, 4), (0, 0)])
def test_an_event_outside_the_tree_has_no_proof(index: int, size: int) -> None:
    with pytest.raises(IndexError):
        path(events(size), index)
    assert not verify_inclusion(events(1)[0], index, size, [], root_of(events(size)))


@given(st.lists(st.integers(1, 200), max_size=5))
def test_a_frontier_goes_on_from_what_it_wrote(parts: list[int]) -> None:
    whole, leaves = Frontier(), events(sum(parts))
    at = 0
    for part in parts:
        whole = Frontier.from_hex(whole.size, whole.to_hex())
        whole.extend(leaves[at : at + part])
        at += part
        assert whole.root() == root_of(leaves[:at])
        assert len(whole.peaks) == at.bit_count()
    kept = whole.copy()
    kept.append(EMPTY)
    assert whole.root() == root_of(leaves)


@given(st.integers(0, 20), st.integers(0, 40))
def test_complete_subtrees_may_be_added_whole(tiles: int, rest: int) -> None:
    leaves = events(tiles * 16 + rest)
    grown = Frontier()
    for tile in range(tiles):
        grown.add(root_of(leaves[tile * 16 : tile * 16 + 16]), 4)
    grown.extend(leaves[tiles * 16 :])
    assert grown.root() == root_of(leaves)


@given(SIZES, st.data())
def test_a_proof_through_tiles_is_the_proof(size: int, data: st.DataObject) -> None:
    index, leaves = data.draw(st.integers(0, size - 1)), events(size)
    nodes = [root_of(leaves[start : start + 16]) for start in range(0, size, 16)]
    tile = [merkle.leaf_of(leaf) for leaf in leaves[index // 16 * 16 :][:16]]
    assert siblings(levels(tile), index % 16) + siblings(levels(nodes), index // 16) == path(leaves, index)


@pytest.mark.parametrize(("size", "peaks"), [(1, []), (0, ["00"]), (3, ["00"]), (1, ["no hex"])])
def test_a_frontier_that_cannot_be_is_refused(size: int, peaks: list[str]) -> None:
    with pytest.raises(ValueError):
        Frontier.from_hex(size, peaks)


def test_a_million_events_are_a_matter_of_seconds() -> None:
    leaves = events(50_000)
    began = time.process_time()
    root_of(leaves)
    assert time.process_time() - began < 0.5  # measured: 0.06 s
