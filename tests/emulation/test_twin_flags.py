"""The twin's command line: an engine's flags are that engine's, and a mistake is a sentence."""

import re
import socket

import pytest

from headrace.emulation.__main__ import main, parser


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--engine", "tgi", "--shutdown-timeout", "5"], "is a flag of vllm, not of tgi"),
        (["--max-concurrent-requests", "5"], "is a flag of tgi, not of vllm"),
        (["--engine", "trtllm", "--enable-metrics"], "is a flag of sglang, not of trtllm"),
        (["--engine", "sglang", "--openai-port", "9000"], "is a flag of triton, not of sglang"),
        (["--engine", "triton", "--return-perf-metrics"], "is a flag of trtllm, not of triton"),
        (["--engine-version", "0.10.2", "--shutdown-timeout", "5"], "has no --shutdown-timeout"),
        (["--engine-version", "0.29.1", "--max-num-queued-reqs", "5"], "it came with 0.30"),
        (
            ["--engine", "tgi", "--engine-version", "2.4.0", "--graceful-termination-timeout", "5"],
            "TGI 2.4.0 has no --graceful-termination-timeout; it came with 3.3",
        ),
        (
            ["--engine", "tgi", "--engine-version", "3.2.0", "--prometheus-port", "9000"],
            "TGI 3.2.0 has no --prometheus-port; it came with 3.3",
        ),
        (["--engine-version", "new"], "new is no version of vllm; write one such as 0.32.0"),
        (["--engine", "sglang", "--engine-version", "new"], "new is no version of sglang"),
        (["--engine", "llama"], "invalid choice: 'llama'"),
        (["--die-after", "soon"], "invalid count value: 'soon'"),
        (["--die-after", "-1"], "-1 is not 0 or more"),
        (["--slots", "0"], "0 is not 1 or more"),
        (["--ttft", "fast"], "invalid seconds value: 'fast'"),
        (["--ttft", "-0.1"], "-0.1 is not 0 or more"),
        (["--tpot", "nan"], "invalid seconds value: 'nan'"),
        (["--port", "65536"], "65536 is no port"),
        (["--slow", "2s"], "invalid factor value: '2s'"),
    ],
)
def test_a_wrong_flag_is_refused(
    capsys: pytest.CaptureFixture[str], flags: list[str], words: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(flags)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err


def test_wrong_faults_in_the_environment_are_refused(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADRACE_EMULATE", '{"wrnog": true}')
    with pytest.raises(SystemExit):
        main([])
    assert "HEADRACE_EMULATE in the environment is no set of faults" in capsys.readouterr().err


def test_times_may_have_a_unit() -> None:
    given = parser().parse_args(["--ttft", "250ms", "--tpot", "0.02", "--startup", "2m"])
    assert (given.ttft, given.tpot, given.startup) == (0.25, 0.02, 120.0)


def test_every_flag_says_what_it_does(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"])
    text = re.sub(r"\s+", " ", capsys.readouterr().out)
    assert "--hang-after COUNT a stream says nothing any more after so many tokens" in text
    assert "--ttft SECONDS to the first token (0.05)" in text
    silent = [action.dest for action in parser()._actions if not action.help]
    assert silent == ["engine", "host"]


@pytest.mark.parametrize("engine", ["vllm", "tgi", "triton", "trtllm", "sglang"])
def test_a_taken_port_is_a_sentence(capsys: pytest.CaptureFixture[str], engine: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        extra = ["--metrics-port", "none"] if engine == "triton" else []
        assert main(["--engine", engine, "--port", str(port), *extra]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("headrace emulate: ")
    assert str(port) in line
    assert "address already in use" in line  # by which the runtime knows that it was bad luck


def test_ports_can_be_absent() -> None:
    given = parser().parse_args(["--metrics-port", "none", "--openai-port", "9000"])
    assert (given.metrics_port, given.openai_port) == (None, 9000)
