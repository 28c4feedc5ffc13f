import os
import resource
import subprocess
import sys

import pytest
from bench.usage import cpu_seconds, usage

BUSY = "x = 0\nfor i in range(3_000_000): x += i\n"


def test_cpu_seconds_agree_with_the_kernels_own_account() -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    with subprocess.Popen([sys.executable, "-c", BUSY]) as child:
        os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, but still to be reaped
        counted = cpu_seconds(child.pid)
        child.wait()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    told = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    assert counted > 0
    assert counted == pytest.approx(told, abs=0.02)


def test_a_tree_is_counted_with_its_children() -> None:
    inner = f"{BUSY}\nprint('done', flush=True)\ninput()"
    outer = f"import subprocess, sys\nsubprocess.run([sys.executable, '-c', {inner!r}])"
    with subprocess.Popen(
        [sys.executable, "-c", outer], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout
        assert child.stdout.readline() == b"done\n"
        found = usage(child.pid)
        alone = cpu_seconds(child.pid)
        child.communicate(b"\n")
    assert child.pid in found.pids
    assert len(found.pids) == 2
    # The parent only started an interpreter, the child did that and the counting.
    assert found.cpu > 2 * alone
    assert found.rss > 0


def test_a_process_that_is_gone_has_no_clock() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as child:
        child.wait()
    with pytest.raises(OSError):  # noqa: PT011  the kernel's message is not ours
        cpu_seconds(child.pid)
