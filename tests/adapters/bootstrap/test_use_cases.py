"""
The use cases get their adapters by name; here the types of both sides are compared.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, get_origin, get_type_hints

import attrs

from sft_adapters.bootstrap.container import memory_application
from sft_adapters.bootstrap.use_cases import Adapters


def use_cases(found: Any) -> Iterator[Any]:
    """
    Yield every object of the core that an application is made of.
    """
    for field in attrs.fields(type(found)):
        part = getattr(found, field.name)
        if attrs.has(type(part)) and type(part).__module__.startswith("sft_core."):
            yield part
            yield from use_cases(part)


def test_field_named_as_an_adapter_has_the_type_of_its_port() -> None:
    """A use case declares each adapter it gets by name with the port by which the container provides it."""
    ports = {name: get_origin(kind) or kind for name, kind in get_type_hints(Adapters).items()}
    checked = set()
    for kind in {type(found) for found in use_cases(memory_application())}:
        for name, declared in get_type_hints(kind).items():
            if name in ports:
                checked.add(name)
                port = get_origin(declared) or declared
                assert port in getattr(ports[name], "__mro__", (ports[name],)), (kind, name)
    assert checked == ports.keys()
