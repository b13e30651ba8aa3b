"""
Hypothesis strategies for every value and entity of the core.

All arguments are keywords and are checked at the call, not at the first draw. Drawn values are valid, reach
the bounds of their type, and shrink towards the shortest and plainest one.

Raises:
    hypothesis.errors.InvalidArgument: From every strategy: no value satisfies the arguments.
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
