"""The official Python clients against the gateway, as a user would write it.

Needs OPENAI_BASE_URL and OPENAI_API_KEY. OpenAI's client reads them by itself; Anthropic's gets the same key and the
same gateway, whose base URL it wants without the version.
"""

import os

import anthropic
import openai

MODEL = "gpt-4o-mini"
MESSAGES = [{"role": "user", "content": "Hello"}]
NO_KEY = "sk-lk-not-a-key"


def chat(client: openai.OpenAI) -> None:
    models = [model.id for model in client.models.list()]
    assert MODEL in models, models
    assert client.models.retrieve(MODEL).id == MODEL

    answer = client.chat.completions.create(model=MODEL, messages=MESSAGES)
    assert answer.choices[0].message.content, answer
    assert answer.usage and answer.usage.total_tokens > 0, answer

    words = []
    for chunk in client.chat.completions.create(model=MODEL, messages=MESSAGES, stream=True):
        if chunk.choices and chunk.choices[0].delta.content:
            words.append(chunk.choices[0].delta.content)
    assert "".join(words), "an empty stream"


def other_routes(client: openai.OpenAI) -> None:
    vectors = client.embeddings.create(model="text-embedding-3-small", input=["one", "two"])
    assert [len(entry.embedding) for entry in vectors.data] == [64, 64], vectors

    response = client.responses.create(model=MODEL, input="Hello")
    assert response.output_text and response.usage.output_tokens > 0, response
    kinds, words = [], []
    for event in client.responses.create(model=MODEL, input="Hello", stream=True):
        kinds.append(event.type)
        if event.type == "response.output_text.delta":
            words.append(event.delta)
    assert "".join(words) == response.output_text, words
    assert (kinds[0], kinds[-1]) == ("response.created", "response.completed"), kinds

    images = client.images.generate(model="gpt-image-1", prompt="A key", n=2)
    assert len(images.data) == 2 and images.data[0].b64_json, images


def messages(client: anthropic.Anthropic) -> None:
    answer = client.messages.create(model=MODEL, max_tokens=64, messages=MESSAGES)
    assert answer.content[0].text and answer.usage.output_tokens > 0, answer
    assert answer._request_id, "no request id"
    with client.messages.stream(model=MODEL, max_tokens=64, messages=MESSAGES) as stream:
        text = "".join(stream.text_stream)
        assert text == answer.content[0].text, text
        assert stream.get_final_message().usage.output_tokens == answer.usage.output_tokens


def refused(call, error: type[Exception], status: int, words: str) -> None:
    try:
        call()
    except error as refusal:
        assert refusal.status_code == status, refusal
        assert words in str(refusal), refusal
    else:
        raise AssertionError(f"a request that is a {status} was served")


def main() -> None:
    gateway = os.environ["OPENAI_BASE_URL"].removesuffix("/v1")
    key = os.environ["OPENAI_API_KEY"]
    client = openai.OpenAI(max_retries=0)
    claude = anthropic.Anthropic(base_url=gateway, api_key=key, auth_token=None, max_retries=0)

    chat(client)
    other_routes(client)
    messages(claude)

    stranger = openai.OpenAI(api_key=NO_KEY, max_retries=0)
    refused(lambda: stranger.models.list(), openai.AuthenticationError, 401, "Invalid API key")
    refused(lambda: client.models.retrieve("nobody/nothing"), openai.NotFoundError, 404, "nobody/nothing")
    too_many = lambda: client.images.generate(model="gpt-image-1", prompt="A key", n=11)  # noqa: E731
    refused(too_many, openai.BadRequestError, 400, "'n'")

    stranger = anthropic.Anthropic(base_url=gateway, api_key=NO_KEY, auth_token=None, max_retries=0)
    ask = lambda client, model: client.messages.create(model=model, max_tokens=9, messages=MESSAGES)  # noqa: E731
    refused(lambda: ask(stranger, MODEL), anthropic.AuthenticationError, 401, "Invalid API key")
    refused(lambda: ask(claude, "nobody"), anthropic.NotFoundError, 404, "not_found_error")

    print(
        f"openai {openai.__version__} for Python: models, chat, stream, embeddings, responses, images, errors; "
        f"anthropic {anthropic.__version__}: messages, stream, errors"
    )


main()
