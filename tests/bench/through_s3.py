"""
Downloads of a large file stored in an S3 server: through the service, and directly.
"""

from __future__ import annotations

import tempfile
from datetime import timedelta
from pathlib import Path
from urllib.parse import urlsplit

from minio import Minio

from bench.measure import MIB, Findings, Goal, Measure, Options, alternate, timed
from bench.transfers import Client
from support.clients.wire import download, upload
from support.servers.backends import S3, own_s3
from support.servers.service import serving

BUCKET = "sft-bench"
WHOLE = "whole"
NOTE = (
    "the same client and the same S3 server: the reference is one plaintext object by a presigned URL, ours are"
    " encrypted parts, fetched, authenticated, decrypted and sent on; the server's own work is in both"
)


def presigned(server: S3, method: str) -> str:
    """
    Return the presigned path of an object, for the client's Host header, which has no port.
    """
    client = Minio(
        "127.0.0.1", access_key=server.access_key, secret_key=server.secret_key, region=server.region, secure=False
    )
    parts = urlsplit(client.get_presigned_url(method, BUCKET, WHOLE, expires=timedelta(days=1)))
    return f"{parts.path}?{parts.query}"


def measures(options: Options) -> Findings:
    """
    Measure downloads.
    """
    size = options.size
    with (
        tempfile.TemporaryDirectory(prefix="sft-bench-") as folder,
        own_s3() as server,
        serving(Path(folder), settings=server.environ(BUCKET)) as service,
    ):
        client = Client(service, service.sign_up("bench"))
        file, port = client.put(size), int(server.endpoint.rpartition(":")[2])
        if upload(port, "PUT", presigned(server, "PUT"), size=size, headers={}).status != 200:
            raise RuntimeError("the S3 server did not store the whole object")
        whole = presigned(server, "GET")

        def ours() -> float:
            return timed(lambda: client.get(file))

        def reference() -> float:
            return timed(lambda: download(port, whole))

        alternate(1, ours, reference)
        rounds = alternate(options.rounds, ours, reference)
    name = "download from S3 through us : straight from S3"
    return Findings([Measure.of_seconds(name, "MiB/s", size / MIB, rounds, goal=Goal(0.7), note=NOTE)])
