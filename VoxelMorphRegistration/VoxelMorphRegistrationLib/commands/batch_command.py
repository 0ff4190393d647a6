"""``voxelmorph-registration batch``: many cases from a file."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import TextIO

from VoxelMorphRegistrationLib.commands.terminal import ProgressDisplay
from VoxelMorphRegistrationLib.errors import BatchError, CancelledError
from VoxelMorphRegistrationLib.pipeline.batch import BatchResult, ClusterOptions, read_cases, run_batch
from VoxelMorphRegistrationLib.pipeline.batch import manifest as manifest_file
from VoxelMorphRegistrationLib.pipeline.batch import report as report_file
from VoxelMorphRegistrationLib.pipeline.batch.cases_file import template
from VoxelMorphRegistrationLib.pipeline.batch.running import duration
from VoxelMorphRegistrationLib.pipeline.report.provenance import Provenance, Source
from VoxelMorphRegistrationLib.progress import Progress

_SHOWN = 10


def run(arguments: argparse.Namespace, stdout: TextIO, stderr: TextIO) -> None:
    """Do what the parsed arguments say. Raises BatchError where a case failed, CancelledError where it was stopped,
    and another RegistrationError where nothing was run.
    """
    if arguments.template:
        stdout.write(template())
        return
    cluster = ClusterOptions(arguments.scheduler, arguments.workers, arguments.threads)
    cases = read_cases(arguments.cases)
    if arguments.check_cases:
        if not arguments.quiet:
            stdout.write(f"{arguments.cases}: {_counted(len(cases))}, and nothing wrong with them.\n")
        return
    output = Path(arguments.output).expanduser().absolute()
    display = None if arguments.json or arguments.quiet else ProgressDisplay(stderr)
    try:
        result = run_batch(cases, output, cluster, display.progress() if display else Progress())
        report_file.write_report(result.records, output, _provenance(arguments, result))
    except KeyboardInterrupt:
        raise CancelledError(
            f"Stopped; what is finished in {output} is kept: run the same command again to go on with the rest."
        ) from None
    finally:
        if display:
            display.close()
    failed = len(result.failed)
    if arguments.json and not failed:
        stdout.write(json.dumps(_as_json(result, output), indent=2) + "\n")
    elif not arguments.quiet and not arguments.json:
        stdout.write(_summary(result, output))
    if failed:
        raise BatchError(
            f"{failed} of {_counted(len(result.records))} failed; {output / report_file.TEXT} says why, and the same "
            "command tries them again."
        )


def _provenance(arguments: argparse.Namespace, result: BatchResult) -> Provenance:
    hosts = {attempt.host for record in result.records for attempt in record.attempts[-1:]}
    models = {record.model for record in result.records if record.model}
    settings = {
        "Models": ", ".join(sorted(models)),
        "Engines": ", ".join(sorted({record.engine for record in result.records if record.engine})),
        "Run on": f"{len(hosts)} machines" if len(hosts) > 1 else "",
        "More": f"{manifest_file.NAME} has the checksums, options and versions of every case",
    }
    return Provenance((Source.of_file("cases", arguments.cases),), arguments.command_line, settings=settings)


def _as_json(result: BatchResult, output: Path) -> dict[str, object]:
    return {
        "ok": True,
        "cases": len(result.records),
        "kept": result.kept,
        "failed": len(result.failed),
        "seconds": round(result.seconds, 3),
        "manifest": str(output / manifest_file.NAME),
        "report": str(output / report_file.TABLE),
        "page": str(output / report_file.PAGE),
    }


def _summary(result: BatchResult, output: Path) -> str:
    failed = result.failed
    done = len(result.records) - len(failed)
    kept = f", {result.kept} of them before" if result.kept else ""
    lines = [
        f"{done} of {_counted(len(result.records))} finished{kept}, in {duration(result.seconds)}.",
        "",
        "Written:",
        f"  {output / 'cases'}  (a folder for each case)",
        f"  {output / manifest_file.NAME}  (what became of each case, of what and where it was made)",
        f"  {output / report_file.PAGE}, {report_file.TEXT}, {report_file.TABLE}  (the worst first)",
    ]
    doubtful = [record for record in report_file.worst_first(result.records) if record.warnings or record.error]
    if doubtful:
        lines += ["", "Please check:"]
        lines += [f"  - {record.name}: {record.error or record.warnings[0]}" for record in doubtful[:_SHOWN]]
        if len(doubtful) > _SHOWN:
            lines.append(f"  - and {len(doubtful) - _SHOWN} more, in the report")
    return "\n".join([*lines, ""])


def _counted(number: int) -> str:
    return "1 case" if number == 1 else f"{number} cases"
