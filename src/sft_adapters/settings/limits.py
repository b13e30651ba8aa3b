"""
The settings that bound what a service gives to whom: sizes, places, memory, threads and times.
"""

from __future__ import annotations

from typing import Final

from sft_adapters.crypto.passwords import MAX_ITERATIONS, MAX_LANES, MAX_MEMORY_KIB
from sft_adapters.settings import parsers as types
from sft_adapters.settings.field import Setting

LEAST_OF_AN_UPLOAD_KIB: Final = 128
"""How much memory is set aside for each upload: a buffer, and what comes in at once."""

_MIB: Final = 1 << 20

LIMITS: Final[tuple[Setting, ...]] = (
    Setting("JSON_BODY_LIMIT", types.whole(1024, 16 * _MIB), 64 << 10, "The largest JSON body.", "bytes"),
    Setting(
        "MAX_CONNECTIONS",
        types.whole(1, 1_000_000),
        4096,
        "Connections of clients, in each worker; fewer if it may not open as many files (`ulimit -n`). Beyond them "
        "/health is answered, and nothing else.",
        "connections",
    ),
    Setting(
        "MAX_UPLOADS",
        types.whole(1, 100_000),
        512,
        "Bodies of files that are received at once, in each worker. One more waits for QUEUE_WAIT_SECONDS.",
        "requests",
    ),
    Setting(
        "MAX_UPLOADS_PER_USER",
        types.whole(1, 100_000),
        128,
        "How many of them may be one user's; one more is refused at once.",
        "requests",
    ),
    Setting(
        "TRANSFER_MEMORY_MIB",
        types.whole(1, 1_048_576),
        512,
        "Memory for what comes in, in each worker: at most two parts for each upload, growing as it comes. When it "
        "is spent, uploads go on in smaller parts; 128 KiB for each of MAX_UPLOADS are set aside for that.",
        "MiB",
    ),
    Setting(
        "READ_AHEAD_MIB",
        types.whole(0, 1_048_576),
        64,
        "Memory for what was read for downloads that wait, for their clients or for a thread, in each worker: 4 MiB "
        "for each at most. When it is spent, the one that waits longest is read again when it goes on, and new ones "
        "begin with 64 KiB. Beside it each of TRANSFER_THREADS has 6 MiB at most while it works.",
        "MiB",
    ),
    Setting(
        "UNSENT_KIB",
        types.whole(16, 65_536),
        1_024,
        "How much of an answer the kernel takes in for a client beyond what the network has taken; with less many slow "
        "clients cost more processor time.",
        "KiB",
    ),
    Setting("CONTROL_THREADS", types.whole(1, 256), 8, "Threads for rows, in each worker."),
    Setting("TRANSFER_THREADS", types.whole(1, 256), 4, "Threads for encryption and blobs, in each worker."),
    Setting("HASH_CONCURRENCY", types.whole(1, 64), 2, "Passwords hashed at once, in each worker."),
    Setting(
        "HASH_WAIT_SECONDS",
        types.number(0, 60),
        5.0,
        "How long one more waits before it is told to come again.",
        "seconds",
    ),
    Setting(
        "QUEUE_LIMIT", types.whole(1, 100_000), 256, "Calls that may wait for a thread of a kind before one is refused."
    ),
    Setting(
        "QUEUE_WAIT_SECONDS",
        types.number(0.01, 300),
        5.0,
        "How long a call waits for a thread before it is told to come again.",
        "seconds",
    ),
    Setting("ARGON2_MEMORY_KIB", types.whole(8192, MAX_MEMORY_KIB), 47104, "Memory of one password hash.", "KiB"),
    Setting("ARGON2_ITERATIONS", types.whole(1, MAX_ITERATIONS), 1, "Passes of one password hash over its memory."),
    Setting("ARGON2_LANES", types.whole(1, MAX_LANES), 1, "Lanes of one password hash."),
    Setting(
        "SWEEP_INTERVAL_SECONDS",
        types.number(0, 86_400),
        300.0,
        "How often one of all workers sweeps up what is left unfinished; 0 leaves that to `sft sweep`.",
        "seconds",
    ),
    Setting("SWEEP_BATCH", types.whole(1, 1000), 100, "Rows and blobs that a sweep looks at together."),
    Setting(
        "EXPIRY_GRACE_MINUTES",
        types.whole(0, 10_080),
        60,
        "How long after its end a file is destroyed, which nobody can open from its end on: clocks jump.",
        "minutes",
    ),
    Setting(
        "ORPHAN_GRACE_HOURS",
        types.number(1, 8760),
        24.0,
        "How long a stored part that no row knows is left alone: the row of a small file comes after its part.",
        "hours",
    ),
    Setting(
        "GRACEFUL_STOP_SECONDS",
        types.whole(0, 3600),
        30,
        "How long requests under way may finish after SIGTERM.",
        "seconds",
    ),
    Setting(
        "CLEANUP_SECONDS",
        types.whole(1, 600),
        15,
        "How long after that what was cut off may take to be removed, before the process is ended.",
        "seconds",
    ),
    Setting(
        "HEADER_TIMEOUT_SECONDS",
        types.number(1, 300),
        20.0,
        "How long a new connection may take to send the head of its first request.",
        "seconds",
    ),
    Setting(
        "STALL_SECONDS",
        types.whole(1, 3600),
        60,
        "How long a client may stand still in the middle of a body, sent or received, or be slower than "
        "MIN_BYTES_PER_SECOND.",
        "seconds",
    ),
    Setting(
        "MIN_BYTES_PER_SECOND",
        types.whole(1, 2**30),
        1024,
        "The slowest pace at which a body may come or be taken for long.",
        "bytes a second",
    ),
    Setting(
        "LINGER_SECONDS",
        types.number(0, 60),
        2.0,
        "How long a client may go on sending a body whose request has been refused already.",
        "seconds",
    ),
    Setting("KEEPALIVE_SECONDS", types.whole(0, 3600), 15, "How long an idle connection is kept.", "seconds"),
    Setting(
        "WORKER_TIMEOUT_SECONDS",
        types.whole(5, 3600),
        30,
        "After how long a worker that does not answer is replaced.",
        "seconds",
    ),
)
