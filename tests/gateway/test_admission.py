"""The rules of admission by themselves: shares are exact, keys are found and no others."""

from __future__ import annotations

import hashlib

from guarded import key
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from headrace.gateway.admission import Admission, KeyRing, Share
from headrace.gateway.control import Key, Limits
from headrace.gateway.errors import Failure

LIMIT = 100
NAMES = ("a", "b")


class Shares(RuleBasedStateMachine):
    """Any order of entering, growing and leaving, against plain sums."""

    def __init__(self) -> None:
        super().__init__()
        self.admission = Admission()
        keys = [key(name, name, streams=2) for name in NAMES]
        self.admission.configure(keys, Limits(max_bodies=LIMIT))
        self.held: list[tuple[Share, str, list[int]]] = []

    @rule(name=st.sampled_from(NAMES), length=st.integers(0, 120))
    def enter(self, name: str, length: int) -> None:
        mine = sum(who == name for _, who, _ in self.held)
        share = self.admission.enter("/v1/models", [(b"x-api-key", name.encode())], length)
        if mine == 2:
            assert isinstance(share, Failure)
            assert share.kind == "key_limit"
        elif length and self.sum() + length > LIMIT:
            assert isinstance(share, Failure)
            assert share.kind == "too_much_in_flight"
        else:
            assert isinstance(share, Share)
            self.held.append((share, name, []))

    @precondition(lambda self: self.held)
    @rule(pick=st.integers(0, 99), size=st.integers(1, 60))
    def grow(self, pick: int, size: int) -> None:
        share, _, sizes = self.held[pick % len(self.held)]
        refused = share.grow(size)
        assert (refused is not None) == (self.sum() + size > LIMIT)
        if refused is None:
            sizes.append(size)

    @precondition(lambda self: self.held)
    @rule(pick=st.integers(0, 99))
    def leave(self, pick: int) -> None:
        share, _, _ = self.held.pop(pick % len(self.held))
        share.leave()
        share.leave()

    @rule()
    def reload(self) -> None:
        keys = [key(name, name, streams=2) for name in NAMES]
        self.admission.configure(keys, Limits(max_bodies=LIMIT))

    def sum(self) -> int:
        return sum(sum(sizes) for _, _, sizes in self.held)

    @invariant()
    def it_is_the_sum(self) -> None:
        assert self.admission.bodies == self.sum() <= LIMIT
        assert self.admission.requests.total() == len(self.held)


TestShares = Shares.TestCase


@given(secrets=st.lists(st.text(min_size=1, max_size=20), unique=True, max_size=20), data=st.data())
def test_each_key_is_found_and_no_other(secrets: list[str], data: st.DataObject) -> None:
    ring = KeyRing(key(str(number), secret) for number, secret in enumerate(secrets))
    asked = data.draw(st.text(min_size=1, max_size=20) | st.sampled_from([*secrets, "x"]))
    found = ring.find([(b"x-api-key", asked.encode())])
    if asked in secrets and asked.encode() == asked.encode().strip():
        assert isinstance(found, Key)
        assert found.name == str(secrets.index(asked))
    else:
        stripped = asked.encode().strip()
        known = {secret.encode() for secret in secrets}
        assert isinstance(found, Key) == (stripped in known)


def test_digests_that_begin_alike_are_told_apart() -> None:
    digest = hashlib.sha256(b"one").hexdigest()
    alike = digest[:16] + "0" * 48
    ring = KeyRing([Key(name="alike", digest=alike), Key(name="one", digest=digest)])
    found = ring.find([(b"authorization", b"Bearer one")])
    assert isinstance(found, Key)
    assert found.name == "one"
