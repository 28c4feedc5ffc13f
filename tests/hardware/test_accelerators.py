"""The catalogue against figures that others read or published, named beside each table."""

import pytest

from headrace.hardware.accelerator import Accelerator
from headrace.hardware.catalogue import (
    UnknownAcceleratorError,
    accelerators,
    example_price,
    find_accelerator,
)

TERA = 1e12
MIB = 2**20


@pytest.mark.parametrize(
    ("name", "mib"),
    [  # what nvidia-smi says of the whole card, as Modal listed it for its fleet (modal-client #2797)
        ("A100-40GB", 40960),
        ("A100-80GB", 81920),
        ("H100", 81559),
        ("A10G", 23028),
        ("L40S", 46068),
        ("L4", 23034),
        ("T4", 15360),
        # LLMServingSim's meta.json of an RTX 4090; aiconfigurator's file of an RTX PRO 6000
        ("RTX-4090", 24564),
        ("RTX-PRO-6000", 97887),
        # of the data sheets: 141 GB, 180 GB, 192 GiB
        ("H200", 143771),
        ("B200", 183359),
        ("MI300X", 196608),
    ],
)
def test_a_process_sees_a_little_less_than_the_card_has(name: str, mib: int) -> None:
    seen = find_accelerator(name).memory / MIB
    assert 0.96 * mib < seen < mib


def test_memory_is_to_the_byte_where_a_device_was_read() -> None:
    # deviceQuery of an A100-SXM4-40GB in bottlerocket pull request 3873: "40339 MBytes"
    assert find_accelerator("A100-40GB").memory == 42_298_834_944
    # device_total_memory_bytes in the meta.json of LLMServingSim's RTX 4090 run
    assert find_accelerator("rtx 4090").memory == 25_250_627_584
    # ROCm issue 4203 prints total_memory=196592MB
    assert find_accelerator("MI300X").memory == 196_592 * MIB


@pytest.mark.parametrize(
    ("name", "bits", "clock_mhz"),
    [  # bus width and memory clock (double data rate), as deviceQuery and NVIDIA's STREAM print them
        ("A100-40GB", 5120, 1215),
        ("A100-80GB", 5120, 1593),
        ("A100-80GB-PCIe", 5120, 1512),
        ("H100", 5120, 2619),
        ("B200", 7680, 3996),  # pytorch/ao pull request 4002
        ("L4", 192, 6251),
        ("L40S", 384, 9001),
        ("A10G", 384, 6251),
        ("T4", 256, 5001),
        ("RTX-4090", 384, 10501),
        ("RTX-PRO-6000", 512, 14001),
        ("MI300X", 8192, 2600),
    ],
)
def test_bandwidth_is_bus_width_times_clock(name: str, bits: int, clock_mhz: int) -> None:
    expected = bits / 8 * clock_mhz * 1e6 * 2
    assert find_accelerator(name).bandwidth == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize(
    ("name", "bf16", "fp8"),
    [
        # aiconfigurator's systems/*.yaml (dense); of the RTX PRO 6000 at the 2430 MHz of one node
        ("H100", 989, 1978),
        ("L40S", 362.05, 733),
        ("RTX-PRO-6000", 467.8 * 2600 / 2430, 935.6 * 2600 / 2430),
        # allenai/open-instruct's GPU_SPECS
        ("H200", 989, None),
        # G. Lockwood's pages, dense
        ("A100-80GB", 312, None),
        ("B200", 2250, 4500),
        # GPU Markets' sheet of the MI300X
        ("MI300X", 1307, 2615),
        # a table of 4090, A100 and H100 by M. Senghaas
        ("RTX-4090", 165, None),
        # the data sheet's sparse figures, halved: 242 and 485
        ("L4", 242 / 2, 485 / 2),
        ("H100-PCIe", 1513 / 2, 3026 / 2),
    ],
)
def test_compute_is_dense(name: str, bf16: float, fp8: float | None) -> None:
    found = find_accelerator(name).compute
    assert found["bf16"] == pytest.approx(bf16 * TERA, rel=0.01)
    if fp8:
        assert found["fp8"] == pytest.approx(fp8 * TERA, rel=0.01)


@pytest.mark.parametrize(
    ("name", "gigabytes"),
    [  # one direction: BLIS's hardware notes (A100 300, H100 450, L40S 32); data sheets, halved
        ("A100-40GB", 300),
        ("A100-80GB", 300),
        ("H100", 450),
        ("H200", 450),
        ("B200", 900),
        ("MI300X", 448),
        ("L40S", 32),
        ("A100-80GB-PCIe", 32),
        ("H100-PCIe", 64),
        ("RTX-PRO-6000", 64),
    ],
)
def test_links_are_one_direction(name: str, gigabytes: float) -> None:
    assert find_accelerator(name).link.bandwidth == pytest.approx(gigabytes * 1e9, rel=0.02)


def test_ampere_has_no_fp8_and_only_blackwell_has_fp4() -> None:
    with_fp8 = {one.name for one in accelerators() if "fp8" in one.compute}
    with_fp4 = {one.name for one in accelerators() if "fp4" in one.compute}
    assert with_fp8 == {
        "H100", "H100-PCIe", "H200", "B200", "L4", "L40S", "RTX-4090", "RTX-PRO-6000", "MI300X",
    }  # fmt: skip
    assert with_fp4 == {"B200", "RTX-PRO-6000"}


def test_it_is_said_that_a_t4_has_no_bf16() -> None:
    t4 = find_accelerator("T4")
    assert t4.compute["bf16"] == 65 * TERA  # its fp16
    assert any("no bf16" in note for note in t4.notes)


@pytest.mark.parametrize("one", accelerators(), ids=lambda one: one.name)
def test_every_entry_is_complete(one: Accelerator) -> None:
    assert one.sources
    assert all(source.startswith("https://") for source in one.sources)
    assert {"fp32", "bf16"} <= one.compute.keys()
    assert one.compute["fp32"] < one.compute["bf16"]
    assert one.network.bandwidth < one.link.bandwidth
    assert "assumed" in one.network.name
    assert one.per_node > 1
    assert one.kind == "gpu"


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("H100", "H100"),
        ("h100", "H100"),
        ("nvidia-h100-80gb-hbm3", "H100"),
        ("NVIDIA H100 80GB HBM3", "H100"),
        ("H100 PCIe", "H100-PCIe"),
        ("A100-80GB", "A100-80GB"),
        ("NVIDIA-A100-SXM4-80GB", "A100-80GB"),
        ("NVIDIA-A100-80GB-PCIe", "A100-80GB-PCIe"),
        ("NVIDIA-A100-PCIE-40GB", "A100-40GB-PCIe"),
        ("nvidia-tesla-a100", "A100-40GB"),  # GKE's label
        ("rtx 4090", "RTX-4090"),
        ("NVIDIA RTX 4090", "RTX-4090"),
        ("NVIDIA-GeForce-RTX-4090", "RTX-4090"),
        ("RTX PRO 6000", "RTX-PRO-6000"),
        ("NVIDIA-RTX-PRO-6000-Blackwell-Server-Edition", "RTX-PRO-6000"),
        ("Tesla-T4", "T4"),
        ("nvidia-l4", "L4"),
        ("AMD_Instinct_MI300X_OAM", "MI300X"),
    ],
)
def test_names(written: str, meant: str) -> None:
    assert find_accelerator(written).name == meant


def test_every_name_means_one_accelerator() -> None:
    for one in accelerators():
        for name in (one.name, *one.names):
            assert find_accelerator(name) is one


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("A100", "could be A100-40GB, A100-40GB-PCIe, A100-80GB or A100-80GB-PCIe"),
        ("H10O", "did you mean H100"),
        ("MI300", "did you mean MI300X"),
        ("NVIDIA-A100-SXM4-80GB-MIG-1g.10gb", "did you mean"),
        ("TPU v5e", "known are"),
        ("", "known are"),
    ],
)
def test_other_names_get_a_hint(written: str, says: str) -> None:
    with pytest.raises(UnknownAcceleratorError, match=says):
        find_accelerator(written)


def test_prices_are_dated_examples() -> None:
    for one in accelerators():
        price = example_price(one)
        assert price
        assert 0.1 < price.usd_per_hour < 20
        assert price.date.year == 2026
        assert price.source.startswith("https://")
        assert "an example" in str(price)


def test_what_is_not_in_the_catalogue_has_no_price() -> None:
    h100 = find_accelerator("H100")
    mine = Accelerator(
        name="mine", memory=1, bandwidth=1, compute={}, link=h100.link, network=h100.network,
        per_node=1, sources=(),
    )  # fmt: skip
    assert example_price(mine) is None
