"""A graph of LangGraph that recalls before the model answers, and keeps the answer, whatever the model does."""

from collections.abc import Sequence
from functools import partial

import anyio
from agent_options import AgentOptions, memos_settings, read_options
from langchain_core.messages import HumanMessage, SystemMessage
from langchain_openai import ChatOpenAI
from langgraph.graph import END, START, StateGraph
from pydantic import SecretStr
from typing_extensions import TypedDict

from memos_mcp.client import Launch, MemosClient


class Task(TypedDict, total=False):
    """The state of the graph."""

    task: str
    known: Sequence[str]
    answer: str


async def recall(memos: MemosClient, state: Task) -> Task:
    """Find what is known about the task; nothing if nothing is near it."""
    found = await memos.query_memory(state["task"], limit=5)
    return {"known": [] if found.confident is False else [memory.content for memory in found.memories]}


async def answer(model: ChatOpenAI, state: Task) -> Task:
    """Have the model do the task with what is known, which is shown as data."""
    known = "\n".join(f"- {content}" for content in state["known"]) or "- nothing"
    system = SystemMessage(f"Answer in plain text. From earlier tasks you know:\n{known}")
    return {"answer": str((await model.ainvoke([system, HumanMessage(state["task"])])).text)}


async def keep(memos: MemosClient, state: Task) -> Task:
    """Store the task with its answer."""
    await memos.store_memory(f"{state['task']}\n{state['answer']}", kind="episodic", tags=["task"])
    return {}


async def run(options: AgentOptions) -> str:
    """Return the answer that the graph ends with."""
    model = ChatOpenAI(model=options.model, base_url=options.model_url, api_key=SecretStr(options.key))
    async with MemosClient(Launch(env=memos_settings())) as memos:
        graph = StateGraph(Task)
        graph.add_node("recall", partial(recall, memos))
        graph.add_node("answer", partial(answer, model))
        graph.add_node("keep", partial(keep, memos))
        for one, next_one in ((START, "recall"), ("recall", "answer"), ("answer", "keep"), ("keep", END)):
            graph.add_edge(one, next_one)
        done = await graph.compile().ainvoke({"task": options.task})
    return str(done["answer"])


if __name__ == "__main__":
    print(anyio.run(run, read_options(__doc__ or "")))
