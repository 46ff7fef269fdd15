"""Merkle trees as in RFC 6962: a leaf is SHA-256(0x00 ‖ the 32 bytes of an event's hash), a node SHA-256(0x01 ‖ left ‖ right).

The tree over n leaves splits at the largest power of two below n; pairing level by level, a last one without a partner
going up unchanged, makes the same tree and is how it is done here.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from hashlib import sha256

EMPTY = sha256(b"").digest()
"""The root over no leaves."""


def leaf_of(event_hash: bytes) -> bytes:
    """The leaf of an event."""
    return sha256(b"\x00" + event_hash).digest()


def node_of(left: bytes, right: bytes) -> bytes:
    """The node above two others."""
    return sha256(b"\x01" + left + right).digest()


class Frontier:
    """A growing tree, of which only the roots of its complete subtrees are kept, the largest first."""

    def __init__(self, size: int = 0, peaks: Sequence[bytes] = ()) -> None:
        if size.bit_count() != len(peaks):
            raise ValueError(f"a tree of {size} leaves has {size.bit_count()} complete subtrees, not {len(peaks)}")
        self.size = size
        self.peaks = list(peaks)

    def append(self, event_hash: bytes) -> None:
        """One more event."""
        self.add(leaf_of(event_hash), 0)

    def extend(self, event_hashes: Iterable[bytes]) -> None:
        """Several more events."""
        for event_hash in event_hashes:
            self.add(sha256(b"\x00" + event_hash).digest(), 0)

    def add(self, node: bytes, level: int) -> None:
        """A complete subtree of 2**level leaves, where the leaves so far are a multiple of that."""
        place = self.size >> level
        while place & 1:
            node = sha256(b"\x01" + self.peaks.pop() + node).digest()
            place >>= 1
        self.peaks.append(node)
        self.size += 1 << level

    def root(self) -> bytes:
        """The root over every leaf so far."""
        if not self.peaks:
            return EMPTY
        root = self.peaks[-1]
        for peak in self.peaks[-2::-1]:
            root = node_of(peak, root)
        return root

    def copy(self) -> Frontier:
        """One that grows on its own."""
        return Frontier(self.size, self.peaks)

    def to_hex(self) -> list[str]:
        """The subtrees' roots in hex."""
        return [peak.hex() for peak in self.peaks]

    @classmethod
    def from_hex(cls, size: int, peaks: Sequence[str]) -> Frontier:
        """What `to_hex` wrote. Raises ValueError where it does not fit `size`."""
        return cls(size, [bytes.fromhex(peak) for peak in peaks])


def levels(nodes: Sequence[bytes]) -> list[list[bytes]]:
    """The nodes, those above them, and so on to the root; empty for no nodes."""
    found = [list(nodes)] if nodes else []
    while found and len(found[-1]) > 1:
        below = found[-1]
        above = [sha256(b"\x01" + left + right).digest() for left, right in zip(below[::2], below[1::2], strict=False)]
        found.append(above + below[len(above) * 2 :])
    return found


def siblings(tree: Sequence[Sequence[bytes]], index: int) -> list[bytes]:
    """What has to be hashed with the node at `index` of the lowest level, upwards, to reach the root."""
    found = []
    for level in tree:
        if index ^ 1 < len(level):
            found.append(level[index ^ 1])
        index >>= 1
    return found


def root_of(event_hashes: Iterable[bytes]) -> bytes:
    """The root over these events."""
    tree = levels([sha256(b"\x00" + event_hash).digest() for event_hash in event_hashes])
    return tree[-1][0] if tree else EMPTY


def path(event_hashes: Sequence[bytes], index: int) -> list[bytes]:
    """The proof that the event at `index`, from 0, is among these. Raises IndexError."""
    if not 0 <= index < len(event_hashes):
        raise IndexError(f"there is no event {index} among {len(event_hashes)}")
    return siblings(levels([leaf_of(event_hash) for event_hash in event_hashes]), index)


def verify_inclusion(event_hash: bytes, index: int, size: int, proof: Sequence[bytes], root: bytes) -> bool:
    """Whether `proof` shows that the event at `index`, from 0, is in the tree of `size` events with this root."""
    if not 0 <= index < size:
        return False
    last, node, rest = size - 1, leaf_of(event_hash), list(proof)
    while last:
        if index & 1 or index < last:  # else it is the last of an odd level and goes up unchanged
            if not rest:
                return False
            other = rest.pop(0)
            node = node_of(other, node) if index & 1 else node_of(node, other)
        index >>= 1
        last >>= 1
    return not rest and node == root
