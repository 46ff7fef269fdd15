"""Verify evidence with Python alone, by no code of those who wrote it: `python3 verify.py RUN.zip [public key in hex]`.

Hashes, proofs (RFC 6962), signatures (Ed25519, RFC 8032) and files: all are checked. Exit 1 names the first line that is bad.
"""

import json
import sys
import zipfile
from base64 import b64decode
from hashlib import sha256, sha512
from pathlib import Path
from typing import Any

P, ORDER = 2**255 - 19, 2**252 + 27742317777372353535851937790883648493
D, ROOT, BASE = -121665 * pow(121666, -1, P) % P, pow(2, (P - 1) // 4, P), bytes([0x58] + [0x66] * 31)
CHAINED = ("actor", "at", "body_hash", "incident_id", "kind", "prev_hash", "run_id", "seq", "workspace")


def _expect(holds: bool, otherwise: str) -> None:
    if not holds:
        raise ValueError(otherwise)


def _is_signed(key: bytes, text: str, signature: bytes) -> bool:  # Ed25519
    def point(of: bytes) -> Any:
        y = int.from_bytes(of, "little") & (1 << 255) - 1
        square = (y * y - 1) * pow(D * y * y + 1, -1, P) % P
        x = pow(square, (P + 3) // 8, P)
        x = x if x * x % P == square else x * ROOT % P
        _expect(y < P and x * x % P == square and len(of) == 32, "no point of the curve")
        return (x if x & 1 == of[31] >> 7 else P - x), y

    def add(a: Any, b: Any) -> Any:
        (x1, y1), (x2, y2), k = a, b, D * a[0] * b[0] * a[1] * b[1]
        return (x1 * y2 + x2 * y1) * pow(1 + k, -1, P) % P, (y1 * y2 + x1 * x2) * pow(1 - k, -1, P) % P

    def times(n: int, a: Any) -> Any:
        half = times(n >> 1, add(a, a)) if n else (0, 1)
        return add(half, a) if n & 1 else half

    r, s = signature[:32], int.from_bytes(signature[32:], "little")
    k = int.from_bytes(sha512(r + key + text.encode()).digest(), "little") % ORDER
    return len(signature) == 64 and s < ORDER and times(s, point(BASE)) == add(point(r), times(k, point(key)))


def _canonical(value: Any) -> str:  # RFC 8785, for JSON without floats
    if isinstance(value, dict):
        pairs = sorted(value.items(), key=lambda pair: pair[0].encode("utf-16-be"))
        return "{" + ",".join(f"{_canonical(name)}:{_canonical(of)}" for name, of in pairs) + "}"
    return f"[{','.join(map(_canonical, value))}]" if isinstance(value, list) else json.dumps(value, ensure_ascii=False)


def _is_in_log(event: Any, size: int, root: bytes) -> bool:  # RFC 6962
    node, index, last = sha256(b"\0" + bytes.fromhex(event["hash"])).digest(), event["seq"] - 1, size - 1
    for other in map(bytes.fromhex, event["proof"]):
        while last and not index & 1 and index == last:
            index, last = index >> 1, last >> 1
        node = sha256(b"\1" + (other + node if index & 1 else node + other)).digest()
        index, last = index >> 1, last >> 1
    return node == root and not last and 0 < event["seq"] <= size


if __name__ == "__main__":
    path, trusted, at = sys.argv[1], "".join(sys.argv[2:3]), 1
    events, prev = list[Any](), dict[str, Any](seq=0, hash="0" * 64)
    try:
        archive = zipfile.ZipFile(path) if zipfile.is_zipfile(path) else None
        read = archive.read if archive else lambda name: (Path(path).parent / name).read_bytes()
        lines = (read("bundle.jsonl") if archive else Path(path).read_bytes()).removesuffix(b"\n").split(b"\n")
        header = json.loads(lines[0])
        text, _, note = header["checkpoint"].rpartition("\n\n")
        (size, root), key = text.split("\n")[1:3], bytes.fromhex(header["public_key"])
        _expect(trusted in ("", key.hex()), "signed by another key")
        _expect(_is_signed(key, text + "\n", b64decode(note.split()[2])[4:]), "the checkpoint is not signed")
        for at, line in enumerate(lines[1:-1], 2):  # noqa: B007
            event = json.loads(line)
            body = sha256((event["salt"] + _canonical(event["body"])).encode()).hexdigest()
            hashed = sha256(_canonical({name: event[name] for name in CHAINED}).encode()).hexdigest()
            own = event["workspace"] == header["workspace"] and len(event) == len(CHAINED) + 5
            _expect(_canonical(event).encode() == line and own, "no event of this log")
            _expect(event["salt"] == "" or body == event["body_hash"], "its body is not what was recorded")
            _expect(hashed == event["hash"], "it is not what was recorded")
            follows = event["seq"] != prev["seq"] + 1 or event["prev_hash"] == prev["hash"]
            _expect(follows and event["seq"] > prev["seq"], "it does not follow the one above")
            _expect(_is_in_log(event, int(size), b64decode(root)), "it is not in the log that the checkpoint is of")
            events.append(prev := event)
        stones = [(e["body"]["seq"], e["body"]["remains"]) for e in events if e["salt"] and e["kind"] == "BodyErased"]
        gone = [e["seq"] for e in events if not e["salt"] and (e["seq"], e["body"]) not in stones]
        _expect(not gone, f"the bodies of events {gone} are gone, and no tombstone says why")
        at, digest = len(lines), sha256(b"\n".join(lines[:-1]) + b"\n").hexdigest()
        by = bytes.fromhex(json.loads(lines[-1])["signature"])
        sealed = _canonical({"type": "seal", "sha256": digest, "signature": by.hex()}).encode() == lines[-1]
        _expect(sealed and _is_signed(key, f"personal-agent bundle\n{digest}\n", by), "not the lines that were sealed")
        for name, digest in header["files"].items():
            _expect(sha256(read(name)).hexdigest() == digest, f"{name} is not the file that was exported")
    except (ValueError, LookupError, TypeError, AttributeError, OSError, RuntimeError, zipfile.BadZipFile) as error:
        sys.exit(f"BAD at line {at}: {type(error).__name__}: {error}")
    known = "the given key" if trusted else "its own word"
    print(f"OK: {len(events)} events and {len(header['files'])} files, signed by {key.hex()} ({known})")
