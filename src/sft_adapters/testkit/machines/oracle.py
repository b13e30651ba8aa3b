"""
The oracle: a model of plain dicts that computes the results a system must return.

Each `…_error` method returns the code of the expected refusal, or None if the operation must succeed; each
`note_…` method updates the model after an operation. It shares no code with the system under test
(docs/decisions/0009), and depends on no adapter, port or entity.
"""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from typing import Any, TypeAlias

from sft_adapters.testkit.one_time import code_of, step_at

Row: TypeAlias = dict[str, Any]

DEFAULT_LINK_HOURS = 24
QUOTA_EXCEEDED = "quota-exceeded"


class Oracle:
    """
    Users by address, logins by number, files by id, and links by token.
    """

    def __init__(self, *, access_lifetime: timedelta, refresh_lifetime: timedelta, quota: int | None) -> None:
        self.access_lifetime, self.refresh_lifetime, self.quota = access_lifetime, refresh_lifetime, quota
        self.people: dict[str, Row] = {}
        self.logins: dict[int, Row] = {}
        self.files: dict[str, Row] = {}
        self.links: dict[str, Row] = {}

    # --- people ------------------------------------------------------------------------------

    def register_error(self, email: str, username: str) -> str | None:
        """
        Return the expected refusal of a registration.
        """
        names = {person["name"].lower() for person in self.people.values()}
        taken = email.lower() in self.people or username.lower() in names
        return "already-registered" if taken else None

    def note_person(self, email: str, username: str, password: str, user_id: str) -> None:
        """
        Add a registered user.
        """
        self.people[email.lower()] = {"name": username, "password": password, "id": user_id, "factor": None}

    def spent_step(self, person: Row, code: str, now: datetime) -> int | None:
        """
        Return the step that a code would spend; None if the code is invalid.
        """
        factor = person["factor"]
        step = step_at(now)
        matching = [near for near in (step - 1, step, step + 1) if code_of(factor["seed"], near) == code]
        return matching[-1] if matching and matching[-1] > factor["last"] else None

    def sign_in_error(self, email: str, password: str, code: str | None, now: datetime) -> str | None:
        """
        Return the expected refusal of a sign-in.
        """
        person = self.people.get(email.lower())
        if person is None or person["password"] != password:
            return "bad-credentials"
        if person["factor"] is None or not person["factor"]["confirmed"]:
            return None
        if code is None:
            return "totp-required"
        return None if self.spent_step(person, code, now) is not None else "bad-totp-code"

    def note_login(self, email: str, code: str | None, access: str, refresh: str, now: datetime) -> int:
        """
        Add a login and return its number.
        """
        person = self.people[email.lower()]
        if person["factor"] is not None and person["factor"]["confirmed"] and code is not None:
            person["factor"]["last"] = self.spent_step(person, code, now)
        number = len(self.logins)
        self.logins[number] = {"email": email.lower(), "revoked": False, "generation": 0, "access": [], "refresh": []}
        self._note_tokens(self.logins[number], access, refresh, now)
        return number

    def _note_tokens(self, login: Row, access: str, refresh: str, now: datetime) -> None:
        login["ends"] = now + self.refresh_lifetime
        soon = min(now + self.access_lifetime, login["ends"])
        login["access"].append((access, soon.replace(microsecond=0)))
        login["refresh"].append((refresh, login["generation"], login["ends"].replace(microsecond=0)))

    # --- tokens ------------------------------------------------------------------------------

    def call_error(self, login: Row, which: int, now: datetime) -> str | None:
        """
        Return the expected refusal of access token number `which`, before any other check.
        """
        _, until = login["access"][which]
        return "bad-token" if login["revoked"] or now >= login["ends"] or now >= until else None

    def refresh_error(self, login: Row, which: int, now: datetime) -> str | None:
        """
        Return the expected refusal of refresh token number `which`.
        """
        _, generation, until = login["refresh"][which]
        dead = login["revoked"] or now >= login["ends"] or now >= until
        return "bad-token" if dead or generation != login["generation"] else None

    def note_refusal(self, login: Row, which: int, now: datetime) -> None:
        """
        Record a refused refresh; reuse of a token that was valid once revokes the family.
        """
        _, generation, until = login["refresh"][which]
        if now < until and now < login["ends"] and generation != login["generation"]:
            login["revoked"] = True

    def note_exchange(self, login: Row, access: str, refresh: str, now: datetime) -> None:
        """
        Record an exchanged refresh token.
        """
        login["generation"] += 1
        self._note_tokens(login, access, refresh, now)

    # --- the second factor -------------------------------------------------------------------

    def totp_setup_error(self, person: Row) -> str | None:
        """
        Return the expected refusal of starting a two-factor set-up.
        """
        factor = person["factor"]
        return "totp-already-enabled" if factor is not None and factor["confirmed"] else None

    def totp_confirm_error(self, person: Row, code: str, now: datetime) -> str | None:
        """
        Return the expected refusal of confirming a set-up.
        """
        factor = person["factor"]
        if factor is None or factor["confirmed"]:
            return "totp-not-started"
        return None if self.spent_step(person, code, now) is not None else "bad-totp-code"

    def totp_disable_error(self, person: Row, code: str, now: datetime) -> str | None:
        """
        Return the expected refusal of disabling the second factor.
        """
        factor = person["factor"]
        if factor is None or not factor["confirmed"]:
            return "totp-not-enabled"
        return None if self.spent_step(person, code, now) is not None else "bad-totp-code"

    # --- files -------------------------------------------------------------------------------

    def note_file(self, owner: str, file_id: str, name: str, media_type: str, content: bytes) -> None:
        """
        Add a stored file.
        """
        self.files[file_id] = {"owner": owner, "name": name, "type": media_type, "content": content, "links": []}

    def free_quota(self, owner: str) -> float:
        """
        Return the number of bytes that the owner may still store.
        """
        used = sum(len(file["content"]) for file in self.files.values() if file["owner"] == owner)
        return math.inf if self.quota is None else self.quota - used

    def store_error(self, owner: str, size: int) -> str | None:
        """
        Return the expected refusal of storing `size` bytes.
        """
        return QUOTA_EXCEEDED if size > self.free_quota(owner) else None

    def file_error(self, owner: str, file_id: str) -> str | None:
        """
        Return the expected refusal of an operation on a file by this user.
        """
        file = self.files.get(file_id)
        return "file-not-found" if file is None or file["owner"] != owner else None

    def listed_ids(self, owner: str) -> list[str]:
        """
        Return the ids of the owner's files, newest first.
        """
        return [file_id for file_id, file in reversed(self.files.items()) if file["owner"] == owner]

    def note_deletion(self, file_id: str) -> None:
        """
        Remove a deleted file and its links.
        """
        for token in self.files.pop(file_id)["links"]:
            del self.links[token]

    def downloads(self, file_id: str) -> int:
        """
        Return the number of downloads that all links of a file have granted.
        """
        return sum(self.links[token]["granted"] for token in self.files[file_id]["links"])

    def current_link(self, file_id: str, now: datetime) -> str | None:
        """
        Return the token of the file's newest link that is neither revoked nor expired.
        """
        live = (token for token in reversed(self.files[file_id]["links"]) if self._is_live(self.links[token], now))
        return next(live, None)

    # --- links -------------------------------------------------------------------------------

    @staticmethod
    def _is_live(link: Row, now: datetime) -> bool:
        return not link["revoked"] and now < link["ends"]

    def note_link(self, file_id: str, token: str, *, hours: int | None, downloads: int | None, now: datetime) -> None:
        """
        Add a link.
        """
        ends = now + timedelta(hours=DEFAULT_LINK_HOURS if hours is None else hours)
        self.links[token] = {"file": file_id, "ends": ends, "budget": downloads, "granted": 0, "revoked": False}
        self.files[file_id]["links"].append(token)

    def redeem_error(self, token: str, now: datetime) -> str | None:
        """
        Return the expected refusal of redeeming a link or requesting its metadata.
        """
        link = self.links.get(token)
        if link is None:
            return "link-not-found"
        if link["revoked"]:
            return "link-revoked"
        if now >= link["ends"]:
            return "link-expired"
        return None if link["budget"] is None or link["granted"] < link["budget"] else "download-limit-reached"

    def remaining_grants(self, token: str, wanted: int) -> int:
        """
        Return how many of the `wanted` downloads a live link still grants.
        """
        link = self.links[token]
        return wanted if link["budget"] is None else min(wanted, int(link["budget"]) - int(link["granted"]))

    def linked_content(self, token: str) -> bytes:
        """
        Return the content of the file of a link.
        """
        return bytes(self.files[self.links[token]["file"]]["content"])

    def revoke_error(self, owner: str, token: str) -> str | None:
        """
        Return the expected refusal of revoking a link by this user.
        """
        link = self.links.get(token)
        return None if link is not None and self.files[link["file"]]["owner"] == owner else "link-not-found"
