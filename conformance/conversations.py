"""Do later turns of a conversation find the cache that its earlier turns have filled?

usage: conversations.py --gateway URL --engine URL --name TEXT

Holds 20 conversations of 5 turns through the gateway, each with its own system prompt of 2,000
tokens, 4 at a time, in a shuffled order as users come back. Every second one streams.

What a turn can find at most (`possible`): the longest run of tokens that its prompt shares with
what the same conversation has already sent or been answered, less the last token of an answer
(no engine computes its keys and values), in whole blocks of the engine, and one token less than
the prompt (an engine always computes one). Token ids are the engine's own (`return_token_ids`).

Exit status: 0 where every later turn reports more than 90 % of that as `cached_tokens`, 3 where
some do not, anything else where nothing can be said.
"""

import argparse
import json
import random
import statistics
import sys
import threading
import urllib.request
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import takewhile

from openai import OpenAI

from words import WORDS

CONVERSATIONS, TURNS, AT_A_TIME = 20, 5, 4
SHARED_TOKENS, QUESTION_TOKENS, ANSWER_TOKENS = 2000, 100, 50
BLOCK_TOKENS = 32  # --block-size of vllm/serve.sh
CLAIM = 0.9
NOT_SHOWN = 3


@dataclass
class Turn:
    """What one answer said."""

    number: int
    endpoint: str
    prompt_tokens: int
    cached_tokens: int
    possible_tokens: int

    @property
    def ratio(self) -> float:
        return self.cached_tokens / self.possible_tokens


@dataclass
class Conversation:
    """Its messages so far, and the tokens that engines have computed for it."""

    chance: random.Random
    streams: bool
    messages: list[dict]
    shared_tokens: int
    computed: list[list[int]] = field(default_factory=list)
    turns: list[Turn] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def take_turn(self, client: OpenAI) -> None:
        """Asks, remembers the answer and what of its prompt was cached."""
        with self.lock:
            self.messages.append({"role": "user", "content": words(self.chance, QUESTION_TOKENS // 2)})
            endpoint, answer = ask(client, self.messages, self.streams)
            usage, prompt = answer["usage"], answer["prompt_token_ids"]
            assert len(prompt) == usage["prompt_tokens"], "token ids and usage disagree"
            known = max((common(prompt, earlier) for earlier in self.computed), default=0)
            possible = min(known, len(prompt) - 1) // BLOCK_TOKENS * BLOCK_TOKENS
            cached = usage["prompt_tokens_details"]["cached_tokens"]
            self.turns.append(Turn(len(self.turns) + 1, endpoint, len(prompt), cached, possible))
            self.computed.append(prompt + answer["token_ids"][:-1])
            self.messages.append({"role": "assistant", "content": answer["text"]})


def ask(client: OpenAI, messages: list[dict], streams: bool) -> tuple[str, dict]:
    """One turn: who answered, and its text, token ids and usage."""
    response = client.chat.completions.with_raw_response.create(
        model="tiny",
        messages=messages,
        max_tokens=ANSWER_TOKENS,
        temperature=0,
        stream=streams,
        **({"stream_options": {"include_usage": True}} if streams else {}),
        extra_body={"ignore_eos": True, "return_token_ids": True},
    )
    endpoint = response.headers["x-warmgate-endpoint"]
    parsed = response.parse()
    if not streams:
        whole = parsed.to_dict()
        choice = whole["choices"][0]
        return endpoint, {
            "text": choice["message"]["content"],
            "token_ids": choice["token_ids"],
            "prompt_token_ids": whole["prompt_token_ids"],
            "usage": whole["usage"],
        }
    answer = {"text": "", "token_ids": [], "prompt_token_ids": None, "usage": None}
    for chunk in parsed:
        piece = chunk.to_dict()
        answer["prompt_token_ids"] = piece.get("prompt_token_ids") or answer["prompt_token_ids"]
        answer["usage"] = piece.get("usage") or answer["usage"]
        for choice in piece["choices"]:
            answer["text"] += choice["delta"].get("content") or ""
            answer["token_ids"] += choice.get("token_ids") or []
    return endpoint, answer


def common(a: list[int], b: list[int]) -> int:
    """Length of the longest common prefix."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(a, b)))


def words(chance: random.Random, count: int) -> str:
    return " ".join(chance.choice(WORDS) for _ in range(count))


def tokens_of(engine: str, text: str) -> int:
    body = json.dumps({"model": "tiny", "prompt": text}).encode()
    request = urllib.request.Request(f"{engine}/tokenize", body, {"content-type": "application/json"})
    with urllib.request.urlopen(request) as response:
        return json.load(response)["count"]


def begin(engine: str, name: str, index: int) -> Conversation:
    """A conversation whose system prompt nobody else has, also not under another name."""
    chance = random.Random(f"{name} {index}")
    text = words(chance, SHARED_TOKENS // 3)
    while (count := tokens_of(engine, text)) < SHARED_TOKENS:
        text += " " + words(chance, 20)
    system = {"role": "system", "content": text}
    return Conversation(chance, index % 2 == 0, [system], count)


def hold(client: OpenAI, conversations: list[Conversation], name: str) -> None:
    """Takes all turns of all conversations, in a shuffled order."""
    order = [conversation for conversation in conversations for _ in range(TURNS)]
    random.Random(name).shuffle(order)
    with ThreadPoolExecutor(AT_A_TIME) as users:
        for done in [users.submit(conversation.take_turn, client) for conversation in order]:
            done.result()


def show(name: str, conversations: list[Conversation]) -> bool:
    """Prints the table; whether every later turn found what it could."""
    shared = [conversation.shared_tokens for conversation in conversations]
    print(f"{name}: {CONVERSATIONS} conversations of {TURNS} turns, {AT_A_TIME} at a time, ", end="")
    print(f"system prompts of {min(shared)} to {max(shared)} tokens")
    print("  turn  prompt  possible  cached  cached/possible: lowest  median   above 90 %   on the engine of the turn before")
    for number in range(1, TURNS):
        turns = [conversation.turns[number] for conversation in conversations]
        stayed = sum(c.turns[number].endpoint == c.turns[number - 1].endpoint for c in conversations)
        mean = lambda tokens: statistics.mean(map(tokens, turns))
        ratios = [turn.ratio for turn in turns]
        print(
            f"  {number + 1:4}  {mean(lambda t: t.prompt_tokens):6.0f}  {mean(lambda t: t.possible_tokens):8.0f}"
            f"  {mean(lambda t: t.cached_tokens):6.0f}  {min(ratios):23.1%}  {statistics.median(ratios):6.1%}"
            f"  {sum(ratio > CLAIM for ratio in ratios):4} of {len(ratios)}  {stayed:21} of {len(ratios)}"
        )
    later = [turn for conversation in conversations for turn in conversation.turns[1:]]
    good = sum(turn.ratio > CLAIM for turn in later)
    cached, possible = sum(t.cached_tokens for t in later), sum(t.possible_tokens for t in later)
    print(f"  later turns above 90 % of what is possible: {good} of {len(later)}; ", end="")
    print(f"in tokens {cached} of {possible}, {cached / possible:.1%}")
    answered = Counter(turn.endpoint for conversation in conversations for turn in conversation.turns)
    print(f"  answers by engine: {', '.join(f'{who} {count}' for who, count in sorted(answered.items()))}")
    if len(answered) < 2:
        sys.exit("only one engine has answered: staying there would prove nothing")
    return good == len(later)


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--gateway", required=True)
    arguments.add_argument("--engine", required=True, help="counts tokens")
    arguments.add_argument("--name", required=True, help="of the run; its conversations are its own")
    options = arguments.parse_args()
    client = OpenAI(base_url=f"{options.gateway}/v1", api_key="none", max_retries=0)
    conversations = [begin(options.engine, options.name, index) for index in range(CONVERSATIONS)]
    hold(client, conversations, options.name)
    sys.exit(0 if show(options.name, conversations) else NOT_SHOWN)


if __name__ == "__main__":
    main()
