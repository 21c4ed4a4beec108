import builtins

import pytest

from palmette.designer.client import Client
from palmette.designer.connect import connect
from palmette.designer.endpoint import Message, Request
from palmette.errors import UserError
from palmette.testing.scripted import Reply, Served, failing


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.delenv("OPENAI_BASE_URL", raising=False)


@pytest.fixture
def server(monkeypatch):
    with Served(["hello"], models=["lark-small", "lark-large", "wren"]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        yield server


def refusal(*models):
    with pytest.raises(UserError) as caught:
        connect(models)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_named_models_are_found_without_a_key_on_loopback(server):
    endpoint, models = connect(["wren", "lark-small", "wren"])
    assert isinstance(endpoint, Client)
    assert models == ("wren", "lark-small")
    assert endpoint.ask("wren", Request((Message("user", "Hi"),))).text == "hello"
    endpoint.close()


def test_the_only_model_is_taken(monkeypatch):
    with Served(["x"], models=["alone"]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", f" {server.url}/ ")
        endpoint, models = connect(())
        assert models == ("alone",)
        endpoint.close()


def test_of_several_one_has_to_be_named(server):
    assert "--llm-model: the server has 3: lark-large, lark-small, wren" in refusal()


def test_an_unknown_model_is_told_its_neighbours(server):
    told = refusal("lark-smal")
    assert "no model 'lark-smal'; did you mean 'lark-small' or 'lark-large'? It has 3: " in told


def test_a_server_that_lists_no_models_is_believed(monkeypatch):
    with Served(["x"], models=[]) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        endpoint, models = connect(["hidden"])
        assert models == ("hidden",)
        endpoint.close()
        assert "the server has none" in refusal()


def test_without_a_key_nothing_is_asked():
    told = refusal("gpt-4o")
    assert told.startswith("asking api.openai.com wants a key in OPENAI_API_KEY, and there is none")
    assert "--proposer" in told


def test_without_a_server_it_says_so_at_once(monkeypatch):
    with Served(["x"]) as server:
        url = server.url
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    told = refusal("m")
    assert told.startswith(f"no server answers at {url} (OPENAI_BASE_URL)")
    assert told.endswith("choose other proposers with --proposer")


@pytest.mark.parametrize(
    "url",
    [
        "127.0.0.1:8077/v1",
        "http://",
        "file:///v1",
        "http://[::1/v1",
        "http://a b/v1",
        "http://é\u202e/",
    ],
)
def test_what_is_no_address(url, monkeypatch):
    monkeypatch.setenv("OPENAI_BASE_URL", url)
    assert "wants an address such as http://127.0.0.1:8077/v1" in refusal("m")


def test_a_models_name_of_any_length_is_told_in_short(server):
    assert len(refusal("x" * 100_000)) < 400


@pytest.mark.parametrize("key", ["sk-ключ", "sk-a\nb", "two words"])
def test_what_is_no_key(key, server, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", key)
    assert "holds characters that no key has" in refusal("wren")


@pytest.mark.parametrize(
    ("reply", "told"),
    [
        (failing(401), "refuses the key; check OPENAI_API_KEY (401)"),
        (failing(404), "lists no models; OPENAI_BASE_URL wants the whole address"),
        (Reply(b"<html>"), "gave an answer that is none"),
    ],
)
def test_a_server_of_another_kind(reply, told, monkeypatch):
    with Served(["x"], elsewhere=lambda asked: reply) as server:
        monkeypatch.setenv("OPENAI_BASE_URL", server.url)
        assert told in refusal("m")


def test_without_the_package_it_says_what_to_install(server, monkeypatch):
    real = builtins.__import__

    def without(name, *rest):
        if name == "openai":
            raise ImportError(name)
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    assert refusal("m") == "language models need the openai package: pip install 'palmette[llm]'"
