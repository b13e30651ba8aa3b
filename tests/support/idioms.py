"""
The words and turns of phrase that the tests refuse, with the reason and the wording to use instead.

`support.language` searches for them, and the section "Words the tests refuse" of `docs/CONTRIBUTING.md` lists them.
"""

from __future__ import annotations

import re

import attrs


def _compiled(pattern: str) -> re.Pattern[str]:
    return re.compile(pattern.replace(" ", " +"), re.IGNORECASE)


@attrs.frozen
class Idiom:
    r"""
    One listed idiom. A space in `pattern` matches any run of spaces (write `\s` in a look-behind); case is ignored.
    """

    name: str
    pattern: re.Pattern[str] = attrs.field(converter=_compiled)
    why: str
    instead: str


_BE = r"\b(?:is|are|was|were|be|been|being)"
_STATE = rf"{_BE}(?: (?:already|long|not|now|all|both|then|soon|since|still|never|yet|only))*"
_GIVE = r"\b(?:give|gives|giving|gave|given)"
_NEGATION = r"(?:does not|do not|did not|cannot|must not|may not|need not|no longer|still|already|never)"
_THING = (
    r"\b(?:rows?|stores?|servers?|process(?:es)?|workers?|threads?|loops?|caches?|databases?|disks?|blobs?|files?"
    r"|uploads?|links?|keys?|rings?|tokens?|requests?|ports?|adapters?|cores?|edges?|manifests?|models?|shapes?|sweeps?"
    r"|tables?|systems?|releases?|objects?|nothing|none|it)"
)

IDIOMS = (
    Idiom(
        "who, whom, whoever",
        r"\b(?:who|whom|whoever|whomever)\b",
        "It leaves the actor unnamed.",
        "the actor: client, caller, owner, recipient, worker, operator, sweep",
    ),
    Idiom(
        "nobody, somebody, anybody, everybody",
        r"\b(?:nobody|somebody|anybody|everybody)\b",
        "It leaves the actor unnamed.",
        "no client, another caller, any worker, every recipient",
    ),
    Idiom(
        "anew",
        r"\banew\b",
        "It is archaic, and hides which step is repeated.",
        "again, re-wrap, restart, reload",
    ),
    Idiom(
        "let go (of)",
        r"\b(?:let|lets|letting) (?:\w+ ){0,3}go\b",
        "It is a picture for several different steps.",
        "release, delete, close, drop",
    ),
    Idiom(
        "is over",
        _STATE + r" over\b(?!-| (?:\d|¤|(?:an?|the|its|their|this|that|one|any|HTTP|TLS|TCP|quota|budget|limit)\b))"
        r"|\b(?:and|or) not over\b",
        "It does not say whether the thing ended, expired or failed.",
        "has ended, has expired, is complete, was aborted",
    ),
    Idiom(
        "is gone",
        _STATE + r" (?-i:gone)\b(?! on\b)",
        "It does not say what removed the thing.",
        "was deleted, has expired, has disconnected, was lost",
    ),
    Idiom(
        "give up",
        _GIVE + r" (?:\w+ ){0,2}up\b",
        "It does not say what happens next.",
        "abort, stop retrying, close, return an error after the timeout",
    ),
    Idiom(
        "give back",
        _GIVE + r" (?:\w+ ){0,2}back\b",
        "Memory, quota and connections each have a verb of their own.",
        "release, return, free, refund",
    ),
    Idiom(
        "take back",
        r"\b(?:take|takes|taking|took|taken) (?:\w+ ){0,2}back\b",
        "The field has verbs for it.",
        "cancel, revoke, roll back, undo, downgrade",
    ),
    Idiom(
        "go on (with)",
        r"\b(?:go|goes|went|gone) on\b(?! to\b)|\bgoing on with\b",
        "The field has verbs for it.",
        "continue, resume, proceed",
    ),
    Idiom(
        "stand (for a state)",
        r"(?<!-)\b(?:stands?|stood|standing)\b(?!-| (?:for|up|out|alone|by|in for)\b)",
        "The verb hides whether data exists, is equal or is stored.",
        "is, equals, exists, is stored in, appears in, runs behind",
    ),
    Idiom(
        "told",
        r"\btold\b",
        "A message has a sender, a receiver and a form.",
        "notified, informed by a header, is returned, is reported, receives a status",
    ),
    Idiom(
        "tell",
        r"\b(?:tell|tells|telling)\b(?! (?:the|an?|us|me|you|your|¤+|\w+ to)\b|¤| ¤)"
        r"|\b(?:tells?|telling) (?:the|an?) \w+ (?:that|of|whether|which|how|what)\b",
        "Code returns, raises, logs or distinguishes.",
        "return, report, raise, log, show, state, distinguish",
    ),
    Idiom(
        "hold off",
        r"\b(?:hold|holds|holding|held) (?:\w+ ){0,2}off\b",
        "It does not say whether the call blocks or is refused.",
        "block, delay, defer, reject",
    ),
    Idiom(
        "is well",
        _STATE + r" well(?=[.,;:)]| again\b| or\b| and\b|\s*$)|\bwell again\b",
        "A service or a check has a named state.",
        "is healthy, passes, has recovered, is intact",
    ),
    Idiom(
        "is away",
        _STATE + r" away\b(?! from\b)",
        "It does not say what fails.",
        "is unavailable, is unreachable, does not respond",
    ),
    Idiom(
        "is none",
        r"(?<!there\s)" + _BE + r" (?-i:none)\b(?! (?:of|at|left)\b)",
        "It does not say what the value lacks.",
        "is missing, is malformed, is not a …",
    ),
    Idiom(
        "to be had",
        r"\bto be had\b",
        "It is archaic.",
        "available, readable",
    ),
    Idiom(
        "of before",
        r"\bof before\b",
        "It is not idiomatic English.",
        "previous, earlier, old",
    ),
    Idiom(
        "of two that, of those that",
        r"\bof (?:two|three|several|many) (?:that|which)\b"
        r"|(?:(?:^|[\n.;:,(])\s*|\band |\bso )"
        r"of (?:those|what|one|all|some|any|both) (?:that|which|whose)\b(?! of\b)",
        "The condition comes before the main clause.",
        "the main clause first: if two …, one …",
    ),
    Idiom(
        "for what",
        r"\bfor what\b(?! (?:it|this|that|reason)\b)|\bfor whatever\b(?! reason\b)",
        "It hides the object of the sentence.",
        "the noun: for bytes in transit, for values that …",
    ),
    Idiom(
        "whatever (else)",
        r"\bwhatever(?= (?:else|comes|came|is|are|was|were|goes|went|follows|happens|happened|becomes)\b|[.,;:)])",
        "It hides the cases.",
        "any other error, regardless of the outcome, every …",
    ),
    Idiom(
        "as long as it likes",
        r"\bas (?:long|often|much|many|far|soon|fast|late) as"
        r" (?:it|they|one|he|she|a \w+|the \w+) (?:likes?|wants?|pleases?)\b",
        "Objects have no wishes, and the bound is missing.",
        "without a limit, for up to N seconds",
    ),
    Idiom(
        "know (of a thing)",
        _THING + rf" (?:{_NEGATION} )*(?:knows?|knew)\b|\b(?:know|knows|knew|known) of\b",
        "Objects have no knowledge.",
        "contain, store, support, depend on, have a record of",
    ),
    Idiom(
        "believe",
        r"(?<!\bwe\s)(?<!\bI\s)\bbeliev(?:e|es|ed|ing)\b",
        "It hides which check is made or left out.",
        "trust, accept without a check, verify",
    ),
    Idiom(
        "mind (as a verb)",
        r"\bminds (?:the|a|an|its|it|that|if|how|which|what|no|nothing|neither)\b|\b(?:not|never|nor) mind\b",
        "Objects have no opinions.",
        "depend on, be affected by, check",
    ),
    Idiom(
        "want (of a thing)",
        _THING + rf" (?:{_NEGATION} )*(?:wants?|wanted)\b",
        "Objects have no wishes.",
        "need, require, expect, request",
    ),
    Idiom(
        "has come",
        r"\b(?:has|have|had) (?:not |already |ever |all )*come\b(?! (?:from|with|up|in|out|to)\b)|\bcomes? again\b",
        "Bytes and requests do not come.",
        "was received, has arrived, is sent again, retry",
    ),
)


def table() -> list[str]:
    """
    The lines of the Markdown table in `docs/CONTRIBUTING.md`.
    """
    rows = [f"| `{idiom.name}` | {idiom.why} | {idiom.instead} |" for idiom in IDIOMS]
    return ["| idiom | why | write instead |", "|---|---|---|", *rows]
