"""
Blobs in an S3 server through the service's adapter: `PYTHONPATH=src:tests python -m bench.s3`.

The reference moves the same bytes to and from the same server over one bare HTTP connection, with
presigned URLs. Each round runs every measure once, adapter and reference in turn, in one process.
The output is ratios of rates, adapter to reference, because absolute rates vary on a busy machine.
"""

from __future__ import annotations

import argparse
import hashlib
import io
import os
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from functools import partial
from http.client import HTTPConnection
from urllib.parse import urlsplit

import attrs

from sft_adapters.minio.blobs import MinioBlobs
from sft_adapters.minio.buckets import ensure_bucket
from sft_adapters.minio.client import open_client
from sft_core.values import Secret
from support.servers.backends import s3

MIB = 1 << 20
BUCKET = "sft-bench"


def timed(action: Callable[[], object]) -> float:
    start = time.perf_counter()
    action()
    return time.perf_counter() - start


@attrs.define
class Bench:
    """
    One server, used through the adapter and directly; a measure moves `count` blobs of `size` bytes.
    """

    blobs: MinioBlobs
    raw: HTTPConnection
    size: int
    count: int
    rounds: int = 0
    content: bytes = attrs.field(init=False)
    buffer: bytearray = attrs.field(init=False)

    def __attrs_post_init__(self) -> None:
        self.content = os.urandom(self.size)
        self.buffer = bytearray(self.size)

    def keys(self, side: str) -> list[str]:
        return [f"{side}-{self.rounds:x}/{number:x}" for number in range(self.count)]

    def exchange(self, method: str, key: str, *, body: bytes | None = None, span: str = "") -> None:
        """
        Send one bare request, and read the response's body into the buffer.
        """
        url = self.blobs.client.minio.get_presigned_url(method, BUCKET, key, expires=timedelta(minutes=5))
        parts = urlsplit(url)
        self.raw.request(method, f"{parts.path}?{parts.query}", body=body, headers={"Range": span} if span else {})
        response = self.raw.getresponse()
        if response.status not in {200, 206}:
            raise RuntimeError(f"the server responded with {response.status}")
        view = memoryview(self.buffer)
        while count := response.readinto(view):
            view = view[count:]

    def raw_put(self) -> None:
        for key in self.keys("bb"):
            self.exchange("PUT", key, body=self.content)

    def put(self, store: MinioBlobs, side: str) -> None:
        view = memoryview(self.content)
        for key in self.keys(side):
            store.put(key, (view[at : at + MIB] for at in range(0, self.size, MIB)), size=self.size)

    def sdk_put(self) -> None:
        for key in self.keys("dd"):
            self.blobs.client.minio.put_object(BUCKET, key, io.BytesIO(self.content), self.size)

    def raw_get(self, window: int) -> None:
        for key in self.keys("bb"):
            for start in range(0, self.size, window):
                self.exchange("GET", key, span=f"bytes={start}-{min(start + window, self.size) - 1}")

    def get(self, window: int) -> None:
        view = memoryview(self.buffer)
        for key in self.keys("bb"):
            for start in range(0, self.size, window):
                self.blobs.read_into(key, start, view[start : start + window], size=self.size)

    def round(self) -> dict[str, tuple[float, float]]:
        """
        Return the seconds of adapter and reference for each measure; the stored blobs are deleted.
        """
        self.rounds += 1
        raw_put = timed(self.raw_put)
        whole, windows = timed(lambda: self.raw_get(self.size)), timed(lambda: self.raw_get(MIB))
        result = {
            "put, one request : bare PUT": (timed(lambda: self.put(self._conditional(), "aa")), raw_put),
            "put, looking first : bare PUT": (timed(lambda: self.put(self.blobs, "cc")), raw_put),
            "the SDK's put_object : bare PUT": (timed(self.sdk_put), raw_put),
            "read at once : bare GET": (timed(lambda: self.get(self.size)), whole),
            "read in windows of 1 MiB : bare GET of the same": (timed(lambda: self.get(MIB)), windows),
            "read in windows of 1 MiB : bare GET at once": (timed(lambda: self.get(MIB)), whole),
        }
        for key in [key for side in ("aa", "bb", "cc", "dd") for key in self.keys(side)]:
            self.blobs.client.minio.remove_object(BUCKET, key)
        return result

    def _conditional(self) -> MinioBlobs:
        return attrs.evolve(self.blobs, conditional_writes=True)


def print_hashes(size: int) -> None:
    """
    Print the cost of hashing a blob for signed content (SHA-256) or a checksum (MD5).
    """
    content = os.urandom(size)
    for name in ("md5", "sha256"):
        seconds = min(timed(partial(hashlib.new, name, content, usedforsecurity=False)) for _ in range(9))
        print(f"{name} of {size // MIB} MiB: {seconds * 1000:.1f} ms, {size / seconds / 1e9:.2f} GB/s")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size-mib", type=int, default=4)
    parser.add_argument("--blobs", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    size = arguments.size_mib * MIB
    print_hashes(size)
    with s3() as server:
        client = open_client(
            endpoint=server.endpoint,
            access_key=server.access_key,
            secret_key=Secret(server.secret_key.encode()),
            region=server.region,
            secure=server.secure,
        )
        ensure_bucket(client, BUCKET)
        raw = HTTPConnection(server.endpoint, timeout=60)
        bench = Bench(MinioBlobs(client, BUCKET), raw, size, arguments.blobs)
        bench.round()
        rounds = [bench.round() for _ in range(arguments.rounds)]
        raw.close()
        client.close()
    print(f"{arguments.blobs} blobs of {arguments.size_mib} MiB, {arguments.rounds} rounds; rate of ours / reference's")
    print(f"{'measure':50} {'min':>6} {'median':>6} {'max':>6}   ours, MiB/s")
    for measure in rounds[0]:
        ratios = sorted(theirs / ours for ours, theirs in (result[measure] for result in rounds))
        rate = arguments.size_mib * arguments.blobs / statistics.median(result[measure][0] for result in rounds)
        print(f"{measure:50} {ratios[0]:6.2f} {statistics.median(ratios):6.2f} {ratios[-1]:6.2f}   {rate:11.0f}")


if __name__ == "__main__":
    main()
