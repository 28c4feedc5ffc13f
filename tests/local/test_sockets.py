"""An engine's sockets are in a folder of the replica's own, which goes with it."""

from pathlib import Path
from tempfile import TemporaryDirectory

from headrace.local import sockets


def test_the_folder_is_new_each_time_private_and_gone_in_the_end() -> None:
    with TemporaryDirectory() as short:
        state = Path(short)
        made = sockets.made(state, "chat-1")
        assert made == state / "ipc" / "chat-1"
        assert made.stat().st_mode & 0o777 == 0o700
        (made / "left").write_text("")
        assert sockets.made(state, "chat-1") == made
        assert list(made.iterdir()) == []
        sockets.removed(state, "chat-1")
        sockets.removed(state, "chat-1")
        assert not made.exists()


def test_where_a_socket_would_not_fit_there_is_none() -> None:
    # 107 bytes less a slash and the 36 of a UUID.
    fits = "/" + "s" * (107 - 37 - len("//ipc/chat-1"))
    assert sockets.LONGEST_SOCKET_PATH == 107
    assert sockets.made(Path(fits + "s"), "chat-1") is None
