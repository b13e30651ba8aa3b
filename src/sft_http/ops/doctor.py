"""
`sft doctor`: whether everything that is stored is whole, and what can be mended without risk.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path

import attrs
import click

from sft_adapters.bootstrap.open_application import open_unchecked
from sft_adapters.keyring.loading import KeySet
from sft_adapters.operations.preflight import Check, check_ground, check_servers, failed
from sft_adapters.settings import Settings
from sft_core.errors import ConfigurationError, DatabaseUnavailable, InvalidValue, SftError
from sft_core.maintenance.findings import Finding
from sft_core.maintenance.integrity_check import Sample, Seen
from sft_http.ops.options import CONFIGURATION_EXIT, read_keys, read_settings, tells_errors, with_settings

FINDINGS_EXIT = 1
"""The exit status when something is wrong that has not been repaired."""


class SampleType(click.ParamType[Sample]):
    """
    A fraction such as `1/10`.
    """

    name = "fraction"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Sample:
        """
        Read it, or tell what it should look like.
        """
        if isinstance(value, Sample):
            return value
        fraction = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", str(value))
        try:
            return Sample(*map(int, fraction.groups())) if fraction else self.fail("must look like 1/10", param, ctx)
        except InvalidValue:
            self.fail("must be a fraction such as 1/10, at most 1", param, ctx)


@attrs.define
class Report:
    """
    What has been checked and found; each line is told as it comes, unless all of it is to be JSON.
    """

    tell: Callable[[str], object]
    checks: list[Check] = attrs.field(factory=list)
    findings: list[Finding] = attrs.field(factory=list)
    seen: Seen = attrs.field(factory=Seen)

    def check(self, check: Check) -> None:
        """
        Note what has been checked.
        """
        self.checks.append(check)
        if check.code:
            self.seen.failures[check.code] += 1
        self.tell(f"{'ok' if check.is_well else 'NOT WELL':<20} {check.name:<9} {check.detail}")

    def finding(self, finding: Finding) -> None:
        """
        Note what is wrong.
        """
        self.findings.append(finding)
        repaired = " (repaired)" if finding.is_repaired else ""
        self.tell(f"{finding.damage.value:<20} {finding.subject}: {finding.detail}{repaired}")

    def is_well(self, checks: Iterable[Check]) -> bool:
        """
        Note what has been checked; whether it makes sense to go on.
        """
        goes_on = True
        for check in checks:
            self.check(check)
            goes_on &= not check.code
        return goes_on

    @property
    def exit_status(self) -> int:
        """
        2 if not everything could be looked at, 1 if something is wrong, else 0.
        """
        if self.seen.failures:
            return CONFIGURATION_EXIT
        left = [finding for finding in self.findings if not finding.is_repaired]
        return FINDINGS_EXIT if left or not all(check.is_well for check in self.checks) else 0

    def summary(self) -> str:
        """
        The last line, for people.
        """
        repaired = sum(finding.is_repaired for finding in self.findings)
        looked_at = f"{self.seen.files} files looked at, {self.seen.parts_read} parts read"
        lines = [f"{looked_at}, {len(self.findings)} findings, {repaired} of them repaired"]
        lines += [f"not everything was looked at: {code} ({times} times)" for code, times in self.seen.failures.items()]
        return "\n".join(lines)

    def as_json(self) -> str:
        """
        All of it as one object.
        """
        unwell = [check for check in self.checks if check.code]
        told = {
            "checks": [attrs.asdict(check, filter=attrs.filters.exclude("code")) for check in self.checks],
            "findings": [*map(_unwell, unwell), *map(_plain, self.findings)],
            "files": self.seen.files,
            "parts_read": self.seen.parts_read,
            "failures": self.seen.failures,
        }
        return json.dumps(told)


def _plain(finding: Finding) -> dict[str, object]:
    return {
        "code": finding.damage.value,
        "subject": finding.subject,
        "detail": finding.detail,
        "is_repaired": finding.is_repaired,
    }


def _unwell(check: Check) -> dict[str, object]:
    return {"code": check.code, "subject": check.name, "detail": check.detail, "is_repaired": False}


@click.command("doctor")
@with_settings
@click.option("--verify-data", is_flag=True, help="Read and authenticate what is stored, to the last byte.")
@click.option("--sample", type=SampleType(), help="Of all parts read so many only, drawn by lot: 1/10.")
@click.option("--repair", is_flag=True, help="Mend what can be mended without touching a sealed file.")
@click.option("--json", "as_json", is_flag=True, help="Tell it as one JSON object.")
@tells_errors
def command(
    data: Path, env_file: Path | None, *, verify_data: bool, sample: Sample | None, repair: bool, as_json: bool
) -> None:
    """
    Check settings, keys, servers and schema, then hold rows, parts, keys and quotas against each other.

    Ends with status 0 if everything is well or has been repaired, 1 if something is wrong, and 2 if
    not everything could be looked at.
    """
    if sample is not None and not verify_data:
        raise click.UsageError("--sample says how much --verify-data reads")
    report = Report(tell=(lambda _line: None) if as_json else click.echo)
    try:
        settings = read_settings(data, env_file)
        keys = read_keys(settings)
        examine(settings, keys, report, verify=(sample or Sample()) if verify_data else None, repair=repair)
    except OSError as error:
        report.check(failed("settings", ConfigurationError(f"{error.filename or data}: {error.strerror}")))
    except SftError as error:
        report.check(failed("settings", error))
    except Exception as error:  # noqa: BLE001 (a row can say anything, and whoever reads the report gets one even so)
        traceback.print_exc()
        detail = f"the database holds something that cannot be understood ({type(error).__name__})"
        report.check(failed("storage", DatabaseUnavailable(detail)))
    click.echo(report.as_json() if as_json else report.summary())
    raise SystemExit(report.exit_status)


def examine(settings: Settings, keys: KeySet, report: Report, *, verify: Sample | None, repair: bool) -> None:
    """
    Check everything, and note it in the report; what is raised is about the settings.

    Nothing is repaired where keys or store are not well: it may be the wrong database, or the wrong store.
    """
    if not report.is_well(check_ground(settings, keys)):
        return
    with open_unchecked(settings, keys, writes=repair) as opened:
        if not report.is_well(check_servers(settings, opened)):
            return
        if repair and not all(check.is_well for check in report.checks if check.name != "redis"):
            report.tell("Nothing is repaired: what this service stands on is not well.")
            repair = False
        try:
            for finding in opened.application.examine(verify=verify, repair=repair, seen=report.seen):
                report.finding(finding)
        except SftError as error:
            report.check(failed("storage", error))
