"""
A short campaign: after every kill all that was acknowledged is stored, and the campaign finds planted faults.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from campaign import planted
from campaign.cycle import SETTINGS
from campaign.kills import run, table
from campaign.victim import TIMEOUT_SECONDS, Violation
from support.servers import backends
from support.servers.stack import settings_on

KILL_WITHIN_SECONDS = 0.3
"""Bound in seconds of the time before a kill, shortened for tests."""

SHORT_TIMEOUT_SECONDS = 2

EACH_WAY_SEED = 3
"""A seed whose first cycles kill in every way."""


def test_embedded_default_keeps_acknowledged_state(tmp_path: Path) -> None:
    """Kills of a worker, the main process and the process tree lose no file, offset, deletion or budget."""
    figures = run(tmp_path, SETTINGS, cycles=3, seed=EACH_WAY_SEED, workers=1, within_seconds=KILL_WITHIN_SECONDS)
    assert figures.kills.keys() >= {"worker", "master", "all of it"}
    assert figures.files_verified > 0
    assert "3 cycles" in table(figures, 1)


def test_servers_keep_acknowledged_state(
    tmp_path: Path, postgres: backends.Postgres, valkey: backends.Valkey, s3: backends.S3
) -> None:
    """Three kills with two workers on PostgreSQL, Valkey and S3 lose nothing either."""
    with settings_on(postgres, valkey, s3) as named:
        settings = {**named, **SETTINGS}
        figures = run(tmp_path, settings, cycles=3, seed=EACH_WAY_SEED, workers=2, within_seconds=KILL_WITHIN_SECONDS)
    assert sum(figures.kills.values()) == 3


@pytest.mark.parametrize(
    ("bug", "way", "found"),
    [
        ("late-parts", "worker", "lost or damaged"),
        ("kept-quota", "worker", "quota-drift"),
        ("deaf-workers", "master", "the service did not start"),
    ],
)
def test_campaign_finds_planted_fault(bug: str, way: str, found: str, tmp_path: Path) -> None:
    """Early acknowledgements, unreleased quotas and workers that outlive the service are all found."""
    with pytest.raises(Violation, match=found):
        run(
            tmp_path,
            SETTINGS,
            cycles=3,
            seed=EACH_WAY_SEED,
            workers=1,
            program=[planted.__file__, bug],
            patience_seconds=SHORT_TIMEOUT_SECONDS if bug == "deaf-workers" else TIMEOUT_SECONDS,
            within_seconds=KILL_WITHIN_SECONDS,
            ways={way: 1},
            sweep_every=1,
        )
