"""A real run on a real vLLM: refused, loaded, asked, lost by a restart, loaded again, taken out."""

import asyncio
from dataclasses import replace

import httpx2
import pytest

from dashboards.finetune import publish
from imitation.errors import BackendError
from imitation.models.backends.registry import complete
from imitation.models.embedded.dequantised import dequantised
from imitation.models.embedded.weights import weights_path
from imitation.values import Message, Sampling
from tests.dashboards.finetune.test_publish import ME, SERVERS
from tests.dashboards.finetune.test_publish import job as job
from tests.models.servers import free_port
from tests.vllm_server import serving_vllm, vllm_python

pytestmark = pytest.mark.slow
ASK = (Message("user", "What is the capital of Zorbia?"),)
GREEDY = Sampling(temperature=0, max_tokens=16)


@pytest.fixture(scope="module")
def base_folder(pocket_settings):
    vllm_python()  # skip before anything is computed
    return dequantised(pocket_settings, weights_path(pocket_settings, "cut-4"))[0]


@pytest.fixture
def too_wide(base_folder, tmp_path):
    """An adapter on that base as PEFT writes it, of a rank the server does not take."""
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(base_folder)
    config = LoraConfig(r=64, target_modules=["q_proj"], task_type="CAUSAL_LM")
    get_peft_model(model, config).save_pretrained(tmp_path / "too-wide")
    return tmp_path / "too-wide"


def served(url):
    """Names of what a server has."""
    listed = httpx2.get(f"{url}/v1/models", trust_env=False).json()["data"]
    return [row["id"] for row in listed]


def test_from_the_first_load_to_a_restart(context, job, base_folder, too_wide, tmp_path):
    port, log = free_port(), tmp_path / "vllm.log"
    url = f"http://127.0.0.1:{port}"
    text = SERVERS.format(backend="openai", endpoint=f"{url}/v1")
    (context.settings.data / "models.toml").write_text(text.replace('"lm"', '"base"'))

    def serve(path=""):
        return publish.serve(context, job.id, ME, "openai-base", path)

    def ask(name, **changes):
        card = replace(context.catalog()[name], **changes)
        return asyncio.run(complete(context.backends, card, ASK, GREEDY)).text

    def known(card):
        asyncio.run(context.health.check([card]))
        return context.health.status(card.id)

    with serving_vllm(base_folder, log, port=port):
        with pytest.raises(BackendError, match="No adapter found") as caught:
            serve("/no/such/folder")
        assert "as the server's machine sees it" in caught.value.hint
        with pytest.raises(BackendError, match="rank 64 is greater than max_lora_rank 16") as wide:
            serve(str(too_wide))
        assert "--max-lora-rank 64" in wide.value.hint
        for refused in (caught, wide):
            assert "does not know the model" not in str(refused.value)
        assert served(url) == ["base"] and "mine" not in context.catalog(), "nothing is changed"

        assert serve() == "mine is in Compare, served by LM on openai."
        card = context.catalog()["mine"]
        assert known(card).state == "ok" and served(url) == ["base", "mine"]
        first = ask("mine")
        assert first and first != ask("openai-base")
        assert serve().startswith("mine is in Compare"), "again, with what its files are by now"
        assert ask("mine") == first

        wrong = replace(context.catalog()["openai-base"], id="wrong", model="bsae")
        assert known(wrong).state == "unreachable" and "no model 'bsae'" in known(wrong).reason
        assert known(context.catalog()["openai-base"]).state == "ok"

    assert "Nothing answers" in known(card).reason
    with serving_vllm(base_folder, log, port=port):
        lost = known(card)
        assert (lost.state, served(url)) == ("unreachable", ["base"])
        assert "no adapter 'mine'" in lost.reason and "load it again" in lost.hint
        with pytest.raises(BackendError) as asked:
            ask("mine")
        assert (asked.value.message, asked.value.hint) == (lost.reason, lost.hint), "one way"
        assert serve().startswith("mine is in Compare")
        assert known(card).state == "ok" and ask("mine") == first
        # Forgotten again, then taken out: one thing is said.
        body = {"lora_name": "mine"}
        httpx2.post(f"{url}/v1/unload_lora_adapter", json=body, trust_env=False, timeout=60)
        assert publish.take_out(context, job.id, ME) == "mine is out of Compare."
        assert served(url) == ["base"] and "mine" not in context.catalog()
