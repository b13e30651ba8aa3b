"""
`sft doctor`: check the integrity of stored data, and repair what risks no file.
"""

from __future__ import annotations

import json
import re
import traceback
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

import attrs
import click

from sft_adapters.bootstrap.open_application import open_unverified
from sft_adapters.keyring.loading import KeySet
from sft_adapters.operations.preflight import Check, check_prerequisites, check_servers, failed_check
from sft_adapters.settings import Settings
from sft_core.errors import ConfigurationError, DatabaseUnavailable, InvalidValue, SftError
from sft_core.maintenance.findings import Finding
from sft_core.maintenance.integrity_check import CheckCounts, Sample
from sft_http.ops.options import CONFIGURATION_EXIT, operator_command, read_keys, read_settings

FINDINGS_EXIT = 1
"""The exit status when a problem was found and not repaired."""
_FINDING_KEYS: Final = ("code", "subject", "detail", "is_repaired")


class SampleType(click.ParamType[Sample]):
    """
    A fraction such as `1/10`.
    """

    name = "fraction"

    def convert(self, value: object, param: click.Parameter | None, ctx: click.Context | None) -> Sample:
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
    Checks and findings, printed line by line or as one JSON object.
    """

    echo: Callable[[str], object]
    checks: list[Check] = attrs.field(factory=list)
    findings: list[Finding] = attrs.field(factory=list)
    counts: CheckCounts = attrs.field(factory=CheckCounts)

    def check(self, check: Check) -> None:
        self.checks.append(check)
        if check.code:
            self.counts.failures[check.code] += 1
        self.echo(f"{'ok' if check.ok else 'FAILED':<20} {check.name:<9} {check.detail}")

    def finding(self, finding: Finding) -> None:
        self.findings.append(finding)
        repaired = " (repaired)" if finding.is_repaired else ""
        self.echo(f"{finding.damage.value:<20} {finding.subject}: {finding.detail}{repaired}")

    def passes(self, checks: Iterable[Check]) -> bool:
        """
        Add checks; return whether all could be completed, so that later ones make sense.
        """
        passed = True
        for check in checks:
            self.check(check)
            passed &= not check.code
        return passed

    @property
    def exit_status(self) -> int:
        """
        2 if a check could not be completed, 1 if a problem remains, else 0.
        """
        if self.counts.failures:
            return CONFIGURATION_EXIT
        left = [finding for finding in self.findings if not finding.is_repaired]
        return FINDINGS_EXIT if left or not all(check.ok for check in self.checks) else 0

    def summary(self) -> str:
        """
        The last lines of the text output.
        """
        repaired = sum(finding.is_repaired for finding in self.findings)
        checked = f"{self.counts.files} files checked, {self.counts.parts_read} parts read"
        lines = [f"{checked}, {len(self.findings)} findings, {repaired} of them repaired"]
        lines += [f"not everything was checked: {code} ({times} times)" for code, times in self.counts.failures.items()]
        return "\n".join(lines)

    def as_json(self) -> str:
        findings = [(check.code, check.name, check.detail, False) for check in self.checks if check.code]
        findings += [(one.damage.value, one.subject, one.detail, one.is_repaired) for one in self.findings]
        report = {
            "checks": [{"name": check.name, "is_well": check.ok, "detail": check.detail} for check in self.checks],
            "findings": [dict(zip(_FINDING_KEYS, finding, strict=True)) for finding in findings],
            "files": self.counts.files,
            "parts_read": self.counts.parts_read,
            "failures": self.counts.failures,
        }
        return json.dumps(report)


@click.command("doctor")
@operator_command
@click.option("--verify-data", is_flag=True, help="Read and authenticate all stored content.")
@click.option("--sample", type=SampleType(), help="Read only this fraction of the parts, chosen at random: 1/10.")
@click.option("--repair", is_flag=True, help="Repair what can be repaired without changing a sealed file.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def command(
    data: Path, env_file: Path | None, *, verify_data: bool, sample: Sample | None, repair: bool, as_json: bool
) -> None:
    """
    Check settings, keys, servers and schema, then compare rows, parts, keys and quotas.

    Exits with status 0 if no problem was found or every problem was repaired, with 1 if a problem was found, and
    with 2 if not everything could be checked.
    """
    if sample is not None and not verify_data:
        raise click.UsageError("--sample needs --verify-data")
    report = Report(echo=(lambda _line: None) if as_json else click.echo)
    try:
        settings = read_settings(data, env_file)
        keys = read_keys(settings)
        check_integrity(settings, keys, report, verify=(sample or Sample()) if verify_data else None, repair=repair)
    except OSError as error:
        report.check(failed_check("settings", ConfigurationError(f"{error.filename or data}: {error.strerror}")))
    except SftError as error:
        report.check(failed_check("settings", error))
    except Exception as error:  # noqa: BLE001 (a damaged row can raise anything, and the report must still be complete)
        traceback.print_exc()
        detail = f"the database contains a value that cannot be read ({type(error).__name__})"
        report.check(failed_check("storage", DatabaseUnavailable(detail)))
    click.echo(report.as_json() if as_json else report.summary())
    raise SystemExit(report.exit_status)


def check_integrity(settings: Settings, keys: KeySet, report: Report, *, verify: Sample | None, repair: bool) -> None:
    """
    Run all checks and add them to the report; raise `SftError` for wrong settings.

    Nothing is repaired if the check of keys or store fails: the database or the store may be the wrong one.
    """
    if not report.passes(check_prerequisites(settings, keys)):
        return
    with open_unverified(settings, keys, writes=repair) as opened:
        if not report.passes(check_servers(settings, opened)):
            return
        if repair and not all(check.ok for check in report.checks if check.name != "redis"):
            report.echo("Nothing is repaired, because a check has failed.")
            repair = False
        try:
            for finding in opened.application.maintenance.check_integrity(
                verify=verify, repair=repair, counts=report.counts
            ):
                report.finding(finding)
        except SftError as error:
            report.check(failed_check("storage", error))
