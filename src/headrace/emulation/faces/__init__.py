"""The engines that a twin can be, by the name that a fleet file and `--engine` use."""

from __future__ import annotations

from collections.abc import Mapping

from headrace.emulation.faces.base import Face
from headrace.emulation.faces.sglang import SglangFace
from headrace.emulation.faces.tgi import TgiFace
from headrace.emulation.faces.triton import TritonFace
from headrace.emulation.faces.trtllm import TrtllmFace
from headrace.emulation.faces.vllm import VllmFace

FACES: Mapping[str, type[Face]] = {
    "vllm": VllmFace,
    "tgi": TgiFace,
    "triton": TritonFace,
    "trtllm": TrtllmFace,
    "sglang": SglangFace,
}
