"""What people do with the two Python clients: one function each, from a client to what it made of the answer."""

from collections.abc import Callable
from dataclasses import dataclass

import anthropic
import openai

MODEL = "tiny"
MESSAGES = [
    {"role": "system", "content": "Answer in one sentence. " * 12},
    {"role": "user", "content": "Which stations does the line have?"},
]
PARAMETERS = {
    "type": "object",
    "properties": {"city": {"type": "string", "enum": ["Bern", "Rome"]}, "days": {"type": "integer", "enum": [1, 2, 3]}},
    "required": ["city", "days"],
    "additionalProperties": False,
}
TOOLS = [{"type": "function", "function": {"name": "forecast", "description": "Weather", "parameters": PARAMETERS, "strict": True}}]
FORCED = {"type": "function", "function": {"name": "forecast"}}
ANTHROPIC_TOOLS = [{"name": "forecast", "description": "Weather", "input_schema": PARAMETERS, "strict": True}]


@dataclass
class Case:
    """One thing that a client is asked to do."""

    name: str
    client: type
    shows: str  # must stand in what the client made of the answer, else the case is hollow
    run: Callable[[openai.OpenAI | anthropic.Anthropic], object]


CASES: list[Case] = []


def case(client: type, name: str, shows: str = ""):
    def add(run):
        CASES.append(Case(name, client, shows, run))
        return run

    return add


def chat(client: openai.OpenAI, **options):
    # No answer ends early: a random model may stop at any token.
    defaults = {"model": MODEL, "messages": MESSAGES, "max_tokens": 16, "temperature": 0}
    return gathered(client.chat.completions.create(**{**defaults, **options}))


def complete(client: openai.OpenAI, prompt, **options):
    answer = client.completions.create(model=MODEL, prompt=prompt, max_tokens=16, temperature=0, **options)
    return gathered(answer)


def gathered(answer):
    """An object's fields, or those of all events of a stream."""
    if isinstance(answer, (openai.Stream, anthropic.Stream)):
        return [event.to_dict() for event in answer]
    return answer.to_dict()


for variant, shows, options in (
    ("", "assistant", {}),
    (", unicode", "assistant", {"messages": [{"role": "user", "content": "Zürich \u2192 東京 \U0001f680 \"quoted\"\n\ttab"}]}),
    (", tool forced", '"name": "forecast"', {"tools": TOOLS, "tool_choice": FORCED, "max_tokens": 200}),
    (", tool required", '"name": "forecast"', {"tools": TOOLS, "tool_choice": "required", "parallel_tool_calls": False,
                                               "max_tokens": 200}),
    (", tools offered", "assistant", {"tools": TOOLS}),
    (", tool result", "assistant", {"tools": TOOLS, "messages": [
        *MESSAGES,
        {"role": "assistant", "content": "", "tool_calls": [
            {"id": "call-1", "type": "function", "function": {"name": "forecast", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "call-1", "content": "rain"},
    ]}),
    (", n=2", '"index": 1', {"n": 2, "temperature": 1, "seed": 7}),
    (", logprobs", '"top_logprobs": [{', {"logprobs": True, "top_logprobs": 3}),
    (", JSON schema", '"finish_reason": "stop"', {"max_tokens": 200, "response_format": {
        "type": "json_schema", "json_schema": {"name": "forecast", "schema": PARAMETERS, "strict": True}}}),
    (", stop, user and unknown fields", "assistant", {"stop": ["\n"], "user": "u-1", "extra_body": {
        "min_p": 0.1, "not_a_field": [1.0, 1e3]}}),
):
    case(openai.OpenAI, f"chat{variant}", shows)(lambda client, options=options: chat(client, **options))
    case(openai.OpenAI, f"chat{variant}, stream", shows)(
        lambda client, options=options: chat(client, stream=True, **options))


@case(openai.OpenAI, "chat, stream with usage", '"cached_tokens"')
def _(client):
    return chat(client, stream=True, stream_options={"include_usage": True})


@case(openai.OpenAI, "chat, stream with usage in every chunk", '"cached_tokens"')
def _(client):
    return chat(client, stream=True, stream_options={"include_usage": True, "continuous_usage_stats": True})


@case(openai.OpenAI, "chat, long prompt", '"cached_tokens"')
def _(client):
    return chat(client, messages=[{"role": "user", "content": "river bridge valley " * 600}])


@case(openai.OpenAI, "completions, text", "text_completion")
def _(client):
    return complete(client, "The line has")


@case(openai.OpenAI, "completions, list of texts", '"index": 1')
def _(client):
    return complete(client, ["The line has", "The river has"])


@case(openai.OpenAI, "completions, token ids", "text_completion")
def _(client):
    return complete(client, [300, 301, 302])


@case(openai.OpenAI, "completions, list of token ids", '"index": 1')
def _(client):
    return complete(client, [[300, 301, 302], [400, 401]])


@case(openai.OpenAI, "completions, stream with usage", '"cached_tokens"')
def _(client):
    return complete(client, "The line has", stream=True, stream_options={"include_usage": True})


@case(openai.OpenAI, "completions, echo and logprobs", '"token_logprobs": [')
def _(client):
    return complete(client, "The line has", echo=True, logprobs=2)


@case(openai.OpenAI, "responses", '"output_text"')
def _(client):
    return gathered(client.responses.create(model=MODEL, input="Which stations?", max_output_tokens=16, temperature=0))


@case(openai.OpenAI, "responses, stream", 'response.completed"')
def _(client):
    return gathered(client.responses.create(
        model=MODEL, input="Which stations?", instructions="Be short.", max_output_tokens=16, temperature=0, stream=True))


@case(openai.OpenAI, "tokenize (not in the client; its `post`)")
def _(client):
    return client.post("/../tokenize", cast_to=object, body={"model": MODEL, "prompt": "The line has"})


def message(client: anthropic.Anthropic, **options):
    defaults = {"model": MODEL, "messages": MESSAGES[1:], "system": MESSAGES[0]["content"], "max_tokens": 16}
    # This client has no name for it any more; engines do.
    return gathered(client.messages.create(**{**defaults, **options}, extra_body={"temperature": 0}))


for variant, shows, options in (
    ("", '"text"', {}),
    (", content blocks", '"text"', {"system": [{"type": "text", "text": "Be short."}], "messages": [
        {"role": "user", "content": [{"type": "text", "text": "Which"}, {"type": "text", "text": "stations?"}]}]}),
    (", tool forced", '"tool_use"', {
        "tools": ANTHROPIC_TOOLS, "tool_choice": {"type": "tool", "name": "forecast"}, "max_tokens": 200}),
    (", tools offered", '"text"', {"tools": ANTHROPIC_TOOLS}),
):
    case(anthropic.Anthropic, f"messages{variant}", shows)(lambda client, options=options: message(client, **options))
    case(anthropic.Anthropic, f"messages{variant}, stream", shows)(
        lambda client, options=options: message(client, stream=True, **options))


@case(anthropic.Anthropic, "messages, count tokens", '"input_tokens"')
def _(client):
    return gathered(client.messages.count_tokens(model=MODEL, messages=MESSAGES[1:]))


# ---- what an engine refuses ---------------------------------------------------------

for name, run in (
    ("temperature out of range", lambda client: chat(client, temperature=-1)),
    ("wrong type", lambda client: chat(client, max_tokens="many")),
    ("prompt too long", lambda client: chat(client, messages=[{"role": "user", "content": "river " * 30000}])),
    ("prompt too long, stream", lambda client: chat(
        client, stream=True, messages=[{"role": "user", "content": "river " * 30000}])),
    ("no messages", lambda client: chat(client, messages=[])),
    ("embeddings of a chat model", lambda client: gathered(client.embeddings.create(
        model=MODEL, input="The line", encoding_format="float"))),
    ("no model named", lambda client: client.post("/chat/completions", cast_to=object, body={
        "messages": MESSAGES, "max_tokens": 4, "temperature": 0})),
    ("unknown path", lambda client: client.post("/nothing/here", cast_to=object, body={})),
):
    case(openai.OpenAI, f"error: {name}")(run)


@case(anthropic.Anthropic, "error: wrong type")
def _(client):
    return message(client, max_tokens="many")


# ---- what the gateway answers itself ------------------------------------------------


@case(openai.OpenAI, "own: unknown model")
def _(client):
    return chat(client, model="absent")


@case(anthropic.Anthropic, "own: unknown model, messages")
def _(client):
    return message(client, model="absent")


@case(openai.OpenAI, "own: body that is no JSON")
def _(client):
    return client.post("/chat/completions", cast_to=object, content=b'{"model": "tiny", ', options={
        "headers": {"content-type": "application/json"}})


@case(openai.OpenAI, "own: list of models")
def _(client):
    return client.models.list().to_dict()


@case(openai.OpenAI, "own: one model by name")
def _(client):
    return client.models.retrieve(MODEL).to_dict()
