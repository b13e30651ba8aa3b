"""
Rate limits for passwords and one-time codes: they slow down guessing, and lock out no other user.
"""

from __future__ import annotations

from collections.abc import Callable

import falcon.testing
import pyotp
import pytest

from support.app.edge import PASSWORD, Edge

MakeEdge = Callable[..., Edge]


def login(edge: Edge, *, password: str = "not the password", email: str = "maya@example.org", origin: str = "192.0.2.7",
          **more: str) -> falcon.testing.Result:  # fmt: skip
    body = {"email": email, "password": password, **more}
    return edge.client.simulate_post("/api/v1/auth/login", json=body, remote_addr=origin)


def refused(response: falcon.testing.Result) -> int:
    assert response.status_code == 429
    assert response.json["code"] == "too-many-attempts"
    return int(response.headers["Retry-After"])


@pytest.fixture
def guarded(make_edge: MakeEdge) -> Edge:
    edge = make_edge(SIGN_IN_ATTEMPTS="3", TOTP_ATTEMPTS="2", ATTEMPTS_WINDOW_MINUTES="3")
    edge.sign_up()
    return edge


def test_correct_password_after_too_many_wrong_ones_is_429(guarded: Edge) -> None:
    """Retry-After states the wait, after which one more attempt is accepted."""
    assert [login(guarded).status_code for _ in range(3)] == [401, 401, 401]
    seconds = refused(login(guarded, password=PASSWORD))
    assert seconds == 60
    guarded.clock.advance(seconds=seconds)
    assert login(guarded, password=PASSWORD).status_code == 200


def test_unknown_account_is_throttled_alike(guarded: Edge) -> None:
    """A limit does not reveal which accounts exist."""
    responses = [login(guarded, email="nobody@example.org") for _ in range(4)]
    assert [response.status_code for response in responses] == [401, 401, 401, 429]


@pytest.mark.parametrize("origin", ["192.0.3.7", "2001:db8:0:100::1", "no-address"])
def test_guesses_from_another_network_do_not_lock_the_owner_out(guarded: Edge, origin: str) -> None:
    """They use up the attempts of that network only; the owner's password and tokens stay valid."""
    tokens = guarded.sign_in()
    for _ in range(4):
        login(guarded, origin=origin)
    refused(login(guarded, password=PASSWORD, origin=origin))
    assert login(guarded, password=PASSWORD).status_code == 200
    assert guarded.call("GET", "/auth/me", token=tokens["access_token"]).status_code == 200
    assert guarded.call("POST", "/auth/refresh", body={"refresh_token": tokens["refresh_token"]}).status_code == 200


@pytest.mark.parametrize(
    "pair", [("192.0.2.1", "192.0.2.254"), ("2001:db8:0:100::1", "2001:db8:0:1ff:ffff::1"), ("no-address", "nonsense")]
)
def test_addresses_of_one_network_share_their_attempts(guarded: Edge, pair: tuple[str, str]) -> None:
    """Another address of the same network gets no new attempts."""
    first, second = pair
    assert [login(guarded, origin=first).status_code for _ in range(3)] == [401, 401, 401]
    refused(login(guarded, password=PASSWORD, origin=second))


def test_forwarding_headers_do_not_change_the_origin(guarded: Edge) -> None:
    """A forged forwarding header gets no new attempts."""
    for number in range(3):
        headers = {"X-Forwarded-For": f"198.51.100.{number}", "Forwarded": f"for=198.51.100.{number}"}
        body = {"email": "maya@example.org", "password": "not the password"}
        guarded.client.simulate_post("/api/v1/auth/login", json=body, headers=headers, remote_addr="192.0.2.7")
    refused(login(guarded, password=PASSWORD))


def test_success_resets_the_attempts(guarded: Edge) -> None:
    """A user with occasional typing errors is never locked out."""
    for _ in range(4):
        assert [login(guarded).status_code for _ in range(2)] == [401, 401]
        assert login(guarded, password=PASSWORD).status_code == 200


def test_one_time_codes_are_throttled_per_user(guarded: Edge) -> None:
    """Sign-in, verification and disabling share the attempts of a user, from any network."""
    token = guarded.sign_in()["access_token"]
    phone = pyotp.TOTP(guarded.call("POST", "/auth/2fa/setup", token=token).json["secret"])
    now = guarded.clock.now()
    code = {"totp_code": phone.at(now)}
    assert guarded.call("POST", "/auth/2fa/verify", token=token, body=code).status_code == 200
    wrong = f"{(int(phone.at(now)) + 500_000) % 1_000_000:06}"
    assert login(guarded, password=PASSWORD, totp_code=wrong).status_code == 401
    assert guarded.call("POST", "/auth/2fa/disable", token=token, body={"totp_code": wrong}).status_code == 400
    later = phone.at(now, counter_offset=1)
    refused(login(guarded, password=PASSWORD, totp_code=later, origin="198.51.100.1"))
    refused(guarded.call("POST", "/auth/2fa/disable", token=token, body={"totp_code": later}))
    guarded.clock.advance(seconds=90)
    assert login(guarded, password=PASSWORD, totp_code=phone.at(guarded.clock.now())).status_code == 200
