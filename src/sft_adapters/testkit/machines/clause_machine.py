"""
What every machine is: rules that hold what they see against clauses, and one last look at the end.
"""

from __future__ import annotations

from hypothesis.stateful import RuleBasedStateMachine

from sft_adapters.testkit.machines.clauses import BrokenClause, Clause


class ClauseMachine(RuleBasedStateMachine):
    """
    A machine that stops at the first clause that does not hold, and looks at everything at the end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.has_failed = False

    def require(self, clause: Clause, holds: object, seen: str) -> None:
        """
        Raise `BrokenClause` unless it holds.
        """
        if not holds:
            self.has_failed = True
            raise BrokenClause(clause, seen)

    def require_equal(self, clause: Clause, *, seen: object, expected: object) -> None:
        """
        Raise `BrokenClause` unless what was seen is what is expected.
        """
        self.require(clause, seen == expected, f"{_short(seen)} was seen where {_short(expected)} is expected")

    def final_check(self) -> None:
        """
        Look at everything once more.
        """

    def close_resources(self) -> None:
        """
        Give up what the machine holds.
        """

    def teardown(self) -> None:
        """
        Look at everything once more, unless a clause is broken already: the first one is what counts.
        """
        try:
            if not self.has_failed:
                self.final_check()
        finally:
            self.close_resources()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"
