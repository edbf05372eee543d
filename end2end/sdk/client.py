"""The official Python client against the gateway, as a user would write it.

Needs OPENAI_BASE_URL and OPENAI_API_KEY, which the client reads by itself.
"""

import openai

MODEL = "gpt-4o-mini"


def main() -> None:
    client = openai.OpenAI(max_retries=0)

    models = [model.id for model in client.models.list()]
    assert MODEL in models, models

    answer = client.chat.completions.create(model=MODEL, messages=[{"role": "user", "content": "Hello"}])
    assert answer.choices[0].message.content, answer
    assert answer.usage and answer.usage.total_tokens > 0, answer

    words = []
    for chunk in client.chat.completions.create(
        model=MODEL, messages=[{"role": "user", "content": "Hello"}], stream=True
    ):
        if chunk.choices and chunk.choices[0].delta.content:
            words.append(chunk.choices[0].delta.content)
    assert "".join(words), "an empty stream"

    stranger = openai.OpenAI(api_key="sk-lk-not-a-key", max_retries=0)
    try:
        stranger.models.list()
    except openai.AuthenticationError as refused:
        assert refused.status_code == 401, refused
        assert "Invalid API key" in str(refused), refused
    else:
        raise AssertionError("a key that does not exist was let in")

    print(f"openai {openai.__version__} for Python: models, chat, stream, 401")


main()
