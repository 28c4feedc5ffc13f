"""One API server, spoken to in plain objects: the seam to Kubernetes.

lightkube gives the authenticated HTTP client; objects stay the plain data that `render` made, so
nothing is lost in somebody's model of a newer or older API. What fails on the way is tried again
where that is harmless, and all that is asked here is (server-side apply included); answers become
errors in `errors.py`. Its twin is `twin/`. `watch.py` builds on `stream`.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Literal, Self

import httpx2
from lightkube.config.client_adapter import AsyncClient, ConnectionParams
from lightkube.config.kubeconfig import SingleConfig
from lightkube.core.exceptions import ConfigError

from headrace.kubernetes.errors import (
    ClusterError,
    ConflictError,
    ContextError,
    RejectedError,
    UnavailableError,
    UnreachableError,
    refusal,
)
from headrace.kubernetes.names import FIELD_MANAGER
from headrace.kubernetes.resource import PODS, Object, Resource, called

PAUSES = (0.2, 0.5, 1.0, 2.0, 4.0)
"""Seconds before each further try."""
_TIMEOUT = httpx2.Timeout(30.0, connect=10.0)
_PAGE = 500
_LONGEST_ADVICE = 10.0
_NO_TOKEN = (ConfigError, OSError, ValueError, KeyError, TypeError)
"""What a credential plug-in ends in that cannot be run, fails, or answers with no token."""
Propagation = Literal["Foreground", "Background", "Orphan"]
Params = Mapping[str, str]


@dataclass(frozen=True)
class Listing:
    """Objects, and the version of the whole at which a watch may go on."""

    items: tuple[Object, ...]
    version: str


class Cluster:
    """One API server, under one context's credentials."""

    def __init__(self, config: SingleConfig, pauses: Sequence[float] = PAUSES) -> None:
        self.server = config.cluster.server
        self.context = f"the API server of context '{config.context_name}' ({self.server})"
        self._pauses = tuple(pauses)
        try:
            self._http = AsyncClient(config, ConnectionParams(timeout=_TIMEOUT))
        except (ConfigError, OSError, ValueError) as error:  # ValueError: no certificate in a field
            raise ContextError(
                f"the credentials of {self.context} cannot be used: {error}"
            ) from error

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def read(self, path: str, doing: str) -> dict[str, Any] | None:
        """Return what is at a path of the API, None where there is nothing."""
        answer = await self._ask("GET", path, doing)
        return None if answer is None else dict(answer.json())

    async def get(self, resource: Resource, name: str, namespace: str) -> dict[str, Any] | None:
        """Return one object, None if there is none."""
        path = resource.path(namespace, name)
        return await self.read(path, f"read {resource.kind} {name}")

    async def find(
        self, resource: Resource, namespace: str, labels: str = "", fields: str = ""
    ) -> Listing:
        """Return all objects that match; pages are read until the last."""
        params = {"limit": str(_PAGE)} | _selected(labels, fields)
        items: list[Object] = []
        while True:
            doing = f"list {resource.plural}"
            answer = await self._ask("GET", resource.path(namespace), doing, params)
            if answer is None:
                return Listing((), "")
            body = answer.json()
            items += (_typed(resource, one) for one in body.get("items") or [])
            if not (more := body["metadata"].get("continue")):
                return Listing(tuple(items), body["metadata"].get("resourceVersion", ""))
            params["continue"] = more

    async def apply(
        self,
        resource: Resource,
        one: Object,
        *,
        force: bool = False,
        dry_run: bool = False,
        manager: str = FIELD_MANAGER,
    ) -> dict[str, Any]:
        """Send an object as what `manager` wants (server-side apply); return what came of it.

        ConflictError if fields belong to others and `force` does not take them over.
        """
        meta = one["metadata"]
        params = {"fieldManager": manager, "force": str(force).lower()}
        params |= {"dryRun": "All"} if dry_run else {}
        answer = await self._ask(
            "PATCH",
            resource.path(meta.get("namespace"), meta["name"]),
            f"apply {called(one)}",
            params,
            body=json.dumps(one),
            content_type="application/apply-patch+yaml",
        )
        if answer is None:
            gone = f"could not apply {called(one)}: namespace {meta.get('namespace')} is not there"
            raise RejectedError(gone)
        return dict(answer.json())

    async def delete(
        self,
        resource: Resource,
        one: Object,
        propagation: Propagation = "Background",
        *,
        dry_run: bool = False,
    ) -> None:
        """Delete exactly this object; one of the same name made meanwhile is another."""
        meta = one["metadata"]
        options = {
            "apiVersion": "v1",
            "kind": "DeleteOptions",
            "propagationPolicy": propagation,
            "preconditions": {"uid": meta["uid"]},
        }
        path = resource.path(meta.get("namespace"), meta["name"])
        params = {"dryRun": "All"} if dry_run else {}
        with contextlib.suppress(ConflictError):  # another object has the name by now
            await self._ask(
                "DELETE", path, f"delete {called(one)}", params, body=json.dumps(options)
            )

    async def log(self, namespace: str, pod: str, params: Params) -> list[str]:
        """Return lines of a container's log; none where there is no log (yet)."""
        path = f"{PODS.path(namespace, pod)}/log"
        with contextlib.suppress(RejectedError):  # the container waits, or has no former self
            answer = await self._ask("GET", path, f"read the log of Pod {pod}", params)
            return answer.text.splitlines() if answer else []
        return []

    async def page(self, path: str, doing: str, patience: float) -> str | None:
        """Return a page of a Pod, through the API server; None where nobody answers it in time.

        Asked once: a policy of the cluster may well keep the API server away from Pods.
        """
        request = self._http.build_request("GET", path, timeout=patience)
        try:
            answer = await self._once(request, doing)
        except (UnavailableError, UnreachableError):
            return None
        return None if answer is None else answer.text

    @contextlib.asynccontextmanager
    async def stream(
        self, path: str, doing: str, params: Params, silence: float
    ) -> AsyncIterator[AsyncIterator[str]]:
        """Open a stream of lines; UnreachableError if it breaks or says nothing for `silence` s."""
        timeout = httpx2.Timeout(_TIMEOUT.connect, read=silence)
        try:
            async with self._http.stream(
                "GET", path, params=dict(params), timeout=timeout
            ) as answer:
                if not answer.is_success:
                    await answer.aread()
                    raise self._refusal(answer, doing)
                yield answer.aiter_lines()
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error
        except _NO_TOKEN as error:
            raise self._no_credentials(error) from error

    async def _ask(
        self,
        method: str,
        path: str,
        doing: str,
        params: Params | None = None,
        *,
        body: str | None = None,
        content_type: str = "application/json",
    ) -> httpx2.Response | None:
        """Return the answer, None for 404; what may pass is tried again after each pause."""
        headers = {"Accept": "application/json, */*", "Content-Type": content_type}
        request = self._http.build_request(
            method, path, params=dict(params or {}), content=body, headers=headers
        )
        for pause in self._pauses:
            try:
                return await self._once(request, doing)
            except (UnavailableError, UnreachableError) as error:
                await asyncio.sleep(_advised(error, pause))
            except ConflictError as error:
                if error.conflicts or method == "DELETE":
                    raise
                await asyncio.sleep(pause)
        return await self._once(request, doing)

    async def _once(self, request: httpx2.Request, doing: str) -> httpx2.Response | None:
        try:
            answer = await self._http.send(request)
        except httpx2.TransportError as error:
            raise self._unreachable(error) from error
        except _NO_TOKEN as error:
            raise self._no_credentials(error) from error
        if answer.status_code == HTTPStatus.NOT_FOUND:
            return None
        if not answer.is_success:
            raise self._refusal(answer, doing)
        return answer

    def _refusal(self, answer: httpx2.Response, doing: str) -> ClusterError:
        try:
            status = answer.json()
        except ValueError:
            status = {"message": answer.text[:300]}
        after = answer.headers.get("Retry-After", "")
        return refusal(answer.status_code, status, doing, self.context, after)

    def _unreachable(self, error: httpx2.TransportError) -> UnreachableError:
        why = str(error) or type(error).__name__
        if "CERTIFICATE_VERIFY_FAILED" in why:
            return UnreachableError(f"{self.context} has a certificate that is not trusted: {why}")
        return UnreachableError(
            f"{self.context} does not answer: {why}; is it up, and can this machine reach it?"
        )

    def _no_credentials(self, error: Exception) -> ContextError:
        said = "its credential plug-in gave no token" if isinstance(error, KeyError) else error
        return ContextError(f"no credentials for {self.context}: {said}")


def _advised(error: ClusterError, pause: float) -> float:
    """Return how long to wait: what the server advised, at most 10 s, or our own pause."""
    after = error.after if isinstance(error, UnavailableError) else None
    return pause if after is None else min(_LONGEST_ADVICE, after)


def _selected(labels: str, fields: str) -> dict[str, str]:
    return {
        **({"labelSelector": labels} if labels else {}),
        **({"fieldSelector": fields} if fields else {}),
    }


def _typed(resource: Resource, one: Object) -> Object:
    """Return an item of a list with its kind, which the server leaves to the list's own."""
    return {"apiVersion": resource.api_version, "kind": resource.kind, **one}
