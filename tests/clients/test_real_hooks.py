"""The hooks that `memos-as install` writes, run by real clients with a scripted model: `make interop-clients`."""

import json
import re
from collections.abc import Iterator

import anyio
import pytest

from tests.clients.client_user import SECONDS, ClientUser, with_real_clients
from tests.clients.scripted_models import ANSWER, ModelEndpoint, scripted_models

pytestmark = with_real_clients

FACT = "The staging server of the shop listens on port 8431."
QUESTION = "Which port does the staging server of the shop use?"
TRIES = 5
"""A hook says nothing when a busy machine takes longer than its time."""


@pytest.fixture
def model() -> Iterator[ModelEndpoint]:
    with scripted_models() as endpoint:
        yield endpoint


async def ask(user: ClientUser, client: str, model: ModelEndpoint) -> str:
    """Ask a client the question, in a session of its own."""
    match client:
        case "claude-code":
            variables = {"ANTHROPIC_BASE_URL": model.url, "ANTHROPIC_API_KEY": "none"}
            return await user.run("claude", "-p", QUESTION, variables=variables)
        case "codex":
            provider = f'{{name="scripted",base_url="{model.url}/v1",wire_api="responses",env_key="KEY"}}'
            settings = ("-c", "model_provider=scripted", "-c", f"model_providers.scripted={provider}")
            trusting = ("--skip-git-repo-check", "--dangerously-bypass-hook-trust")
            return await user.run("codex", "exec", *trusting, *settings, QUESTION, variables={"KEY": "none"})
        case _:
            variables = {"GOOGLE_GEMINI_BASE_URL": model.url, "GEMINI_API_KEY": "none"}
            return await user.run("gemini", "-m", "gemini-2.5-pro", "-p", QUESTION, variables=variables)


@pytest.mark.parametrize("client", ["claude-code", "codex", "gemini"])
async def test_a_client_recalls_near_the_prompt_and_keeps_what_was_written(
    user: ClientUser, model: ModelEndpoint, client: str
) -> None:
    (user.home / ".gemini/settings.json").write_text('{"security": {"auth": {"selectedType": "gemini-api-key"}}}')
    (user.home / "fact.jsonl").write_text(json.dumps({"content": FACT}) + "\n")
    namespace = ("--namespace", client)
    user.variables["MEMOS_NAMESPACE"] = client
    user.memos_as("import", "fact.jsonl")
    del user.variables["MEMOS_NAMESPACE"]
    user.install(client, "--hooks", "--capture", *namespace)
    for _ in range(TRIES):
        assert ANSWER in await ask(user, client, model)
        if any(FACT in request for request in model.requests):
            break
    assert any(re.search(rf"From memOS\.as.*{re.escape(FACT)}", request) for request in model.requests)
    user.variables["MEMOS_NAMESPACE"] = client
    exchanged = {("user", QUESTION), ("assistant", ANSWER)}
    with anyio.fail_after(SECONDS):  # messages are stored in the background
        while not exchanged <= messages(user):
            await anyio.lowlevel.checkpoint()


def messages(user: ClientUser) -> set[tuple[str, str]]:
    """Return the roles and the contents of what was kept."""
    memories = json.loads(user.memos_as("list", "--json"))["memories"]
    return {(memory["metadata"]["role"], memory["content"]) for memory in memories if "role" in memory["metadata"]}
