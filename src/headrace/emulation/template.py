"""The twin's chat template: ChatML, and how a partial assistant message is continued.

As in transformers: the conversation is rendered, and to continue the final message the rendered
text is cut behind that message. A template that trims messages (the fault `trims`; Llama 3's does)
loses the space at its end, so what follows may begin with a second one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def chat_text(
    messages: Sequence[Any], *, continued: bool = False, prompt: bool = True, trims: bool = False
) -> str:
    """Return the text of a chat; `continued`: up to the end of the last message's content."""
    turns = [f"<|im_start|>{_part(m, 'role')}\n{_content(m, trims=trims)}" for m in messages]
    text = "<|im_end|>\n".join(turns)
    if continued:
        return text
    return f"{text}<|im_end|>\n" + ("<|im_start|>assistant\n" if prompt else "")


def _content(message: Any, *, trims: bool) -> str:
    content = _part(message, "content")
    return content.strip() if trims else content


def _part(message: Any, name: str) -> str:
    value = message.get(name) if isinstance(message, dict) else None
    if isinstance(value, list):
        return "".join(str(part.get("text", "")) for part in value if isinstance(part, dict))
    return str(value or "")
