"""Any JSON at any path gets an answer: never a defect of the twin's own, and it goes on serving."""

import asyncio
from typing import Any

import pytest
from engine_twin_kit import open_twin
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from headrace.emulation.faces import FACES

FIELDS = (
    "model prompt messages max_tokens max_completion_tokens n stream stream_options stop echo "
    "logprobs top_logprobs tools tool_choice continue_final_message add_generation_prompt "
    "return_token_ids min_tokens ignore_eos temperature detokenize prompt_token_ids input_ids text "
    "sampling_params inputs parameters text_input stop_words request_output_len tokens input"
)
PATHS = [
    *("/v1/completions", "/v1/chat/completions", "/generate", "/generate_stream", "/"),
    *("/tokenize", "/detokenize", "/emulate", "/v2/models/twin/generate"),
    *("/v2/models/tensorrt_llm/generate", "/v2/models/twin/generate_stream"),
]
LEAF = (
    st.none()
    | st.booleans()
    | st.integers(-3, 300)
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=6)
    | st.sampled_from(["twin", "assistant", "function", "required", "a"])
)
KEY = st.sampled_from(["role", "content", "type", "function", "name", "text", "include_usage"])
VALUE = st.recursive(
    LEAF,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEY, inner, max_size=4),
    max_leaves=8,
)
BODY = st.dictionaries(st.sampled_from(FIELDS.split()), VALUE, max_size=8)


@pytest.mark.parametrize("name", list(FACES))
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck))
@given(bodies=st.lists(st.tuples(st.sampled_from(PATHS), BODY), min_size=8, max_size=20))
def test_any_body_is_answered(name: str, bodies: list[tuple[str, dict[str, Any]]]) -> None:
    asyncio.run(_answered(name, bodies))


async def _answered(name: str, bodies: list[tuple[str, dict[str, Any]]]) -> None:
    defects: list[Any] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, found: defects.append(found))
    async with open_twin(name, max_model_len=300) as twin:
        for path, body in bodies:
            answer = await twin.ask(path, **body)
            assert answer.status_code < 500, (path, body, answer.text)
        assert defects == []
        assert twin.face.engine.books.unfinished == 0
