"""Memory of a replica against what the real one took."""

from headrace.capacity.memory import replica_memory


def test_measured_replica_fits_with_little_to_spare() -> None:
    """SmolLM2 with 1 GiB of KV cache took 3,116,422 kB (PSS of all its processes)."""
    measured = 3_116_422 * 1024
    needed = replica_memory(weight_bytes=269_060_552, kv_bytes=2**30)
    assert measured < needed < 1.15 * measured


def test_everything_adds() -> None:
    base = replica_memory(0, 0)
    assert replica_memory(5, 7) == base + 12
    assert replica_memory(0, 0, ranks=3) > replica_memory(0, 0, ranks=2) > base
