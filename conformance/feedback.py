"""How far is what the gateway predicts to be cached from what a real engine finds?

usage: feedback.py --gateway URL --access-log FILE --name TEXT --cycle TOKENS --requests N [--skip N]
                   [--counters-of URL]

One user after another goes on with one of many conversations. Which one is drawn by how many others had
a turn since: a third of the turns each from the nearest sixth, the next third and the farthest half, so
with all conversations together as long as three devices, what is between two turns is below half of
the device, around it, or far beyond. Conversations end, and new ones take their place. Everything but
`--name`, which all prompts begin with, is the same in each run; `--skip` goes on where another run of that
name ended.

Predicted: the share of the prompt that the access log shows as matched, of the tokens that the engine
counted. Reported: its `cached_tokens`, or with `--counters-of`, the address of an engine that keeps
that to itself, what its counters of hits, those in a tier included, have grown by with that request.

Prints one line of names and numbers: all means in tokens, and the mean of the second half of the errors.
"""

import argparse
import http.client
import json
import os
import random
import re
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass
from urllib.parse import urlsplit

from words import WORDS

SYSTEM_WORDS, QUESTION_WORDS, ANSWER_WORDS = range(300, 600), range(15, 45), range(5, 15)
TURNS = 12
ANSWER_TOKENS = 4  # as short as they may be: nothing of them is asked for again
MEAN_TOKENS = 1500  # of a prompt, roughly
WAIT_S = 30.0  # for a log line, or for a counter, to follow its answer


def words(chance: random.Random, count: range) -> str:
    return " ".join(chance.choices(WORDS, k=chance.choice(count)))


class Conversation:
    """Its messages so far; both sides of it are invented."""

    def __init__(self, name: str, number: int):
        self.chance = random.Random(number)
        self.turns_left = self.chance.randint(1, TURNS)
        text = f"{name} {number}: {words(self.chance, SYSTEM_WORDS)}"
        self.messages = [{"role": "system", "content": text}]

    def ask(self) -> list[dict]:
        if self.messages[-1]["role"] == "user":
            self.messages.append({"role": "assistant", "content": words(self.chance, ANSWER_WORDS)})
        self.messages.append({"role": "user", "content": words(self.chance, QUESTION_WORDS)})
        self.turns_left -= 1
        return self.messages


def prompts(name: str, count: int) -> Iterator[list[dict]]:
    """Turns of so many conversations, without end."""
    chance = random.Random(count)
    by_use = [Conversation(name, number) for number in range(count)]  # the last used first
    begun = count
    thirds = [range(count // 6), range(count // 6, count // 2), range(count // 2, count)]
    while True:
        conversation = by_use.pop(chance.choice(chance.choice(thirds)))
        yield conversation.ask()
        if conversation.turns_left == 0:
            # Nobody comes back to it, and a new one comes as late as the one unused for longest.
            by_use.append(Conversation(name, begun))
            begun += 1
        else:
            by_use.insert(0, conversation)


class Http:
    """Requests one after another over one connection."""

    def __init__(self, url: str):
        self.connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=120)

    def ask(self, method: str, path: str, body: dict | None = None, headers: dict | None = None) -> str:
        sent = json.dumps(body).encode() if body else None
        self.connection.request(method, path, sent, {"content-type": "application/json"} | (headers or {}))
        response = self.connection.getresponse()
        text = response.read().decode()
        assert response.status == 200, f"{path}: {response.status} {text}"
        return text


class Counters:
    """Prompt tokens that an engine looked up and found, on all tiers, since the last look."""

    def __init__(self, engine: Http):
        self.engine = engine
        self.queries, self.hits = self.read()

    def read(self) -> tuple[int, int]:
        page = self.engine.ask("GET", "/metrics")
        total = lambda name: sum(float(value) for value in re.findall(rf"^vllm:{name}_total\{{.*\}} (\S+)$", page, re.M))
        return int(total("prefix_cache_queries")), int(total("prefix_cache_hits") + total("external_prefix_cache_hits"))

    def found(self, prompt_tokens: int) -> int:
        """Of a prompt of so many tokens, the only one since the last look."""
        limit = time.monotonic() + WAIT_S
        while (now := self.read())[0] < self.queries + prompt_tokens:
            assert time.monotonic() < limit, "the engine's counters do not follow its answers"
        assert now[0] == self.queries + prompt_tokens, "somebody else uses the engine"
        hits, (self.queries, self.hits) = now[1] - self.hits, now
        return hits


def send(gateway: Http, request_id: str, messages: list[dict]) -> dict:
    """Asks; what the engine says it has used."""
    body = {"model": "tiny", "messages": messages, "max_tokens": ANSWER_TOKENS, "temperature": 0, "ignore_eos": True}
    return json.loads(gateway.ask("POST", "/v1/chat/completions", body, {"x-request-id": request_id}))["usage"]


def logged(path: str, wanted: list[str]) -> dict[str, dict]:
    """The lines of these requests; the log is written a moment after the answer."""
    limit = time.monotonic() + WAIT_S
    while True:
        with open(path, encoding="utf-8") as file:
            complete = [line for line in file if line.endswith("\n")]
        lines = {line["request_id"]: line for line in map(json.loads, complete)}
        if all(request_id in lines for request_id in wanted):
            return lines
        assert time.monotonic() < limit, f"{path} lacks requests that were answered"
        time.sleep(0.05)


@dataclass
class Turn:
    prompt_tokens: int
    predicted_tokens: float
    reported_tokens: int

    @property
    def error_tokens(self) -> float:
        return abs(self.predicted_tokens - self.reported_tokens)


def measure(options: argparse.Namespace) -> list[Turn]:
    gateway = Http(options.gateway)
    counters = Counters(Http(options.counters_of)) if options.counters_of else None
    turns = prompts(options.name, options.cycle // MEAN_TOKENS)
    for _ in range(options.skip):
        next(turns)
    reported: dict[str, int] = {}
    for number in range(options.skip, options.skip + options.requests):
        request_id = f"{options.name.replace(' ', '-')}-{number}"
        usage = send(gateway, request_id, next(turns))
        details = usage.get("prompt_tokens_details")
        assert bool(details) != bool(counters), f"cached tokens in an answer: {details}"
        reported[request_id] = counters.found(usage["prompt_tokens"]) if counters else details["cached_tokens"]
    lines = logged(options.access_log, list(reported))
    return [turn(lines[request_id], cached) for request_id, cached in reported.items()]


def turn(line: dict, cached: int) -> Turn:
    matched = line["matched_tokens"] / line["estimated_prompt_tokens"]
    return Turn(line["prompt_tokens"], matched * line["prompt_tokens"], cached)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--gateway", required=True)
    arguments.add_argument("--access-log", required=True)
    arguments.add_argument("--name", required=True, help="of the run; its prompts are its own")
    arguments.add_argument("--cycle", required=True, type=int, help="tokens of all conversations together")
    arguments.add_argument("--requests", required=True, type=int)
    arguments.add_argument("--skip", default=0, type=int, help="requests of that name that were sent before")
    arguments.add_argument("--counters-of", help="an engine whose answers do not say what was cached")
    turns = measure(arguments.parse_args())
    mean = lambda values: round(statistics.mean(values), 1)
    errors = [turn.error_tokens for turn in turns]
    results = {
        "prompt": mean(turn.prompt_tokens for turn in turns),
        "predicted": mean(turn.predicted_tokens for turn in turns),
        "reported": mean(turn.reported_tokens for turn in turns),
        "error": mean(errors),
        "late_error": mean(errors[len(errors) // 2 :]),
    }
    print(" ".join(f"{name} {value}" for name, value in results.items()))


if __name__ == "__main__":
    main()
