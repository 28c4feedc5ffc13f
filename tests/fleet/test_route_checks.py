"""What contradicts in routes, adapters and their order: each with its line and its cure."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from headrace.fleet.load import load_fleet
from headrace.fleet.problems import FleetError
from headrace.fleet.reach import API_PATHS, unreachable
from headrace.fleet.types import Fleet
from headrace.gateway.small import API
from headrace.routing.from_fleet import routes_of
from headrace.routing.match import Asked, RouteTable

BASE = """\
fleet: f
models: {m: {weights: "file:///m"}}
hardware: {h: {kind: emulated}}
deployments:
  a: {model: m, hardware: h, max_model_len: 2048, queue: {max_wait: 60s}}
  b: {model: m, hardware: h, max_model_len: 8192}
gateway: {%s}
routes:
"""
REST = "  rest: {match: {}, variants: [{deployment: a, weight: 1}, {deployment: b, weight: 1}]}\n"


def problems(folder: Path, text: str) -> list[str]:
    """Return the problems of a fleet, without the file's name."""
    file = folder / "fleet.yaml"
    file.write_text(text)
    try:
        load_fleet(file)
    except FleetError as error:
        return [str(problem).removeprefix(f"{file}:") for problem in error.problems]
    return []


def of_route(folder: Path, route: str, gateway: str = "") -> list[str]:
    """Return the problems of a route `r` in line 9, with all deployments reached after it."""
    return problems(folder, f"{BASE % gateway}  r: {{{route}}}\n{REST}")


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("match: {model: [x]}", "9: routes.r: leads nowhere; give it a deployment, or variants"),
        ("match: {model: [x]}, deployment: a, variants: [{deployment: b, weight: 1}]", "9: routes.r.deployment: contradicts variants"),
        ("match: {model: [x]}, variants: [{deployment: a, weight: 1}, {deployment: a, weight: 2}]", "9: routes.r.variants.1.deployment: 'a' is a variant already"),
        ("match: {model: [x]}, variants: [{deployment: a, weight: 0}, {deployment: b, weight: 0}]", "9: routes.r.variants: all weights are 0"),
        ("match: {model: [x]}, variants: [{deployment: a, weight: -1}]", "9: routes.r.variants.0.weight: "),
        ("match: {model: [x]}, deployment: a, shadow: {deployment: a, share: 0.1}", "9: routes.r.shadow.deployment: serves this route"),
        ("match: {model: [x]}, variants: [{deployment: a, weight: 1}], shadow: {deployment: a, share: 1}", "9: routes.r.shadow.deployment: serves this route"),
        ("match: {model: [x]}, deployment: a, shadow: {deployment: c, share: 1}", "9: routes.r.shadow.deployment: no deployment is named 'c'"),
        ("match: {model: [x]}, deployment: a, overflow: [{deployment: a, when: [queue]}]", "9: routes.r.overflow.0.deployment: is the route's own deployment"),
        ("match: {model: [x]}, deployment: a, overflow: [{deployment: z, when: [queue]}]", "9: routes.r.overflow.0.deployment: no deployment is named 'z'"),
        ("match: {model: [x]}, deployment: a, overflow: [{deployment: b, when: [queue]}, {deployment: b, when: [cold, queue]}]", "9: routes.r.overflow.1.when: 'queue' leads to 'b' already"),
        ("match: {model: [x]}, deployment: a, overflow: [{deployment: b, when: [cold], after: 5s}]", "9: routes.r.overflow.0.after: counts for 'queue' alone"),
        ("match: {model: [x]}, deployment: a, overflow: [{deployment: b, when: [queue], after: 1m}]", "9: routes.r.overflow.0.after: 1m is never waited: requests are refused after max_wait, 1m"),
        ("match: {model: [x]}, deployment: b, queue: {max_wait: 5s}, overflow: [{deployment: a, when: [queue]}]", "9: routes.r.overflow.0.after: 10s is never waited: requests are refused after max_wait, 5s"),
        ("match: {model: [x]}, deployment: b, overflow: [{deployment: a, when: [context]}]", "9: routes.r.overflow.0.when: 'context' helps nobody: max_model_len of 'a' is 2048"),
        ("match: {model: [x], prompt_tokens: {min: 9, max: 8}}, deployment: a", "9: routes.r.match.prompt_tokens.min: min 9 is greater than max 8"),
        ("match: {model: [x], max_tokens: {min: 9, max: 8}}, deployment: a", "9: routes.r.match.max_tokens.min: min 9 is greater"),
        ("match: {model: [x], max_tokens: {}}, deployment: a", "9: routes.r.match.max_tokens: bounds nothing"),
        ("match: {model: [x], path: [/v1/chat/completion]}, deployment: a", "9: routes.r.match.path.0: no deployment serves '/v1/chat/completion'; did you mean '/v1/chat/completions'?"),
        ("match: {model: [x], headers: {'x team': [y]}}, deployment: a", "9: routes.r.match.headers.x team: is not a header's name"),
        ("match: {model: [x], headers: {X-Team: [y], x-team: [z]}}, deployment: a", "9: routes.r.match.headers.x-team: is the header 'X-Team' again"),
        ("match: {model: [x], headers: {x-team: ['y ']}}, deployment: a", "9: routes.r.match.headers.x-team.0: no header has this value"),
        ("match: {model: [x], key: [k]}, deployment: a", "9: routes.r.match.key: gateway.keys is not set"),
        ("match: {model: [x], tenant: [k]}, deployment: a", "9: routes.r.match.tenant: gateway.keys is not set"),
        ("match: {model: [x]}, deployment: a, sticky: key", "9: routes.r.sticky: gateway.keys is not set"),
        ("match: {model: [x]}, deployment: a, limits: [{per: key, concurrency: 1}]", "9: routes.r.limits.0.per: gateway.keys is not set"),
        ("match: {model: [x]}, deployment: a, limits: [{per: route, mode: count}]", "9: routes.r.limits.0: limits nothing"),
        ("match: {model: [x]}, deployment: a, traffic: {}", "9: routes.r.traffic: expects nothing"),
        ("match: {model: [x]}, deployment: a, traffic: {trace: t.csv, prompt: {p50: 1, p99: 1}}", "9: routes.r.traffic.prompt: contradicts trace"),
        ("match: {model: [x]}, deployment: a, traffic: {trace: t.csv, rate: 3, output: {p50: 1, p99: 1}}", "9: routes.r.traffic.output: contradicts trace"),
        ("match: {model: [x]}, deployment: a, traffic: {prompt: {p50: 9, p99: 8}}", "9: routes.r.traffic.prompt.p99: p99 8 is less than p50 9"),
        ("match: {model: [x]}, deployment: a, traffic: {output: {p50: 2, p99: 1}}", "9: routes.r.traffic.output.p99: p99 1 is less than p50 2"),
    ],
)  # fmt: skip
def test_a_contradiction_in_a_route(tmp_path: Path, route: str, expected: str) -> None:
    found = of_route(tmp_path, route)
    assert len(found) == 1, found
    assert found[0].startswith(expected)


@pytest.mark.parametrize(
    "route",
    [
        "match: {model: [x], headers: {x-team: [a, b c], x-tokens-tier: []}}, deployment: a",
        "match: {path: [/v1/completions], stream: true, max_tokens: {max: 0}}, deployment: a",
        "match: {model: [x], prompt_tokens: {min: 5, max: 5}}, deployment: a",
        "match: {model: [x]}, deployment: a, overflow: [{deployment: b, when: [queue, context], after: 59s}]",
        "match: {model: [x]}, variants: [{deployment: a, weight: 1}, {deployment: b, weight: 0}], shadow: {deployment: b, share: 0.5}",
        "match: {model: [x]}, variants: [{deployment: a, weight: 1}, {deployment: b, weight: 1}], overflow: [{deployment: b, when: [context]}]",
    ],
)
def test_what_is_allowed(tmp_path: Path, route: str) -> None:
    assert of_route(tmp_path, route) == []


def test_with_keys_callers_can_be_told_apart(tmp_path: Path) -> None:
    route = "match: {model: [x], key: [k], tenant: [t]}, deployment: a, sticky: key, limits: [{per: tenant, concurrency: 1}]"
    assert of_route(tmp_path, route, gateway="keys: keys.yaml") == []


@pytest.mark.parametrize(
    "header",
    ["Authorization", "proxy-authorization", "cookie", "Set-Cookie", "X-API-Key", "api-key",
     "x-auth-token", "x-client-secret", "x_api_key", "X-Amz-Security-Token", "x-password"],
)  # fmt: skip
def test_secrets_are_not_matched(tmp_path: Path, header: str) -> None:
    found = of_route(tmp_path, f"match: {{headers: {{{header}: [hunter2]}}}}, deployment: a")
    assert [problem.split(";")[0] for problem in found] == [
        f"9: routes.r.match.headers.{header}: may carry a secret, which does not belong in this file"
    ]
    assert "hunter2" not in found[0]


def test_the_paths_are_those_of_the_gateway() -> None:
    assert set(API_PATHS) == API


def order(folder: Path, *matches: str) -> list[str]:
    routes = [
        f"  r{number}: {{match: {{{match}}}, deployment: a}}\n"
        for number, match in enumerate(matches)
    ]
    shadow = "  end: {match: {model: [end]}, deployment: b}\n"
    return problems(folder, BASE % "keys: keys.yaml" + shadow + "".join(routes))


@pytest.mark.parametrize(
    "matches",
    [
        ("model: [x, y]", "model: [x]"),
        ("model: [x]", "model: [x], stream: true"),
        ("model: [x]", "model: [x], headers: {x-team: [a]}"),
        ("headers: {X-Team: [a, b]}", "model: [x], headers: {x-team: [b], x-other: [c]}"),
        ("headers: {x-team: []}", "headers: {x-team: [b]}"),
        ("key: [k, l]", "key: [l], prompt_tokens: {max: 5}"),
        ("tenant: [t]", "tenant: [t]"),
        ("prompt_tokens: {max: 100}", "prompt_tokens: {min: 3, max: 100}"),
        ("prompt_tokens: {min: 0}", "model: [x]"),
        ("max_tokens: {min: 100}", "max_tokens: {min: 200}"),
        ("path: [/v1/chat/completions, /v1/completions, /v1/embeddings]", "model: [x]"),
    ],
)
def test_a_route_behind_a_wider_one_is_never_reached(
    tmp_path: Path, matches: tuple[str, ...]
) -> None:
    assert order(tmp_path, *matches) == [
        (
            "11: routes.r1.match: no request comes here: 'r0' before takes all that match; put this "
            "route first, or remove it"
        )
    ]


@pytest.mark.parametrize(
    "matches",
    [
        ("model: [x]", "model: [y]"),
        ("model: [x]", "stream: true"),
        ("model: [x], stream: true", "model: [x]"),
        ("headers: {x-team: [a]}", "headers: {x-team: []}"),
        ("headers: {x-team: [a], x-other: [b]}", "headers: {x-team: [a]}"),
        ("key: [k]", "key: [k, l]"),
        ("key: [k]", "tenant: [k]"),
        ("prompt_tokens: {max: 100}", "prompt_tokens: {min: 3, max: 101}"),
        ("max_tokens: {max: 100}", "max_tokens: {min: 3}"),
        ("max_tokens: {max: 100}", ""),
        ("path: [/v1/chat/completions]", "model: [x]"),
    ],
)
def test_a_route_behind_a_narrower_one_is_reached(tmp_path: Path, matches: tuple[str, ...]) -> None:
    assert order(tmp_path, *matches) == []


def test_several_routes_can_shut_one_out_together(tmp_path: Path) -> None:
    assert order(tmp_path, "model: [x]", "stream: true", "stream: false", "model: [x, y]") == [
        (
            "13: routes.r3.match: no request comes here: 'r0' and 'r1' and 'r2' before together take "
            "all that match; put this route first, or remove it"
        )
    ]


def test_one_alias_that_never_comes_is_named(tmp_path: Path) -> None:
    found = order(tmp_path, "model: [x]", "model: [y, x]")
    assert found == [
        (
            "11: routes.r1.match.model.1: no request for 'x' comes here: 'r0' before has all; remove "
            "it here, or put this route first"
        )
    ]


MATCHES = st.fixed_dictionaries(
    {},
    optional={
        "model": st.lists(st.sampled_from("xy"), min_size=1, max_size=2, unique=True),
        "path": st.lists(st.sampled_from(API_PATHS), min_size=1, max_size=3, unique=True),
        "headers": st.dictionaries(
            st.sampled_from(["x-a", "x-b"]), st.lists(st.sampled_from("pq"), max_size=2), max_size=2
        ),
        "key": st.lists(st.sampled_from("kl"), min_size=1, max_size=2, unique=True),
        "prompt_tokens": st.fixed_dictionaries({"min": st.integers(0, 3)}),
        "max_tokens": st.fixed_dictionaries({"max": st.integers(0, 3)}),
        "stream": st.booleans(),
    },
)
ASKED = st.builds(
    Asked,
    st.sampled_from("xyz"),
    st.sampled_from(API_PATHS),
    st.dictionaries(st.sampled_from([b"x-a", b"x-b"]), st.sampled_from([b"p", b"q"])),
    st.sampled_from(["k", "l", "m", None]),
    st.none(),
    st.integers(0, 4),
    st.none() | st.integers(0, 4),
    st.booleans(),
)


@given(matches=st.lists(MATCHES, min_size=2, max_size=5), asked=st.lists(ASKED, max_size=30))
def test_what_is_called_unreachable_gets_no_request(
    matches: list[dict[str, object]], asked: list[Asked]
) -> None:
    routes = {f"r{at}": {"match": match, "deployment": "a"} for at, match in enumerate(matches)}
    fleet = _fleet(routes)
    whole = {path[1] for path, _ in unreachable(fleet) if len(path) == 3}
    aliases = {(path[1], _alias(routes, path)) for path, _ in unreachable(fleet) if len(path) == 5}
    table = RouteTable(routes_of(fleet))
    for one in asked:
        found = table.find(one)
        if found is not None:
            assert found.name not in whole
            assert (found.name, one.model) not in aliases


def _fleet(routes: dict[str, object]) -> Fleet:
    return Fleet.model_validate(
        {
            "fleet": "f",
            "models": {"m": {"weights": "file:///m"}},
            "hardware": {"h": {"kind": "emulated"}},
            "deployments": {"a": {"model": "m", "hardware": "h"}},
            "routes": routes,
        }
    )


def _alias(routes: dict[str, dict[str, dict[str, list[str]]]], path: tuple[str | int, ...]) -> str:
    return routes[str(path[1])]["match"]["model"][int(path[4])]


ADAPTERS = """\
fleet: f
models: {m: {weights: "file:///m"}}
hardware: {h: {kind: emulated}}
deployments:
  a: {model: m, hardware: h, adapters: {%s}}
  b: {model: m, hardware: h, adapters: {%s}}
routes:
"""
SQL = 'sql: {weights: "file:///sql"}'
SQL2 = 'sql: {weights: "file:///sql2"}'
TWO = "variants: [{deployment: a, weight: 9}, {deployment: b, weight: 1}]"


@pytest.mark.parametrize(
    ("adapters", "routes", "expected"),
    [
        ((SQL, ""), ["model: [sql, m]}, deployment: a", "model: [n]}, deployment: b"], []),
        ((SQL, SQL), ["model: [sql]}, " + TWO], []),
        ((SQL, SQL2), ["model: [sql]}, " + TWO], []),
        (("", ""), ["}, " + TWO], []),
        (('m: {weights: "file:///sql"}', ""), ["}, " + TWO], ["5: deployments.a.adapters.m: is the name of a model too"]),
        ((SQL, ""), ["model: [m]}, " + TWO], ["5: deployments.a.adapters.sql: no route matches model 'sql'"]),
        ((SQL, ""), ["model: [m]}, deployment: a", "model: [sql]}, deployment: b"], ["5: deployments.a.adapters.sql: no route for 'sql' leads to this deployment"]),
        ((SQL, SQL2), ["model: [sql], stream: true}, deployment: a", "model: [sql]}, deployment: b"], ["6: deployments.b.adapters.sql: deployment 'a' has other weights under this name"]),
        ((SQL, ""), ["model: [m, sql]}, " + TWO], ["8: routes.r0.match.model.1: 'sql' is an adapter of 'a', but variant 'b' has none"]),
    ],
)  # fmt: skip
def test_adapters_mean_one_thing_and_can_be_asked_for(
    tmp_path: Path, adapters: tuple[str, str], routes: list[str], expected: list[str]
) -> None:
    lines = [f"  r{at}: {{match: {{{route}}}\n" for at, route in enumerate(routes)]
    found = problems(tmp_path, ADAPTERS % adapters + "".join(lines))
    assert len(found) == len(expected), found
    assert all(problem.startswith(start) for problem, start in zip(found, expected, strict=True))


@pytest.mark.parametrize(
    ("route", "expected"),
    [
        ("rest", []),
        ("r", []),
        ("other", ["7: deployments.b.scaling.triggers.0.route: no route is named 'other'; known: r, rest"]),
        ("rset", ["7: deployments.b.scaling.triggers.0.route: no route is named 'rset'; did you mean 'rest'?"]),
    ],
)  # fmt: skip
def test_a_trigger_counts_a_route_that_leads_here(
    tmp_path: Path, route: str, expected: list[str]
) -> None:
    scaling = f"  b: {{model: m, hardware: h, scaling: {{max: 2, triggers: [\n    {{signal: waiting, target: 1, route: {route}}}]}}}}"
    text = BASE % "" + "  r: {match: {stream: true}, deployment: b}\n" + REST
    old = "  b: {model: m, hardware: h, max_model_len: 8192}"
    assert problems(tmp_path, text.replace(old, scaling)) == expected
    away = text.replace(old, scaling).replace("deployment: b}\n", "deployment: a}\n", 1)
    if route == "r":
        assert problems(tmp_path, away) == [
            (
                "7: deployments.b.scaling.triggers.0.route: route 'r' does not lead to 'b'; name one "
                "that does"
            )
        ]


@pytest.mark.parametrize(
    "traffic",
    [
        "{rate: 1}",
        "{prompt: {p50: 5, p99: 5}}",
        "{output: {p50: 5, p99: 9}}",
        "{trace: t.csv}",
        "{trace: t.csv, rate: 2}",
    ],
)
def test_traffic_that_says_anything_is_good(tmp_path: Path, traffic: str) -> None:
    route = f"match: {{model: [x]}}, deployment: a, traffic: {traffic}"
    assert of_route(tmp_path, route) == []
