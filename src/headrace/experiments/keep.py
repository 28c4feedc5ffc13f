"""Writes a finding down: its page and figures in the experiment's folder, evidence beside the file.

The folder has the raw data too and stays out of git; the evidence is small and goes in.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import msgspec

from headrace.evidence import store
from headrace.evidence.result import Evidence, Variant, made
from headrace.experiments.errors import ExperimentError
from headrace.experiments.finding import FINDING, REPORT, Finding
from headrace.experiments.lab import Lab
from headrace.experiments.report import report
from headrace.models.lock import replace_file


def keep(finding: Finding, lab: Lab, *, with_evidence: bool = True) -> list[Path]:
    """Write page, figures and, beside a fleet file, evidence; return where. ExperimentError."""
    written = [lab.folder / REPORT, lab.folder / FINDING]
    try:
        lab.folder.mkdir(parents=True, exist_ok=True)
        replace_file(written[0], report(finding).encode())
        replace_file(written[1], finding_json(finding))
    except OSError as error:
        raise ExperimentError(f"{lab.folder}: {error.strerror or error}") from error
    if lab.file is not None and with_evidence:
        written.append(store.keep(lab.file.path, evidence(finding, lab)))
    return written


def finding_json(finding: Finding) -> bytes:
    """Return a finding for programs."""
    return msgspec.json.format(msgspec.json.encode(finding), indent=2) + b"\n"


def evidence(finding: Finding, lab: Lab) -> Evidence:
    """Return the finding as it is kept: each variant with the setting that it was measured on.

    One that was stopped early is not valid: the rest could have changed what it concludes.
    """
    said = finding.conclusion
    variants = tuple(
        Variant(name=label, fingerprint=setting, figures=said.variants.get(label, {}))
        for label, setting in lab.settings.items()
    )
    return made(
        experiment=finding.name,
        deployment=finding.case.deployment,
        variants=variants,
        figures=said.figures,
        conclusion=said.words,
        doubts=said.doubts,
        valid=not finding.case.interrupted,
        supports=said.supports,
        taken=datetime.fromisoformat(finding.began),
    )
