"""The options that all agents here have, and the instructions that they follow."""

import argparse
import os
from dataclasses import dataclass

INSTRUCTIONS = (
    "You have a memory that outlives this conversation. Before you answer, query it for what is known about the person "
    "or the task. When you learn something that will matter later, store it. Answer in plain text."
)


@dataclass(frozen=True)
class AgentOptions:
    """What an agent is asked, and where its model is."""

    task: str
    model: str
    model_url: str

    @property
    def key(self) -> str:
        """The key of the endpoint; local ones need none."""
        return os.environ.get("OPENAI_API_KEY", "none")


def read_options(description: str) -> AgentOptions:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("task", help="what the agent is to do")
    parser.add_argument("--model", default="qwen3", help="name of the model (qwen3)")
    parser.add_argument(
        "--model-url", default="http://127.0.0.1:11434/v1", help="an OpenAI-compatible endpoint (Ollama's)"
    )
    given = parser.parse_args()
    return AgentOptions(given.task, given.model, given.model_url)


def memos_settings() -> dict[str, str]:
    """Return the settings that memOS.as gets: those of this process's environment."""
    return {name: value for name, value in os.environ.items() if name.startswith("MEMOS_")}
