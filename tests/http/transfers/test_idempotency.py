"""
Requests with an Idempotency-Key: sent twice, done once, answered the same.
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
"""More than two parts."""


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


def listed(service: Edge, token: str) -> list[str]:
    return [file["id"] for file in service.call("GET", "/files/", token=token).json]


def blobs(service: Edge) -> int:
    return len([*service.application.vault.store_part.blobs.list()])


def code(response: Result) -> tuple[int, str]:
    return response.status_code, response.json["code"]


@pytest.mark.parametrize("content", [b"", b"once", CONTENT])
@pytest.mark.parametrize("query", ["", "is_public=true&max_downloads=3"])
def test_an_upload_sent_twice_is_one_file(service: Edge, token: str, content: bytes, query: str) -> None:
    """By a form and by PUT: the same status and the same JSON, one row, its parts, and no more of the quota."""
    for send in (post, put):
        first = send(service, token, content, query=query)
        stored = blobs(service)
        assert first.status_code == 201
        assert first.json["is_public"] == bool(query)
        for _ in range(2):
            again = send(service, token, content, query=query)
            assert (again.status_code, again.json) == (201, first.json)
        assert blobs(service) == stored
        assert listed(service, token) == [first.json["id"]]
        assert service.call("GET", f"/files/{first.json['id']}/download", token=token).content == content
        if query:
            assert service.call("GET", f"/files/shared/{first.json['share_token']}").content == content
        service.clock.advance(hours=24)
        token = service.sign_in()["access_token"]
        assert service.call("DELETE", f"/files/{first.json['id']}", token=token).status_code == 204
    assert service.is_empty()


def test_a_form_is_the_same_whatever_stands_around_it(service: Edge, token: str) -> None:
    """Another boundary, other places of the fields: clients send them anew each time."""
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
def test_another_upload_under_the_key_is_refused(service: Edge, token: str, change: str, sent: dict[str, Any]) -> None:
    """Whatever differs: 422, nothing of it is stored, and the first answer stays."""
    first = post(service, token)
    assert code(post(service, token, **sent)) == (422, "idempotency-key-reused"), change
    assert (blobs(service), listed(service, token)) == (1, [first.json["id"]])
    assert post(service, token).json == first.json


def test_another_call_or_media_type_is_another_request(service: Edge, token: str) -> None:
    """The same bytes under the same name by PUT, as a form, of another type, or a link in their place."""
    first = put(service, token, b"once").json
    for response in (
        put(service, token, b"once", Content_Type="text/html"),
        post(service, token),
        share(service, token, first["id"]),
    ):
        assert code(response) == (422, "idempotency-key-reused")
    assert listed(service, token) == [first["id"]]
    assert not service.call("GET", f"/files/{first['id']}", token=token).json["is_public"]


def test_the_answer_is_that_of_the_first_time(service: Edge, token: str) -> None:
    """Whatever has become of the file, to which an end was set, and of the link: fetched, beside a newer one, over."""
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


def test_a_link_asked_for_twice_is_one_link(service: Edge, token: str) -> None:
    """The same token; an empty body and one that says nothing are the same, other terms or files are not."""
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


def test_a_key_is_its_owners(service: Edge, token: str) -> None:
    """Somebody else's same key is another one: each gets a file of their own."""
    mine, others = post(service, token).json, post(service, service.sign_up("noor"), b"other").json
    assert mine["id"] != others["id"]
    assert post(service, token).json == mine


def test_what_was_refused_is_tried_anew(service: Edge, token: str) -> None:
    """A refusal leaves nothing under the key: mended, the request is done."""
    assert post(service, token, query="max_downloads=0").status_code == 422
    assert post(service, token, name="a/b").status_code == 422
    assert share(service, token, "00000000-0000-7000-8000-000000000000").status_code == 404
    assert post(service, token).status_code == 201


def test_a_repeat_is_held_to_the_limits(make_edge: Callable[..., Edge]) -> None:
    """Its body may be no larger than a file's, has to be whole, and asks no quota."""
    service = make_edge(MAX_FILE_SIZE="100000", USER_QUOTA="100000")
    token = service.sign_up()
    first = put(service, token, bytes(100_000))
    assert put(service, token, bytes(100_000)).json == first.json
    assert code(put(service, token, bytes(100_001))) == (413, "file-too-large")
    assert code(put(service, token, bytes(99_999))) == (422, "idempotency-key-reused")
    assert code(put(service, token, bytes(100_000), Idempotency_Key="new")) == (413, "quota-exceeded")
    assert put(service, token, bytes(100_000)).json == first.json


def test_a_deleted_file_does_not_come_back(service: Edge, token: str) -> None:
    """A repeat that comes after the deletion is told that it is gone."""
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
def test_how_a_key_may_be_spelt(service: Edge, token: str, one: str, same: str) -> None:
    """A quoted string and a bare word are the same key."""
    first = post(service, token, key=one)
    assert first.status_code == 201, first.text
    assert post(service, token, key=same).json == first.json


MALFORMED = ["", '""', '"', '"a', 'a"', '"a""b"', '"a", "b"', "a,b", "a b", '"a b"', "\x80", '"a";p', r"a\b", r'"\a"']


@pytest.mark.parametrize("key", [*MALFORMED, "x" * 256, '"' + "x" * 256 + '"'])
def test_what_is_no_key_is_refused(service: Edge, token: str, key: str) -> None:
    """On every call that takes one, before anything is stored."""
    file = post(service, token, key=None).json["id"]
    for response in (
        post(service, token, key=key),
        put(service, token, b"once", Idempotency_Key=key),
        share(service, token, file, key=key),
    ):
        assert code(response) == (400, "invalid-idempotency-key")
    assert listed(service, token) == [file]


def test_the_longest_key_is_taken(service: Edge, token: str) -> None:
    """255 characters, quoted or bare."""
    assert post(service, token, key="x" * 255).json == post(service, token, key='"' + "x" * 255 + '"').json


def test_where_it_means_nothing_it_is_not_looked_at(service: Edge) -> None:
    """A sign-in with a malformed one is a sign-in."""
    service.sign_up("signer")
    login = {"email": "signer@example.org", "password": PASSWORD}
    response = service.call("POST", "/auth/login", body=login, headers={"Idempotency-Key": '"'})
    assert response.status_code == 200


# --- at the same moment ----------------------------------------------------------------------------


@attrs.frozen
class After:
    """
    A use case before which something happens.
    """

    _use_case: Any
    _meanwhile: Callable[[], object]

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        self._meanwhile()
        return self._use_case(*arguments, **named)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._use_case, name)


@attrs.define
class Faster:
    """
    The same call with a content of its own, made once by another client while a lane's thread waits for it.
    """

    service: Edge
    token: str
    content: bytes
    query: str = ""
    key: str = KEY
    answers: list[Result] = attrs.field(factory=list, init=False)

    def __call__(self) -> None:
        if not self.answers:
            self.answers.append(asyncio.run(self._put()))

    async def _put(self) -> Result:
        headers = {"Idempotency-Key": self.key, "Content-Type": "text/plain", "Authorization": f"Bearer {self.token}"}
        async with falcon.testing.ASGIConductor(self.service.client.app) as client:
            response: Result = await client.simulate_put(
                f"{API}/files/once.txt", headers=headers, body=self.content, query_string=self.query
            )
        return response


@pytest.mark.parametrize("content", [b"once", CONTENT])
def test_whoever_is_overtaken_gives_the_same_answer(service: Edge, token: str, content: bytes) -> None:
    """Both were received whole; one commit won, the other one's parts are removed."""
    faster = Faster(service, token, content, "is_public=true")
    slow = put(
        service.with_use_cases(seal_upload=After(service.application.sharing.seal_upload, faster)),
        token,
        content,
        query="is_public=true",
    )
    (first,) = faster.answers
    assert (slow.status_code, slow.json) == (first.status_code, first.json) == (201, first.json)
    assert listed(service, token) == [slow.json["id"]]
    assert blobs(service) == -(-len(content) // 65536)


def test_whoever_is_overtaken_by_another_request_is_refused(service: Edge, token: str) -> None:
    """The key stands for what was committed first; nothing of the other is left."""
    faster = Faster(service, token, b"first")
    slow = put(
        service.with_use_cases(seal_upload=After(service.application.sharing.seal_upload, faster)), token, b"second"
    )
    assert code(slow) == (422, "idempotency-key-reused")
    assert listed(service, token) == [faster.answers[0].json["id"]]
    assert blobs(service) == 1


def test_no_room_beside_the_first_try_is_said_to_come_again(make_edge: Callable[..., Edge]) -> None:
    """A repeat that began before the first try was done, and finds no room any more, gets its answer the next time."""
    service = make_edge(USER_QUOTA="1000")
    token, content = service.sign_up(), bytes(600)
    faster = Faster(service, token, content)
    late = put(
        service.with_use_cases(begin_upload=After(service.application.vault.begin_upload, faster)), token, content
    )
    assert code(late) == (409, "idempotency-key-in-use")
    assert int(late.headers["retry-after"]) > 0
    assert put(service, token, content).json == faster.answers[0].json
    assert blobs(service) == 1


def test_what_the_commit_finds_no_room_for_leaves_nothing(make_edge: Callable[..., Edge]) -> None:
    """Another request took the room after this one had begun: 413, and the key stands for nothing."""
    service = make_edge(USER_QUOTA="1000")
    token = service.sign_up()
    faster = Faster(service, token, bytes(600), key="another")
    late = put(
        service.with_use_cases(seal_upload=After(service.application.sharing.seal_upload, faster)), token, bytes(600)
    )
    assert code(late) == (413, "quota-exceeded")
    assert blobs(service) == 1
    assert put(service, token, bytes(400)).status_code == 201


def test_a_key_that_is_over_while_its_repeat_comes_is_said_to_come_again(service: Edge, token: str) -> None:
    """Its body was read to be compared and is not there to be stored; the next time it makes a new file."""
    first = put(service, token, b"once").json
    over = After(service.application.sharing.find_idempotent_result, lambda: service.clock.advance(hours=24))
    assert code(put(service.with_use_cases(find_idempotent_result=over), token, b"once")) == (
        409,
        "idempotency-key-in-use",
    )
    again = put(service, service.sign_in()["access_token"], b"once").json
    assert again["id"] != first["id"]


def test_a_repeat_that_breaks_off_is_none(service: Edge, token: str) -> None:
    """Shorter than it says, it is refused as the first try would have been, and the answer is still kept."""
    first = post(service, token).json
    headers = {"Content-Type": "multipart/form-data; boundary=b", "Idempotency-Key": KEY}
    cut = service.call("POST", "/files/upload", token=token, headers=headers, raw=file_part(b"once", "once.txt"))
    assert code(cut) == (400, "malformed-request")
    assert post(service, token).json == first


def test_a_part_of_another_name_is_read_as_ever(service: Edge, token: str) -> None:
    """A repeat with a second file is a malformed form, as it would have been the first time."""
    post(service, token)
    response = post(service, token, more=part(b'form-data; name="file"; filename="b"', b"x"))
    assert response.status_code == 422
    assert response.json["code"] == "invalid-value"
