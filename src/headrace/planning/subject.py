"""One deployment with everything its plan depends on: model, place, loads, efficiency.

`auto.py` fills in what the file leaves open, `plan.py` does the arithmetic. Nothing here needs a
network: a model is read from its pulled folder, else found in the catalogue.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property

from headrace.capacity.efficiency import UNCALIBRATED, UNCALIBRATED_CPU, Efficiency
from headrace.capacity.fits import Fit, fit
from headrace.capacity.kv_pool import Pool
from headrace.capacity.lengths import Lengths
from headrace.capacity.memory import ENGINE
from headrace.capacity.recommend import Recommendation, recommend
from headrace.capacity.setup import Layout, Setup
from headrace.capacity.slo import Slo
from headrace.capacity.steady import Steady
from headrace.engines.vllm_defaults import Defaults, defaults
from headrace.engines.vllm_flags import canonical
from headrace.fleet.load import FleetFile
from headrace.fleet.problems import nearest
from headrace.fleet.source import HubSource, parse_source
from headrace.fleet.types import Deployment, Scalar
from headrace.hardware.accelerator import Accelerator
from headrace.models.architecture import Architecture
from headrace.models.errors import WeightsError
from headrace.models.look_up import ModelFacts, look_up
from headrace.models.store import pulled
from headrace.models.weight_bytes import Weights, weights_by_formula
from headrace.planning.calibrations import Calibrations
from headrace.planning.cold_start import UNSEEN, ColdStart, cold_start
from headrace.planning.errors import PlanError
from headrace.planning.loads import Load, loads_of, together
from headrace.planning.places import Place, place_of
from headrace.starts.ledger import Ledger
from headrace.traffic.traffic import Traffic


@dataclass(frozen=True)
class Subject:
    """A deployment of a file, and what is known of its model, its place and its requests."""

    file: FleetFile
    name: str
    deployment: Deployment
    facts: ModelFacts
    place: Place
    loads: tuple[Load, ...]
    calibrations: Calibrations
    cold_start: ColdStart = UNSEEN

    @property
    def architecture(self) -> Architecture:
        """The model's."""
        return self.facts.architecture

    @cached_property
    def traffic(self) -> Traffic:
        """What all its routes ask together."""
        return together(self.loads)

    @property
    def rate(self) -> float | None:
        """Requests a second of all routes; None where one does not say."""
        rates = [one.rate for one in self.loads]
        known = [rate for rate in rates if rate is not None]
        return sum(known) if len(known) == len(rates) else None

    @property
    def slo(self) -> Slo:
        """The strictest promise of its routes."""
        slos = [one.slo for one in self.loads]
        whose = "; ".join(f"{one.route}: {one.slo.why}" for one in self.loads)
        return Slo(min(one.ttft for one in slos), min(one.tpot for one in slos), whose)

    @property
    def flags(self) -> dict[str, Scalar]:
        """Further flags of its engine, as vLLM lists them."""
        return {canonical(name): value for name, value in self.deployment.engine.flags.items()}

    @property
    def engine(self) -> str:
        """Its engine as calibrations know it: vLLM by its version, others by their name too."""
        engine = self.deployment.engine
        return engine.version if engine.name == "vllm" else f"{engine.name} {engine.version}"

    @property
    def planned_as(self) -> str:
        """The version of vLLM whose defaults and memory are planned with."""
        engine = self.deployment.engine
        return engine.version if engine.name == "vllm" else ENGINE

    @cached_property
    def defaults(self) -> Defaults:
        """What its engine does where the file says nothing."""
        accelerator = self.place.accelerator
        return defaults(
            self.planned_as,
            kind=accelerator.kind,
            memory=accelerator.memory,
            product=accelerator.name,
            ranks=self.deployment.accelerators,
        )

    @cached_property
    def weights(self) -> Weights:
        """The model's bytes, in the quantization that the deployment asks for."""
        asked = self.deployment.quantization
        if asked is None or asked == self.facts.weights.scheme:
            return self.facts.weights
        try:
            return weights_by_formula(self.architecture, asked)
        except WeightsError as error:
            raise PlanError(f"deployments.{self.name}.quantization: {error}") from error

    @cached_property
    def setup(self) -> Setup:
        """One replica as it would be started; fields that say `auto` have the engine's default."""
        deployment, known = self.deployment, self.defaults
        return Setup(
            architecture=self.architecture,
            weights=self.weights,
            accelerator=_for_a_rank(self.place.accelerator, deployment.accelerators),
            layout=Layout(deployment.tensor_parallel, deployment.pipeline_parallel),
            max_model_len=deployment.max_model_len or self.architecture.context,
            max_num_seqs=deployment.max_num_seqs,
            max_num_batched_tokens=deployment.max_num_batched_tokens
            or known.max_num_batched_tokens,
            gpu_memory_utilization=deployment.gpu_memory_utilization
            or known.gpu_memory_utilization,
            kv_dtype_bytes=1 if str(self.flags.get("kv-cache-dtype")).startswith("fp8") else 2,
            kv_bytes=None
            if deployment.kv_cache is None
            else deployment.kv_cache // deployment.tensor_parallel,
            block=self._block,
            async_scheduling=bool(self.flags.get("async-scheduling", known.async_scheduling)),
        )

    @property
    def _block(self) -> int:
        """Return the tokens of a KV block."""
        asked = str(self.flags.get("block-size", self.defaults.block))
        if asked.isdecimal() and int(asked):
            return int(asked)
        raise PlanError(
            f"deployments.{self.name}.engine.flags.block-size: '{asked}' is no number of tokens"
        )

    @cached_property
    def fit(self) -> Fit:
        """What memory says of that replica."""
        return fit(self.setup, self.planned_as)

    @property
    def efficiency(self) -> Efficiency:
        """How much of the data sheet its engine reaches there, measured or assumed."""
        found = self.calibrations.find(self.setup, self.engine)
        guess = UNCALIBRATED_CPU if self.place.accelerator.kind == "cpu" else UNCALIBRATED
        return found or guess

    @cached_property
    def lengths(self) -> Lengths:
        """Of the requests of all routes."""
        return Lengths.of(self.traffic)

    @cached_property
    def steady(self) -> Steady:
        """One replica at any rate."""
        return self.steady_of(self.lengths)

    def steady_of(self, lengths: Lengths) -> Steady:
        """Return one replica at any rate of requests of other lengths than its routes'."""
        return Steady(self.setup, self.efficiency, Pool.of(self.fit.cache), lengths)

    @cached_property
    def capacity(self) -> float:
        """Requests a second that one replica takes within the SLO; 0 if it keeps it at no rate."""
        return self.steady.max_rate(self.slo.ttft, self.slo.tpot)

    @cached_property
    def recommended(self) -> Recommendation:
        """Flags for what its routes ask; a step may take four times as long as a token may."""
        return recommend(
            self.setup, self.traffic, longest_step=4 * self.slo.tpot, engine=self.planned_as
        )

    def filled(self, values: dict[str, int | float]) -> Subject:
        """Return it with fields of the deployment filled in."""
        return replace(self, deployment=self.deployment.filled(values))


def subject(
    file: FleetFile, name: str, *, hub: bool = False, starts: Ledger | None = None
) -> Subject:
    """Return one deployment of a file; PlanError, WeightsError where too little is known.

    `starts` None: those in the ledger of the file's fleet.
    """
    return replace(
        replica(file, name, hub=hub),
        loads=loads_of(file, name) or _unused(name),
        calibrations=Calibrations.beside(file.path),
        cold_start=cold_start(file, name, starts),
    )


def replica(file: FleetFile, name: str, *, hub: bool = False) -> Subject:
    """Return it without its requests and what was measured: enough to say whether it fits.

    PlanError, WeightsError where too little is known of the model or the hardware.
    """
    known = file.fleet.deployments
    if name not in known:
        raise PlanError(f"{file.path} has no deployment '{name}'{nearest(name, known)}")
    deployment = known[name]
    place = place_of(deployment.hardware, file.fleet.hardware[deployment.hardware])
    facts = _facts(file, deployment, hub=hub)
    return Subject(file, name, deployment, facts, place, (), Calibrations(file.path))


def _unused(name: str) -> tuple[Load, ...]:
    raise PlanError(f"no route leads to deployment {name}, so nothing is asked of it")


def _facts(file: FleetFile, deployment: Deployment, *, hub: bool) -> ModelFacts:
    source = parse_source(file.fleet.models[deployment.model].weights)
    folder = pulled(file.path, deployment.model)
    if hub and folder is None and isinstance(source, HubSource):
        return _asked(source)
    return look_up(source, folder)


def _asked(source: HubSource) -> ModelFacts:
    """Ask the hub for the configuration and the headers of the weights, not for the weights."""
    from headrace.models.fetch_facts import fetch_facts  # noqa: PLC0415 - plans need no HTTP
    from headrace.models.web import open_client  # noqa: PLC0415 - as above

    with open_client() as client:
        return fetch_facts(source, client)


def _for_a_rank(accelerator: Accelerator, ranks: int) -> Accelerator:
    """Return what one of a replica's ranks has: a GPU of its own, or its share of the one CPU."""
    if accelerator.kind != "cpu" or ranks == 1:
        return accelerator
    return replace(
        accelerator,
        memory=accelerator.memory // ranks,
        bandwidth=accelerator.bandwidth / ranks,
        compute={name: rate / ranks for name, rate in accelerator.compute.items()},
    )
