"""
JSON bodies: fields that are missing, mistyped, out of bounds or repeated, and malformed JSON.

The last section tests the parser `sft_http.resources.json_body` by itself, with generated bodies.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import product
from typing import Any

import falcon.testing
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from sft_http.errors import MalformedRequest
from sft_http.resources.json_body import parse
from support.app.edge import PASSWORD, Edge

BODIES: dict[str, dict[str, Any]] = {
    "/auth/register": {"email": "new@example.org", "username": "newcomer", "password": PASSWORD},
    "/auth/login": {"email": "maya@example.org", "password": PASSWORD},
    "/auth/refresh": {"refresh_token": "x.y.z"},
    "/auth/2fa/verify": {"totp_code": "123456"},
    "/auth/2fa/disable": {"totp_code": "123456"},
}
FIELDS = [(path, name) for path, body in BODIES.items() for name in body]


@pytest.fixture(scope="module")
def service(shared_service: Edge) -> Edge:
    return shared_service


@pytest.fixture(scope="module")
def token(shared_token: str) -> str:
    return shared_token


def assert_fault(response: falcon.testing.Result, path: str) -> None:
    assert response.status_code == 422, response.text
    assert response.headers["content-type"] == "application/problem+json"
    assert path in {error["path"] for error in response.json["errors"]}
    assert all(error["message"] for error in response.json["errors"])


@pytest.mark.parametrize(("path", "name"), FIELDS)
def test_missing_field_is_named(service: Edge, token: str, path: str, name: str) -> None:
    """A body without one of its fields is 422 and names the field."""
    body = {key: value for key, value in BODIES[path].items() if key != name}
    assert_fault(service.call("POST", path, token=token, body=body), name)


@pytest.mark.parametrize(("path", "name"), FIELDS)
@pytest.mark.parametrize("value", [None, 7, 1.5, True, [], {}, ["x"]])
def test_field_of_another_type_is_named(service: Edge, token: str, path: str, name: str, value: object) -> None:
    """No value is converted to another type."""
    assert_fault(service.call("POST", path, token=token, body=BODIES[path] | {name: value}), name)


@pytest.mark.parametrize(
    ("path", "name", "value"),
    [
        ("/auth/register", "email", "nobody"),
        ("/auth/register", "email", "a@b"),
        ("/auth/register", "email", "a b@example.org"),
        ("/auth/register", "email", "a@example.org\r\nBcc: x@example.org"),
        ("/auth/register", "email", "a" * 65 + "@example.org"),
        ("/auth/register", "email", "a@" + "b" * 250 + ".org"),
        ("/auth/register", "username", "ab"),
        ("/auth/register", "username", "a" * 51),
        ("/auth/register", "username", "a b c"),
        ("/auth/register", "username", "<script>"),
        ("/auth/register", "username", "a\u202eb"),
        ("/auth/register", "password", "1234567"),
        ("/auth/register", "password", "x" * 1025),
        ("/auth/register", "password", "é" * 513),
        ("/auth/register", "password", "\ud800" * 8),
        ("/auth/login", "password", "x" * 60_000),
        ("/auth/refresh", "refresh_token", "x" * 5000),
    ],
)
def test_value_out_of_bounds_is_named(service: Edge, path: str, name: str, value: str) -> None:
    """A value that breaks the rule of its field is 422 under the field's name."""
    assert_fault(service.call("POST", path, body=BODIES[path] | {name: value}), name)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *product(("expires_hours", "max_downloads"), ("1", 1.0, 1.5, True, [], 0, -1, 2**31, 10**19)),
        ("expires_hours", 721),
    ],
)
def test_invalid_share_terms_are_named(service: Edge, token: str, name: str, value: object) -> None:
    """Share terms are integers within their bounds; with any other value no link is created."""
    file = service.store(token, b"x")
    assert_fault(service.call("POST", f"/files/{file['id']}/share", token=token, body={name: value}), name)
    assert service.call("GET", f"/files/{file['id']}", token=token).json["share_token"] is None


@pytest.mark.parametrize(
    "raw",
    [
        b'{"email": "a@example.org", "email": "b@example.org", "password": "x"}',
        b'{"password": NaN}',
        b'{"password": Infinity}',
        b'{"password": 1e999}',
        b'{"password": ' + b"9" * 5000 + b"}",
        b"[" * 30_000,
        b'{"a":' * 9_000,
        b'\xef\xbb\xbf{"email": "a@example.org"}',
        '{"email": "é@example.org"}'.encode("latin-1"),
        b"",
        b"{",
        b"[]",
        b'"text"',
        b"null",
        b"7",
        b"{} trailing",
        b"{'email': 1}",
        b"\x00",
    ],
)
def test_body_that_is_no_json_object_is_malformed(service: Edge, raw: bytes) -> None:
    """A body that is ambiguous, malformed or no object is 400, never 500."""
    response = service.call("POST", "/auth/login", raw=raw, headers={"Content-Type": "application/json"})
    assert (response.status_code, response.json["code"]) == (400, "malformed-request")


@pytest.mark.parametrize(
    "media_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "x"]
)
def test_another_media_type_is_unsupported(service: Edge, media_type: str) -> None:
    """A body is parsed as JSON only if its type is application/json; otherwise it is 415."""
    response = service.call(
        "POST", "/auth/login", raw=b"{}", headers={"Content-Type": media_type} if media_type else None
    )
    assert (response.status_code, response.json["code"]) == (415, "unsupported-media-type")


def test_parameters_of_the_media_type_are_ignored(service: Edge) -> None:
    """`application/json; charset=utf-8` is parsed as JSON."""
    headers = {"Content-Type": "Application/JSON; charset=utf-8"}
    assert service.call("POST", "/auth/login", raw=b"{}", headers=headers).status_code == 422


def test_body_over_the_limit_is_rejected(service: Edge) -> None:
    """A JSON body beyond its own size limit is 413."""
    response = service.call("POST", "/auth/login", body={"email": "x" * 70_000})
    assert (response.status_code, response.json["code"]) == (413, "content-too-large")


def test_unknown_fields_are_ignored(service: Edge) -> None:
    """A client cannot set the properties of an account that the API does not offer."""
    body = BODIES["/auth/register"] | {
        "is_admin": True,
        "is_active": False,
        "is_verified": True,
        "quota": 1e18,
        "id": "1",
    }
    user = service.call("POST", "/auth/register", body=body).json
    assert (user["is_active"], user["is_verified"]) == (True, False)
    assert user["id"] != "1"


@pytest.mark.parametrize(
    "code", ["12345", "1234567", "12 456", "１２３４５６", "١٢٣٤٥٦", "", "abcdef", "-12345", "1e5000"]
)
def test_totp_code_that_is_not_six_ascii_digits_is_wrong(make_edge: Callable[..., Edge], code: str) -> None:
    """Other digits, spaces and lengths are 400 like any wrong code."""
    service = make_edge()
    token = service.sign_up()
    assert service.call("POST", "/auth/2fa/setup", token=token).status_code == 200
    response = service.call("POST", "/auth/2fa/verify", token=token, body={"totp_code": code})
    assert (response.status_code, response.json["detail"]) == (400, "Invalid 2FA code")


def test_password_is_compared_completely(service: Edge) -> None:
    """NULs and trailing spaces are significant; two Unicode normal forms of one text are equal."""
    secrets = {"nul": "pass\0word", "space": "password ", "accent": "cafe\u0301 noir"}
    for name, secret in secrets.items():
        body = {"email": f"{name}@example.org", "username": name, "password": secret}
        assert service.call("POST", "/auth/register", body=body).status_code == 201

    def status(name: str, secret: str) -> int:
        return service.call(
            "POST", "/auth/login", body={"email": f"{name}@example.org", "password": secret}
        ).status_code

    assert status("nul", "pass\0word") == status("space", "password ") == status("accent", "caf\u00e9 noir") == 200
    assert status("nul", "pass") == status("space", "password") == status("accent", "cafe noir") == 401


def test_unknown_account_and_wrong_password_get_the_same_response(service: Edge, token: str) -> None:
    """Body, status and headers of the two rejections do not differ."""
    assert token
    wrong = service.call("POST", "/auth/login", body={"email": "maya@example.org", "password": "wrong"})
    unknown = service.call("POST", "/auth/login", body={"email": "nobody@example.org", "password": "wrong"})
    assert {**wrong.headers, "x-request-id": ""} == {**unknown.headers, "x-request-id": ""}
    assert {**wrong.json, "instance": ""} == {**unknown.json, "instance": ""}


# --- the parser by itself ---------------------------------------------------------------------------

values = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(-(10**18), 10**18),
        st.floats(allow_nan=False, allow_infinity=False),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=10),
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=5), inner, max_size=4)),
    max_leaves=15,
)


@given(body=st.dictionaries(st.text(max_size=5), values, max_size=5), ascii_only=st.booleans())
def test_every_serialized_object_is_parsed_unchanged(body: dict[str, Any], *, ascii_only: bool) -> None:
    """The parser returns any object that `json.dumps` has written."""
    text = json.dumps(body, ensure_ascii=ascii_only)
    assume(text.isascii() or "\\ud" not in text)
    try:
        raw = text.encode()
    except UnicodeEncodeError:
        return
    assert parse(raw) == body


@given(raw=st.binary(max_size=60))
def test_arbitrary_bytes_are_an_object_or_malformed(raw: bytes) -> None:
    """The parser agrees with `json.loads` or raises MalformedRequest, and no other error."""
    try:
        found = parse(raw)
    except MalformedRequest:
        return
    assert isinstance(found, dict)
    assert found == json.loads(raw)


@given(body=st.dictionaries(st.sampled_from("abc"), st.integers(0, 9), min_size=1), again=st.integers(0, 9))
def test_repeated_name_is_rejected_at_any_depth(body: dict[str, int], again: int) -> None:
    """Parsers differ in which of two values they use, so an object with a repeated name is malformed."""
    name = next(iter(body))
    twice = json.dumps(body)[:-1] + f', "{name}": {again}}}'
    for raw in (twice, f'{{"x": {twice}}}', f'{{"x": [1, {twice}]}}'):
        with pytest.raises(MalformedRequest):
            parse(raw.encode())
