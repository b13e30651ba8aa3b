"""
What every machine is: rules that hold what they see against clauses, and one last look at the end.
"""

from __future__ import annotations

from hypothesis.stateful import RuleBasedStateMachine

from sft_adapters.testkit.machines.clauses import BrokenClause, Clause


class Judge(RuleBasedStateMachine):
    """
    A machine that stops at the first clause that does not hold, and looks at everything at the end.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_decided = False

    def hold(self, clause: Clause, holds: object, seen: str) -> None:
        """
        Raise `BrokenClause` unless it holds.
        """
        if not holds:
            self.is_decided = True
            raise BrokenClause(clause, seen)

    def agree(self, clause: Clause, *, seen: object, expected: object) -> None:
        """
        Raise `BrokenClause` unless what was seen is what is expected.
        """
        self.hold(clause, seen == expected, f"{_short(seen)} was seen where {_short(expected)} is expected")

    def last_look(self) -> None:
        """
        Look at everything once more.
        """

    def give_up(self) -> None:
        """
        Give up what the machine holds.
        """

    def teardown(self) -> None:
        """
        Look at everything once more, unless a clause is broken already: the first one is what counts.
        """
        try:
            if not self.is_decided:
                self.last_look()
        finally:
            self.give_up()


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 200 else f"{text[:200]}… ({len(text)} characters)"
