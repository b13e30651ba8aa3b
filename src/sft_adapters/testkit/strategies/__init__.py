"""
Hypothesis strategies for every value and entity of the core.

They take keyword arguments only and check them when they are called, not when they are drawn from:
what no value could satisfy is `hypothesis.errors.InvalidArgument`. Everything drawn keeps the rules
of its type, reaches their bounds, and shrinks towards the shortest and plainest one.
"""

from sft_adapters.testkit.strategies.contents import bad_file_names, content, contents, file_names, media_types
from sft_adapters.testkit.strategies.entities import (
    files,
    links,
    manifests,
    parts,
    sessions,
    share_terms,
    token_claims,
    totps,
    users,
)
from sft_adapters.testkit.strategies.values import (
    byte_ranges,
    emails,
    ids,
    moments,
    pages,
    passwords,
    rates,
    secrets,
    share_tokens,
    usernames,
    wrapped_secrets,
)

__all__ = [
    "bad_file_names",
    "byte_ranges",
    "content",
    "contents",
    "emails",
    "file_names",
    "files",
    "ids",
    "links",
    "manifests",
    "media_types",
    "moments",
    "pages",
    "parts",
    "passwords",
    "rates",
    "secrets",
    "sessions",
    "share_terms",
    "share_tokens",
    "token_claims",
    "totps",
    "usernames",
    "users",
    "wrapped_secrets",
]
