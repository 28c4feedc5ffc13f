"""Rules about the files themselves; they strike while reading."""

from __future__ import annotations

from headrace.preflight.finding import Fact, Rule

NOT_YAML = Rule(
    id="HR001",
    severity="error",
    title="unreadable file",
    what="Nothing in this document reaches the cluster, and nothing in it was looked at.",
    fix="mend the line; a value with ': ', '#' or '{' in it needs quotes, and what was copied from"
    " a page may have lost its indentation",
    fact=Fact(
        "The API server takes YAML or JSON; kubectl stops at the first document it cannot parse.",
        "Kubernetes documentation, object management",
    ),
)
TEMPLATE = Rule(
    id="HR002",
    severity="warning",
    title="unrendered template",
    what="Placeholders are filled in later, so the objects that arrive were not looked at.",
    fix="give the result: `helm template RELEASE CHART | headrace preflight -`",
    fact=Fact("Files under templates/ become manifests only by rendering.", "Helm documentation"),
)
SILENCE = Rule(
    id="HR003",
    severity="error",
    title="silence without a reason",
    what="The comment silences nothing.",
    fix="write `# headrace: ignore HR000 because …` with a rule's id and the reason",
    fact=Fact("Whoever reads the file next has to know why a known risk is taken.", "Headrace"),
)
FLEET_PROBLEM = Rule(
    id="HR004",
    severity="error",
    title="fleet file that cannot be used",
    what="Headrace refuses the file, at home and on Kubernetes.",
    fix="mend the field; `headrace validate FILE` says the same",
    fact=Fact("A fleet file is checked as a whole before anything is started.", "Headrace"),
)
FLEET_WARNING = Rule(
    id="HR005",
    severity="warning",
    title="unwise setting in a fleet file",
    what="It works, but not as well as it reads.",
    fix="follow the sentence, or say in a comment why not",
    fact=Fact("The checks of `headrace validate`.", "Headrace"),
)
UNSTARTABLE = Rule(
    id="HR006",
    severity="error",
    title="fleet file with a replica that cannot start",
    what="The engine exits at start, or its Pod waits for ever for a node with so many GPUs.",
    fix="follow the sentence; `headrace choose FILE DEPLOYMENT` lists layouts that start",
    fact=Fact(
        "Attention heads must be divisible by the tensor parallelism, max-model-len at most what"
        " the model was made for, and a stage of a pipeline stays inside a node.",
        "vllm/config/model.py 0.32.0; Headrace's plan",
    ),
)
READING_RULES = (NOT_YAML, TEMPLATE, SILENCE, FLEET_PROBLEM, FLEET_WARNING, UNSTARTABLE)
