"""
The application with some of its use cases replaced.
"""

from __future__ import annotations

from typing import Any

import attrs

from sft_core.application import Application


def with_use_cases(application: Application, **use_cases: Any) -> Application:
    """
    Return the application with these use cases in place of those of the same names, in any group.
    """
    for group in [attribute.name for attribute in attrs.fields(Application)]:
        replaced = {name: use_cases.pop(name) for name in list(use_cases) if hasattr(getattr(application, group), name)}
        application = attrs.evolve(application, **{group: attrs.evolve(getattr(application, group), **replaced)})
    assert not use_cases, f"no use case is called {', '.join(use_cases)}"
    return application
