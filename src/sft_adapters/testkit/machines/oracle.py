"""
What a system must answer: a model of plain dicts that knows no adapter, no port and no entity.

Each question about a verb returns the code of the refusal that is due, or None if the verb must
succeed; each `note_…` records what then has happened. Nothing here is shared with the code that is
judged (docs/decisions/0009).
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
    People by their address, logins by their number, files by their id, links by their token.
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
        What registering must answer.
        """
        names = {person["name"].lower() for person in self.people.values()}
        taken = email.lower() in self.people or username.lower() in names
        return "already-registered" if taken else None

    def note_person(self, email: str, username: str, password: str, user_id: str) -> None:
        """
        Somebody has registered.
        """
        self.people[email.lower()] = {"name": username, "password": password, "id": user_id, "factor": None}

    def spent_step(self, person: Row, code: str, now: datetime) -> int | None:
        """
        The step that a code would spend of the person's second factor; None if it is no good.
        """
        factor = person["factor"]
        step = step_at(now)
        matching = [near for near in (step - 1, step, step + 1) if code_of(factor["seed"], near) == code]
        return matching[-1] if matching and matching[-1] > factor["last"] else None

    def sign_in_error(self, email: str, password: str, code: str | None, now: datetime) -> str | None:
        """
        What signing in must answer.
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
        Somebody has signed in; the number of the login is returned.
        """
        person = self.people[email.lower()]
        if person["factor"] is not None and person["factor"]["confirmed"] and code is not None:
            person["factor"]["last"] = self.spent_step(person, code, now)
        number = len(self.logins)
        self.logins[number] = {"who": email.lower(), "over": False, "generation": 0, "access": [], "refresh": []}
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
        What a call with the login's access token number `which` must answer, before anything else.
        """
        _, until = login["access"][which]
        return "bad-token" if login["over"] or now >= login["ends"] or now >= until else None

    def refresh_error(self, login: Row, which: int, now: datetime) -> str | None:
        """
        What exchanging the login's refresh token number `which` must answer.
        """
        _, generation, until = login["refresh"][which]
        dead = login["over"] or now >= login["ends"] or now >= until
        return "bad-token" if dead or generation != login["generation"] else None

    def note_refusal(self, login: Row, which: int, now: datetime) -> None:
        """
        A refresh token was refused: if it was a good one once, its whole family is over.
        """
        _, generation, until = login["refresh"][which]
        if now < until and now < login["ends"] and generation != login["generation"]:
            login["over"] = True

    def note_exchange(self, login: Row, access: str, refresh: str, now: datetime) -> None:
        """
        A refresh token was exchanged.
        """
        login["generation"] += 1
        self._note_tokens(login, access, refresh, now)

    # --- the second factor -------------------------------------------------------------------

    def totp_setup_error(self, person: Row) -> str | None:
        """
        What beginning a two-factor set-up must answer.
        """
        factor = person["factor"]
        return "totp-already-enabled" if factor is not None and factor["confirmed"] else None

    def totp_confirm_error(self, person: Row, code: str, now: datetime) -> str | None:
        """
        What confirming a set-up must answer.
        """
        factor = person["factor"]
        if factor is None or factor["confirmed"]:
            return "totp-not-started"
        return None if self.spent_step(person, code, now) is not None else "bad-totp-code"

    def totp_disable_error(self, person: Row, code: str, now: datetime) -> str | None:
        """
        What switching the second factor off must answer.
        """
        factor = person["factor"]
        if factor is None or not factor["confirmed"]:
            return "totp-not-enabled"
        return None if self.spent_step(person, code, now) is not None else "bad-totp-code"

    # --- files -------------------------------------------------------------------------------

    def note_file(self, owner: str, file_id: str, name: str, media_type: str, content: bytes) -> None:
        """
        A file was stored.
        """
        self.files[file_id] = {"owner": owner, "name": name, "type": media_type, "content": content, "links": []}

    def free_quota(self, owner: str) -> float:
        """
        How many bytes more the owner may store.
        """
        used = sum(len(file["content"]) for file in self.files.values() if file["owner"] == owner)
        return math.inf if self.quota is None else self.quota - used

    def store_error(self, owner: str, size: int) -> str | None:
        """
        What storing so many bytes must answer.
        """
        return QUOTA_EXCEEDED if size > self.free_quota(owner) else None

    def file_error(self, owner: str, file_id: str) -> str | None:
        """
        What a verb about one of the owner's files must answer.
        """
        file = self.files.get(file_id)
        return "file-not-found" if file is None or file["owner"] != owner else None

    def listed_ids(self, owner: str) -> list[str]:
        """
        The ids of the owner's files, newest first.
        """
        return [file_id for file_id, file in reversed(self.files.items()) if file["owner"] == owner]

    def note_deletion(self, file_id: str) -> None:
        """
        A file was deleted, and its links with it.
        """
        for token in self.files.pop(file_id)["links"]:
            del self.links[token]

    def downloads(self, file_id: str) -> int:
        """
        How often all links of a file have granted it.
        """
        return sum(self.links[token]["granted"] for token in self.files[file_id]["links"])

    def current_link(self, file_id: str, now: datetime) -> str | None:
        """
        The file's newest link that is neither revoked nor expired.
        """
        live = (token for token in reversed(self.files[file_id]["links"]) if self._is_live(self.links[token], now))
        return next(live, None)

    # --- links -------------------------------------------------------------------------------

    @staticmethod
    def _is_live(link: Row, now: datetime) -> bool:
        return not link["revoked"] and now < link["ends"]

    def note_link(self, file_id: str, token: str, *, hours: int | None, downloads: int | None, now: datetime) -> None:
        """
        A link was made.
        """
        ends = now + timedelta(hours=DEFAULT_LINK_HOURS if hours is None else hours)
        self.links[token] = {"file": file_id, "ends": ends, "budget": downloads, "granted": 0, "revoked": False}
        self.files[file_id]["links"].append(token)

    def redeem_error(self, token: str, now: datetime) -> str | None:
        """
        What redeeming a link, or looking at it, must answer.
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
        How many of so many downloads a live link still grants.
        """
        link = self.links[token]
        return wanted if link["budget"] is None else min(wanted, int(link["budget"]) - int(link["granted"]))

    def linked_content(self, token: str) -> bytes:
        """
        The content of the file that a link leads to.
        """
        return bytes(self.files[self.links[token]["file"]]["content"])

    def revoke_error(self, owner: str, token: str) -> str | None:
        """
        What withdrawing a link must answer.
        """
        link = self.links.get(token)
        return None if link is not None and self.files[link["file"]]["owner"] == owner else "link-not-found"
