"""
A short campaign: whatever is killed under load, all that was acknowledged is there; and a campaign finds faults.
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

SOON_SECONDS = 0.3
"""Within which time the kill comes: a test is in a hurry."""

IMPATIENT_SECONDS = 2

EACH_WAY_SEED = 3
"""Its first cycles kill in every way."""


def test_the_embedded_default_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    """Kills of a worker, the main process and all of it: no file, offset, deletion or budget is lost."""
    figures = run(tmp_path, SETTINGS, cycles=3, seed=EACH_WAY_SEED, workers=1, within_seconds=SOON_SECONDS)
    assert figures.kills.keys() >= {"worker", "master", "all of it"}
    assert figures.files_verified > 0
    assert "3 cycles" in table(figures, 1)


def test_on_servers_it_keeps_what_it_acknowledged(
    tmp_path: Path, postgres: backends.Postgres, valkey: backends.Valkey, s3: backends.S3
) -> None:
    """The same of three kills with two workers on PostgreSQL, Valkey and S3."""
    with settings_on(postgres, valkey, s3) as named:
        settings = {**named, **SETTINGS}
        figures = run(tmp_path, settings, cycles=3, seed=EACH_WAY_SEED, workers=2, within_seconds=SOON_SECONDS)
    assert sum(figures.kills.values()) == 3


@pytest.mark.parametrize(
    ("bug", "way", "found"),
    [
        ("late-parts", "worker", "lost or damaged"),
        ("kept-quota", "worker", "quota-drift"),
        ("deaf-workers", "master", "the service did not start"),
    ],
)
def test_a_campaign_finds(bug: str, way: str, found: str, tmp_path: Path) -> None:
    """A service that acknowledges too early, keeps quotas or outlives itself is found out."""
    with pytest.raises(Violation, match=found):
        run(
            tmp_path,
            SETTINGS,
            cycles=3,
            seed=EACH_WAY_SEED,
            workers=1,
            program=[planted.__file__, bug],
            patience_seconds=IMPATIENT_SECONDS if bug == "deaf-workers" else TIMEOUT_SECONDS,
            within_seconds=SOON_SECONDS,
            ways={way: 1},
            sweep_every=1,
        )
