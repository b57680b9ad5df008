"""The types of prompts whose length is told while they are typed. What counts them is token_count."""

from __future__ import annotations

from typing import Annotated

from stable_core.sdk import Counted, Text

Prompt = Annotated[Text, Counted("sd.tokenize")]
NegativePrompt = Annotated[Text, Counted("sd.tokenize", negative=True)]
