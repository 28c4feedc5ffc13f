"""The twin's command line: an engine's flags are that engine's, and a mistake is a sentence."""

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
        (["--engine-version", "new"], "new is no version of vLLM"),
        (["--engine", "llama"], "invalid choice: 'llama'"),
        (["--die-after", "soon"], "invalid int value: 'soon'"),
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


def test_ports_can_be_absent() -> None:
    given = parser().parse_args(["--metrics-port", "none", "--openai-port", "9000"])
    assert (given.metrics_port, given.openai_port) == (None, 9000)
