"""How objects are called and labelled, so that pruning, selectors and status all find the same.

Names of engines begin with the fleet's, so none is called like an engine: a Service named `vllm`
would inject VLLM_PORT=tcp://…, which vLLM refuses. Labels are the seam to whoever watches.
"""

from __future__ import annotations

FIELD_MANAGER = "headrace"
"""Of server-side apply."""
DEPLOYMENT = "headrace.dev/deployment"
"""Label of everything that belongs to one deployment, Pods and EndpointSlices included."""
PART_OF = "app.kubernetes.io/part-of"
MANAGED_BY = "app.kubernetes.io/managed-by"
COMPONENT = "app.kubernetes.io/component"
"""Label: engine, weights, gateway, scaler, config or dashboard."""
GATEWAY, SCALER = "gateway", "scaler"
API_PORT, ADMIN_PORT, SCALER_PORT, SCALER_HEALTH_PORT = 8080, 8081, 9090, 9091
ADMIN = "admin"
"""Name of the port of the gateways' admin Service."""
CONFIG_DIR = "/etc/headrace"
"""Where the fleet file is in Headrace's own Pods."""
CONFIG_FILE = f"{CONFIG_DIR}/fleet.yaml"
NOT_READY = "NOT READY TO APPLY"
"""How a comment begins that says why objects would not work yet."""
MAX_NAME = 48
"""Of FLEET-DEPLOYMENT: Pods of a Deployment add 17 characters, and names end at 63."""


def engine(fleet: str, deployment: str) -> str:
    """Return the name of a deployment's objects."""
    return f"{fleet}-{deployment}"


def gateway(fleet: str) -> str:
    """Return the name of the gateway's objects."""
    return f"{fleet}-{GATEWAY}"


def gateway_admin(fleet: str) -> str:
    """Return the name of the headless Service over the gateways' admin ports."""
    return f"{fleet}-{GATEWAY}-admin"


def scaler(fleet: str) -> str:
    """Return the name of the external scaler's objects."""
    return f"{fleet}-{SCALER}"


def config(fleet: str) -> str:
    """Return the name of the ConfigMap with the fleet file and its lock."""
    return f"{fleet}-config"


def dashboard(fleet: str) -> str:
    """Return the name of the ConfigMap with the fleet's dashboard."""
    return f"{fleet}-dashboard"


def keys(fleet: str) -> str:
    """Return the name of the Secret with the API keys' hashes; a person makes it."""
    return f"{fleet}-keys"


def labels(fleet: str, name: str, component: str, deployment: str | None = None) -> dict[str, str]:
    """Return the labels of an object or a Pod; `name` is a deployment, `gateway` or `scaler`."""
    found = {
        MANAGED_BY: FIELD_MANAGER,
        PART_OF: fleet,
        "app.kubernetes.io/name": name,
        COMPONENT: component,
    }
    return found if deployment is None else found | {DEPLOYMENT: deployment}


def selector(fleet: str, component: str, deployment: str | None = None) -> dict[str, str]:
    """Return the labels that pick Pods; selectors cannot change, so they are as few as suffice."""
    found = {PART_OF: fleet, COMPONENT: component}
    return found if deployment is None else found | {DEPLOYMENT: deployment}
