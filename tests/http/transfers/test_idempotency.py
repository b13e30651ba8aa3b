"""
The Idempotency-Key header: a repeated request takes effect once and returns the first response.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import attrs
import falcon.testing
import pytest
from falcon.testing import Result

from sft_adapters.memory.database import MemoryDatabase
from support.app.edge import API, END, PASSWORD, Edge, field_part, file_part, part

KEY = '"8e03978e-40d5-43e8-bc93-6894a57f9324"'
CONTENT = bytes(range(256)) * 600
"""Content of more than two parts."""


def post(
    service: Edge,
    token: str,
    content: bytes = b"once",
    *,
    key: str | None = KEY,
    name: str = "once.txt",
    more: bytes = b"",
    query: str = "",
    boundary: bytes = b"b",
) -> Result:
    form = (file_part(content, name) + more + END).replace(b"--b", b"--" + boundary)
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary.decode()}"}
    headers |= {} if key is None else {"Idempotency-Key": key}
    return service.call("POST", "/files/upload", token=token, headers=headers, raw=form, query=query)


def put(service: Edge, token: str, content: bytes, *, query: str = "", **headers: str) -> Result:
    named = {"Idempotency-Key": KEY, "Content-Type": "text/plain"}
    named |= {header.replace("_", "-"): value for header, value in headers.items()}
    return service.call("PUT", "/files/once.txt", token=token, headers=named, raw=content, query=query)


def share(service: Edge, token: str, file: str, body: Any = None, *, key: str = KEY) -> Result:
    return service.call("POST", f"/files/{file}/share", token=token, headers={"Idempotency-Key": key}, body=body)


def file_ids(service: Edge, token: str) -> list[str]:
    return [file["id"] for file in service.call("GET", "/files/", token=token).json]


def blob_count(service: Edge) -> int:
    return len([*service.application.vault.store_part.blobs.list()])


def code(response: Result) -> tuple[int, str]:
    return response.status_code, response.json["code"]


@pytest.mark.parametrize("content", [b"", b"once", CONTENT])
@pytest.mark.parametrize("query", ["", "is_public=true&max_downloads=3"])
def test_upload_sent_twice_is_stored_once(service: Edge, token: str, content: bytes, query: str) -> None:
    """A repeated form or PUT returns the same status and JSON, and adds no row, no parts and no quota use."""
    for send in (post, put):
        first = send(service, token, content, query=query)
        stored = blob_count(service)
        assert first.status_code == 201
        assert first.json["is_public"] == bool(query)
        for _ in range(2):
            again = send(service, token, content, query=query)
            assert (again.status_code, again.json) == (201, first.json)
        assert blob_count(service) == stored
        assert file_ids(service, token) == [first.json["id"]]
        assert service.call("GET", f"/files/{first.json['id']}/download", token=token).content == content
        if query:
            assert service.call("GET", f"/files/shared/{first.json['share_token']}").content == content
        service.clock.advance(hours=24)
        token = service.sign_in()["access_token"]
        assert service.call("DELETE", f"/files/{first.json['id']}", token=token).status_code == 204
    assert service.is_empty()


def test_form_repeat_may_be_encoded_differently(service: Edge, token: str) -> None:
    """A repeat may use another boundary, and spell its fields differently or move them to the query."""
    first = post(service, token, more=field_part("is_public", "true"))
    again = post(service, token, more=field_part("is_public", "1"), boundary=b"another")
    assert first.json == again.json == post(service, token, query="is_public=true").json


@pytest.mark.parametrize(
    ("change", "sent"),
    [
        ("content", {"content": b"Once"}),
        ("longer", {"content": b"once "}),
        ("name", {"name": "twice.txt"}),
        ("public", {"query": "is_public=true"}),
        ("terms", {"query": "max_downloads=2"}),
        ("hours", {"query": "share_expires_hours=2"}),
        ("swapped terms", {"query": "share_expires_hours=3"}),
    ],
)
def test_different_upload_under_the_same_key_is_rejected(
    service: Edge, token: str, change: str, sent: dict[str, Any]
) -> None:
    """Other content, name or share terms are 422; nothing is stored, and the first response is retained."""
    first = post(service, token)
    assert code(post(service, token, **sent)) == (422, "idempotency-key-reused"), change
    assert (blob_count(service), file_ids(service, token)) == (1, [first.json["id"]])
    assert post(service, token).json == first.json


def test_other_call_or_media_type_under_the_same_key_is_rejected(service: Edge, token: str) -> None:
    """The same bytes with another type or as a form, and a share request, are 422 and change nothing."""
    first = put(service, token, b"once").json
    for response in (
        put(service, token, b"once", Content_Type="text/html"),
        post(service, token),
        share(service, token, first["id"]),
    ):
        assert code(response) == (422, "idempotency-key-reused")
    assert file_ids(service, token) == [first["id"]]
    assert not service.call("GET", f"/files/{first['id']}", token=token).json["is_public"]


def test_repeat_returns_the_original_response(service: Edge, token: str) -> None:
    """This holds after the file's expiry was set and its link was used, superseded or expired."""
    first = post(service, token, query="is_public=true&max_downloads=1&share_expires_hours=1").json
    assert service.call("GET", f"/files/shared/{first['share_token']}").status_code == 200
    assert service.call("POST", f"/files/{first['id']}/share", token=token).status_code == 200
    service.clock.advance(minutes=10)
    ended = service.call("PATCH", f"/files/{first['id']}", token=token, body={"expires_hours": 1})
    assert ended.status_code == 200
    assert post(service, token, query="is_public=true&max_downloads=1&share_expires_hours=1").json == first
    assert service.call("PATCH", f"/files/{first['id']}", token=token, body={"expires_hours": 9}).status_code == 200
    service.clock.advance(hours=2)
    token = service.sign_in()["access_token"]
    assert post(service, token, query="is_public=true&max_downloads=1&share_expires_hours=1").json == first


def test_repeated_share_returns_the_same_link(service: Edge, token: str) -> None:
    """An absent body and one without terms are the same request; other terms or another file are 422."""
    file, other = (service.store(token, b"x")["id"] for _ in range(2))
    first = share(service, token, file)
    assert first.status_code == 200
    for body in (None, {}, {"max_downloads": None}):
        again = share(service, token, file, body)
        assert (again.status_code, again.json) == (200, first.json)
    assert code(share(service, token, file, {"max_downloads": 1})) == (422, "idempotency-key-reused")
    assert code(share(service, token, other)) == (422, "idempotency-key-reused")
    assert share(service, token, other, key="other").json["share_token"] != first.json["share_token"]
    begin = service.application.vault.find_file.begin
    assert isinstance(begin, MemoryDatabase)
    assert len(begin.snapshot().links) == 2


def test_key_belongs_to_one_user(service: Edge, token: str) -> None:
    """Two users may send the same key; each gets a file of their own."""
    mine, others = post(service, token).json, post(service, service.sign_up("noor"), b"other").json
    assert mine["id"] != others["id"]
    assert post(service, token).json == mine


def test_rejected_request_leaves_the_key_unused(service: Edge, token: str) -> None:
    """A rejection records nothing under the key, so the corrected request succeeds."""
    assert post(service, token, query="max_downloads=0").status_code == 422
    assert post(service, token, name="a/b").status_code == 422
    assert share(service, token, "00000000-0000-7000-8000-000000000000").status_code == 404
    assert post(service, token).status_code == 201


def test_repeat_obeys_the_size_limit_and_needs_no_quota(make_edge: Callable[..., Edge]) -> None:
    """The body of a repeat must be complete and within the maximum file size."""
    service = make_edge(MAX_FILE_SIZE="100000", USER_QUOTA="100000")
    token = service.sign_up()
    first = put(service, token, bytes(100_000))
    assert put(service, token, bytes(100_000)).json == first.json
    assert code(put(service, token, bytes(100_001))) == (413, "file-too-large")
    assert code(put(service, token, bytes(99_999))) == (422, "idempotency-key-reused")
    assert code(put(service, token, bytes(100_000), Idempotency_Key="new")) == (413, "quota-exceeded")
    assert put(service, token, bytes(100_000)).json == first.json


def test_repeat_after_deletion_restores_nothing(service: Edge, token: str) -> None:
    """A repeated upload of a deleted file is 410, a repeated share is 404, and nothing is stored."""
    file = post(service, token).json["id"]
    assert share(service, token, file, key="link").status_code == 200
    assert service.call("DELETE", f"/files/{file}", token=token).status_code == 204
    assert code(post(service, token)) == (410, "idempotent-result-gone")
    assert share(service, token, file, key="link").status_code == 404
    assert service.is_empty()


@pytest.mark.parametrize(
    ("one", "same"),
    [('"a"', "a"), (r'"q\"\\"', r'"q\"\\"'), ("~!#$%&'()*+-./:;<=>?@", '"~!#$%&\'()*+-./:;<=>?@"'), ('"a,b"', '"a,b"')],
)
def test_quoted_and_bare_spelling_are_the_same_key(service: Edge, token: str, one: str, same: str) -> None:
    """A key may be a quoted string or a bare word."""
    first = post(service, token, key=one)
    assert first.status_code == 201, first.text
    assert post(service, token, key=same).json == first.json


MALFORMED = ["", '""', '"', '"a', 'a"', '"a""b"', '"a", "b"', "a,b", "a b", '"a b"', "\x80", '"a";p', r"a\b", r'"\a"']


@pytest.mark.parametrize("key", [*MALFORMED, "x" * 256, '"' + "x" * 256 + '"'])
def test_malformed_key_is_rejected(service: Edge, token: str, key: str) -> None:
    """Every call that accepts the header returns 400 and stores nothing."""
    file = post(service, token, key=None).json["id"]
    for response in (
        post(service, token, key=key),
        put(service, token, b"once", Idempotency_Key=key),
        share(service, token, file, key=key),
    ):
        assert code(response) == (400, "invalid-idempotency-key")
    assert file_ids(service, token) == [file]


def test_key_of_maximum_length_is_accepted(service: Edge, token: str) -> None:
    """The maximum is 255 characters, quoted or bare."""
    assert post(service, token, key="x" * 255).json == post(service, token, key='"' + "x" * 255 + '"').json


def test_header_is_ignored_where_it_has_no_meaning(service: Edge) -> None:
    """A sign-in with a malformed Idempotency-Key succeeds."""
    service.sign_up("signer")
    login = {"email": "signer@example.org", "password": PASSWORD}
    response = service.call("POST", "/auth/login", body=login, headers={"Idempotency-Key": '"'})
    assert response.status_code == 200


# --- concurrent requests ----------------------------------------------------------------------------


@attrs.frozen
class Preceded:
    """
    A use case that first runs another call, as a concurrent request would.
    """

    _use_case: Any
    _meanwhile: Callable[[], object]

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self._meanwhile()
        return self._use_case(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._use_case, name)


@attrs.define
class ConcurrentPut:
    """
    The same PUT with its own content, sent once by another client while a thread of the request under test waits.
    """

    service: Edge
    token: str
    content: bytes
    query: str = ""
    key: str = KEY
    responses: list[Result] = attrs.field(factory=list, init=False)

    def __call__(self) -> None:
        if not self.responses:
            self.responses.append(asyncio.run(self._put()))

    async def _put(self) -> Result:
        headers = {"Idempotency-Key": self.key, "Content-Type": "text/plain", "Authorization": f"Bearer {self.token}"}
        async with falcon.testing.ASGIConductor(self.service.client.app) as client:
            response: Result = await client.simulate_put(
                f"{API}/files/once.txt", headers=headers, body=self.content, query_string=self.query
            )
        return response


@pytest.mark.parametrize("content", [b"once", CONTENT])
def test_concurrent_repeats_return_the_same_response(service: Edge, token: str, content: bytes) -> None:
    """Both bodies are received; one commit succeeds, and the parts of the other request are deleted."""
    concurrent = ConcurrentPut(service, token, content, "is_public=true")
    slow = put(
        service.with_use_cases(seal_upload=Preceded(service.application.sharing.seal_upload, concurrent)),
        token,
        content,
        query="is_public=true",
    )
    (first,) = concurrent.responses
    assert (slow.status_code, slow.json) == (first.status_code, first.json) == (201, first.json)
    assert file_ids(service, token) == [slow.json["id"]]
    assert blob_count(service) == -(-len(content) // 65536)


def test_concurrent_different_request_is_rejected(service: Edge, token: str) -> None:
    """The key belongs to the request that commits first; nothing of the other request remains."""
    concurrent = ConcurrentPut(service, token, b"first")
    slow = put(
        service.with_use_cases(seal_upload=Preceded(service.application.sharing.seal_upload, concurrent)),
        token,
        b"second",
    )
    assert code(slow) == (422, "idempotency-key-reused")
    assert file_ids(service, token) == [concurrent.responses[0].json["id"]]
    assert blob_count(service) == 1


def test_concurrent_repeat_without_quota_is_asked_to_retry(make_edge: Callable[..., Edge]) -> None:
    """If the quota does not allow a second copy while both run, the repeat is 409; its retry succeeds."""
    service = make_edge(USER_QUOTA="1000")
    token, content = service.sign_up(), bytes(600)
    concurrent = ConcurrentPut(service, token, content)
    late = put(
        service.with_use_cases(begin_upload=Preceded(service.application.vault.begin_upload, concurrent)),
        token,
        content,
    )
    assert code(late) == (409, "idempotency-key-in-use")
    assert int(late.headers["retry-after"]) > 0
    assert put(service, token, content).json == concurrent.responses[0].json
    assert blob_count(service) == 1


def test_quota_exceeded_at_commit_leaves_nothing(make_edge: Callable[..., Edge]) -> None:
    """If another request uses the quota meanwhile, the commit is 413 and the key stays unused."""
    service = make_edge(USER_QUOTA="1000")
    token = service.sign_up()
    concurrent = ConcurrentPut(service, token, bytes(600), key="another")
    late = put(
        service.with_use_cases(seal_upload=Preceded(service.application.sharing.seal_upload, concurrent)),
        token,
        bytes(600),
    )
    assert code(late) == (413, "quota-exceeded")
    assert blob_count(service) == 1
    assert put(service, token, bytes(400)).status_code == 201


def test_key_that_expires_during_its_repeat_is_asked_to_retry(service: Edge, token: str) -> None:
    """The body was only compared and cannot be stored, so it is 409; the next request creates a new file."""
    first = put(service, token, b"once").json
    expires = Preceded(service.application.sharing.find_idempotent_result, lambda: service.clock.advance(hours=24))
    assert code(put(service.with_use_cases(find_idempotent_result=expires), token, b"once")) == (
        409,
        "idempotency-key-in-use",
    )
    again = put(service, service.sign_in()["access_token"], b"once").json
    assert again["id"] != first["id"]


def test_truncated_repeat_is_malformed(service: Edge, token: str) -> None:
    """A truncated form is 400 as in a first request, and the recorded response is retained."""
    first = post(service, token).json
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Idempotency-Key": KEY}
    truncated = service.call("POST", "/files/upload", token=token, headers=headers, raw=file_part(b"once", "once.txt"))
    assert code(truncated) == (400, "malformed-request")
    assert post(service, token).json == first


def test_repeat_with_a_second_file_is_rejected(service: Edge, token: str) -> None:
    """A second file part is 422, as in a first request."""
    post(service, token)
    response = post(service, token, more=part(b'form-data; name="file"; filename="b"', b"x"))
    assert response.status_code == 422
    assert response.json["code"] == "invalid-value"
