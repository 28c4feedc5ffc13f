"""Every rule, in the order of its id; `check.py` runs them, `reference.py` writes them down."""

from __future__ import annotations

from headrace.preflight.finding import Rule
from headrace.preflight.rules.evidence import EVIDENCE_RULES
from headrace.preflight.rules.images import IMAGE_RULES
from headrace.preflight.rules.memory import MEMORY_RULES
from headrace.preflight.rules.metrics import METRIC_RULES
from headrace.preflight.rules.probes import PROBE_RULES
from headrace.preflight.rules.reading import READING_RULES
from headrace.preflight.rules.scaling import SCALING_RULES
from headrace.preflight.rules.secrets import SECRET_RULES
from headrace.preflight.rules.services import SERVICE_RULES
from headrace.preflight.rules.signals import SIGNAL_RULES
from headrace.preflight.rules.stopping import STOPPING_RULES
from headrace.preflight.rules.zero import ZERO_RULES

RULES: tuple[Rule, ...] = tuple(
    sorted(
        (
            *READING_RULES,
            *IMAGE_RULES,
            *MEMORY_RULES,
            *PROBE_RULES,
            *STOPPING_RULES,
            *SIGNAL_RULES,
            *ZERO_RULES,
            *SCALING_RULES,
            *SERVICE_RULES,
            *METRIC_RULES,
            *SECRET_RULES,
            *EVIDENCE_RULES,
        ),
        key=lambda rule: rule.id,
    )
)
