"""
The private names of gunicorn that the server depends on: each exists and is of the expected kind.
"""

from __future__ import annotations

import ast
import asyncio
import inspect
from collections import deque
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
from gunicorn.asgi import protocol as gunicorn_protocol
from gunicorn.asgi.parser import CallbackRequest, PythonProtocol
from gunicorn.asgi.protocol import ASGIProtocol, BodyReceiver
from gunicorn.config import Config
from gunicorn.workers import gasgi
from gunicorn.workers.gasgi import ASGIWorker

from sft_http.server import gunicorn_internals
from sft_http.server.chunked_parser import BoundedChunkParser, CoalescingReceiver
from sft_http.server.gunicorn_internals import BodyQueue, ConnectionProtocol, RequestParser, Worker
from sft_http.server.protocol import SftProtocol
from sft_http.server.worker import SftWorker
from support.protocol import InProcessWorker

METHODS = {
    (PythonProtocol, "_find_line"): "(self, limit, error)",
    (BodyReceiver, "_pop_chunk"): "(self)",
    (ASGIProtocol, "_arm_keepalive_timer"): "(self)",
    (ASGIProtocol, "_build_http_scope"): "(self, request, sockname, peername)",
    (ASGIProtocol, "_close_transport"): "(self)",
    (ASGIProtocol, "_feed_callback_parser"): "(self, data)",
    (ASGIProtocol, "_handle_http_request"): "(self, request, sockname, peername, complete=None)",
    (ASGIProtocol, "_http1_buffered"): "(self)",
    (ASGIProtocol, "_is_websocket_upgrade"): "(self, request)",
    (ASGIProtocol, "_maybe_resume_reading"): "(self)",
    (ASGIProtocol, "_on_body"): "(self, chunk)",
    (ASGIProtocol, "_on_headers_complete"): "(self)",
    (ASGIProtocol, "_on_message_complete"): "(self)",
    (ASGIProtocol, "_pause_reading"): "(self)",
    (ASGIProtocol, "_resume_reading"): "(self)",
    (ASGIProtocol, "_safe_write"): "(self, data)",
    (ASGIProtocol, "_send_body"): "(self, body, chunked=False, last=False, size=None)",
    (ASGIProtocol, "_send_error_response"): "(self, status, message, extra_headers=())",
    (ASGIProtocol, "_send_response_start"): "(self, status, headers, request, close=False)",
    (ASGIProtocol, "_serve_http_request"): "(self, request, sockname, peername)",
    (ASGIProtocol, "_setup_callback_parser"): "(self)",
    (ASGIProtocol, "_will_close"): "(self, request, response_requires_close)",
    (ASGIWorker, "_serve"): "(self)",
    (ASGIWorker, "_shutdown"): "(self)",
}
COROUTINES = {"_handle_http_request", "_serve", "_serve_http_request", "_shutdown"}
ATTRIBUTES: dict[tuple[type[Any], str], type[Any]] = {
    (PythonProtocol, "_body_remaining"): int,
    (PythonProtocol, "_buffer"): bytearray,
    (PythonProtocol, "_chunk_size"): int,
    (PythonProtocol, "_chunk_state"): str,
    (PythonProtocol, "_state"): str,
    (BodyReceiver, "_body_wait_expired"): bool,
    (BodyReceiver, "_buffered"): int,
    (BodyReceiver, "_chunks"): deque,
    (BodyReceiver, "_complete"): bool,
    (ASGIProtocol, "_awaiting_request"): bool,
    (ASGIProtocol, "_body_receiver"): type(None),
    (ASGIProtocol, "_callback_parser"): type(None),
    (ASGIProtocol, "_closed"): bool,
    (ASGIProtocol, "_conn_lost_handled"): bool,
    (ASGIProtocol, "_current_request"): type(None),
    (ASGIProtocol, "_is_ssl"): bool,
    (ASGIProtocol, "_request_ready"): type(None),
    (ASGIWorker, "_quick_shutdown"): bool,
}
GLOBALS = {"_REASON_PHRASES"}


def instance_of(kind: type[Any]) -> Any:
    """
    A new instance of one of gunicorn's classes.
    """
    cfg = Config()
    if kind is PythonProtocol:
        return PythonProtocol()
    if kind is BodyReceiver:
        return BodyReceiver(CallbackRequest(), ASGIProtocol(InProcessWorker()))
    if kind is ASGIProtocol:
        return ASGIProtocol(InProcessWorker())
    worker = ASGIWorker(1, 1, [], InProcessWorker().app, 1, cfg, None)
    worker.tmp.close()
    return worker


def test_gunicorn_release_is_the_reviewed_one() -> None:
    """A minor release may rename private attributes; after an update this module must be reviewed."""
    assert version("gunicorn").startswith("27.0.")


@pytest.mark.parametrize(("kind", "name"), METHODS, ids=str)
def test_method_has_the_expected_signature(kind: type[Any], name: str) -> None:
    """The server calls it with these arguments, or overrides it and gunicorn calls it with them."""
    method = vars(kind)[name]
    assert str(inspect.signature(method)) == METHODS[kind, name]
    assert inspect.iscoroutinefunction(method) == (name in COROUTINES)
    assert method.__name__ == name


@pytest.mark.parametrize("kind", [CoalescingReceiver, BoundedChunkParser, SftProtocol, SftWorker])
def test_overridden_method_replaces_that_of_gunicorn(kind: type[Any]) -> None:
    """A method under a public name is the one that gunicorn calls by the private name; `super()` is gunicorn's."""
    (ours,) = [base for base in (BodyQueue, ConnectionProtocol, RequestParser, Worker) if issubclass(kind, base)]
    theirs = ours.__mro__[2]
    hooks = {name: method.__name__ for name, method in vars(ours).items() if inspect.isfunction(method)}
    hooks = {public: private for public, private in hooks.items() if (theirs, private) in METHODS}
    assert vars(kind).keys() & hooks.keys()
    for public, private in hooks.items():
        assert getattr(ours, public) is vars(theirs)[private]
        assert getattr(kind, private) is getattr(kind, public)


@pytest.mark.parametrize(("kind", "name"), ATTRIBUTES, ids=str)
def test_attribute_is_set_by_the_constructor(kind: type[Any], name: str) -> None:
    """Assigning to a misspelt attribute would create it without any effect."""
    assert type(getattr(instance_of(kind), name)) is ATTRIBUTES[kind, name]


def test_event_wakes_the_task_of_a_connection() -> None:
    """`_request_ready` is an event that is created with the connection."""
    assert "self._request_ready = asyncio.Event()" in inspect.getsource(ASGIProtocol)
    assert callable(asyncio.Event().set)


def test_worker_creates_the_protocol_class_of_its_module() -> None:
    """The module global is read for each accepted connection."""
    assert gasgi.ASGIProtocol is ASGIProtocol
    assert "lambda: ASGIProtocol(self)" in inspect.getsource(ASGIWorker._serve)


def test_status_line_uses_the_table_of_reason_phrases() -> None:
    """A status without an entry would get the phrase `Unknown`."""
    assert gunicorn_protocol._REASON_PHRASES[200] == "OK"
    assert gunicorn_protocol._get_cached_status_line((1, 1), 200) == b"HTTP/1.1 200 OK\r\n"
    assert "_REASON_PHRASES" in inspect.getsource(gunicorn_protocol._get_cached_status_line)


def test_parser_states_have_the_expected_names() -> None:
    """They are: before a request, in a body with a length, before a chunk's size, in its content, in trailers."""
    parser = RequestParser()
    assert state(parser) == (True, 0, False)
    parser.feed(b"PUT / HTTP/1.1\r\nHost: a\r\n")
    assert state(parser) == (False, 0, False)
    parser.feed(b"Content-Length: 5\r\n\r\nab")
    assert state(parser) == (False, 3, False)
    parser.feed(b"cde")
    assert (parser.is_complete, *state(parser)) == (True, False, 0, False)
    parser.reset()
    assert state(parser) == (True, 0, False)
    parser.feed(b"PUT / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
    assert state(parser) == (False, 0, True)
    parser.feed(b"c\r\nab")
    assert (parser.chunk_size, *state(parser)) == (12, False, 0, False)
    parser.feed(b"c" * 10 + b"\r\n")
    assert state(parser) == (False, 0, True)
    parser.feed(b"0\r\n")
    assert state(parser) == (False, 0, False)


def test_the_parser_continues_behind_bytes_that_it_was_not_given() -> None:
    """Subtracted from what is left of a body, they are not awaited; the last byte ends the request."""
    parser = RequestParser()
    parser.feed(b"PUT / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nab")
    parser.body_bytes_left -= 6
    assert state(parser) == (False, 1, False)
    parser.feed(b"cGET")
    assert (parser.is_complete, parser.remaining(), *state(parser)) == (True, b"GET", False, 0, False)


def test_a_queue_reports_the_bytes_that_the_application_has_not_received() -> None:
    """A public name of gunicorn: no thread may receive while it is not 0."""
    queue = instance_of(BodyReceiver)
    queue.feed(b"abc")
    assert queue.buffered == 3
    queue._pop_chunk()
    assert queue.buffered == 0


def state(parser: RequestParser) -> tuple[bool, int, bool]:
    return parser.is_before_request, parser.body_bytes_left, parser.is_at_chunk_size


def private_names(path: Path) -> set[str]:
    """
    The names with a single leading underscore that a module reads, assigns, defines or quotes.
    """
    found = set[str]()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            found.add(node.attr)
        elif isinstance(node, ast.Name):
            found.add(node.id)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            found.add(node.name)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            found.add(node.value)
    return {name for name in found if name.startswith("_") and not name.startswith("__")}


def test_every_private_name_is_tested_here() -> None:
    """A name that the module uses and this one does not test could change unnoticed."""
    tested = {name for _, name in [*METHODS, *ATTRIBUTES]} | GLOBALS
    own = {"_renamed", "_PublicMethods"}
    assert private_names(Path(gunicorn_internals.__file__)) - own == tested


def test_no_other_module_uses_a_private_attribute() -> None:
    """Not even by chance: an attribute with the same name would replace that of gunicorn."""
    theirs = set[str]()
    for kind in (PythonProtocol, BodyReceiver, ASGIProtocol, ASGIWorker):
        theirs |= set(dir(kind)) | set(getattr(instance_of(kind), "__dict__", ()))
    module = Path(gunicorn_internals.__file__)
    others = [path for path in module.parent.glob("*.py") if path != module]
    assert len(others) > 5
    assert {path.name: private_names(path) & theirs for path in others if private_names(path) & theirs} == {}
