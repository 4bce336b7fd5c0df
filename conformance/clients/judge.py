"""Do the OpenAI and the Anthropic client get the same bytes through the gateway as from the engine?

usage: judge.py --engine HOST:PORT --gateway URL --tap PORT [--keep DIR]

The gateway's only upstream is 127.0.0.1:PORT, where this program listens and passes every byte on
to the engine. Each case of cases.py runs with the real client, once to warm the engine's cache,
then directly and through the gateway, with one request id. Three comparisons:

wire     what the gateway answered is what the engine answered it, in this very exchange: status,
         headers (save `x-` ones and those of one connection) and every byte of the body
request  the body that the engine got is the one that the client sent, byte for byte
direct   what came through the gateway is what came directly, but for what the engine makes anew
         for each request (times, random ids), and the client made equal objects of it

A case is hollow, and fails, where the answer lacks what it is there for (a tool call, say).

An engine may cut one stream into events otherwise than the last time (it merges tokens when it is
busy): a case whose direct comparison fails is tried again, and the tries are shown.

Exit status: 0 where everything is the same, 3 where something is not, anything else where nothing
can be said. Cases called `own:` are answered by the gateway itself; they are shown side by side.
"""

import argparse
import json
import os
import sys
import time
import urllib.request
from dataclasses import dataclass

import anthropic
import httpx2
import openai

from cases import CASES, Case
from wire import PER_REQUEST, Message, Recorder, Tap

TRIES = 20
NOT_THE_SAME = 3
READY_S = 60
OWN = "own: "
SHOWN = 170  # characters of an answer


@dataclass
class Leg:
    """One run of a case: the bytes, and what the client made of them."""

    message: Message
    request_body: bytes
    parsed: str


def run(case: Case, base: str, request_id: str) -> Leg:
    """Runs the case with a fresh client."""
    recorder = Recorder()
    options = {"api_key": "none", "max_retries": 0, "default_headers": {"x-request-id": request_id}}
    with httpx2.Client(transport=recorder, timeout=120) as http_client:
        path = "/v1" if case.client is openai.OpenAI else ""
        client = case.client(base_url=base + path, http_client=http_client, **options)
        try:
            parsed = case.run(client)
        except (openai.APIStatusError, anthropic.APIStatusError) as error:
            parsed = [type(error).__name__, error.status_code, error.body]
    text = json.dumps(parsed, sort_keys=True, ensure_ascii=False).encode()
    for pattern in PER_REQUEST:
        text = pattern.sub(b"-", text)
    return Leg(recorder.message(), recorder.request_body, text.decode())


@dataclass
class Verdict:
    """What was the same, and after how many tries."""

    case: Case
    shows: bool
    wire: bool
    request: bool
    direct: bool
    tries: int
    legs: tuple[Leg, Leg]

    @property
    def holds(self) -> bool:
        return self.shows and self.wire and self.request and self.direct


def judge(case: Case, number: int, engine: str, gateway: str, tap: Tap) -> Verdict:
    """Runs the case directly and through the gateway until both are the same, a few times at most."""
    for attempt in range(1, TRIES + 1):
        request_id = f"case-{number}-{attempt}"
        run(case, engine, request_id)
        direct = run(case, engine, request_id)
        through = run(case, gateway, request_id)
        crossed = tap.last(request_id)
        verdict = Verdict(
            case,
            shows=case.shows in through.parsed,
            wire=crossed is not None and crossed.message() == through.message,
            request=crossed is not None and crossed.request_body() == through.request_body,
            direct=direct.message.comparable() == through.message.comparable() and direct.parsed == through.parsed,
            tries=attempt,
            legs=(direct, through),
        )
        if verdict.direct or not (verdict.wire and verdict.request):
            break
    return verdict


def wait_until_ready(gateway: str) -> None:
    """Until the gateway has found the engine behind the tap, by the list of its models."""
    deadline = time.monotonic() + READY_S
    while time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(f"{gateway}/v1/models") as answer:
                if json.load(answer)["data"]:
                    return
        except OSError:
            pass
        time.sleep(0.2)
    sys.exit(f"the gateway has found no model in {READY_S} s")


def show(verdict: Verdict) -> None:
    word = lambda same: "same" if same else "DIFFERS"
    tries = f" ({verdict.tries} tries)" if verdict.tries > 1 else ""
    hollow = "" if verdict.shows else f" HOLLOW: no {verdict.case.shows} in it"
    answer = verdict.legs[1].message
    print(
        f"  {verdict.case.client.__name__:9}  {verdict.case.name:45}  {answer.status}  {len(answer.body):6}"
        f"  {word(verdict.wire):7}  {word(verdict.request):7}  {word(verdict.direct)}{tries}{hollow}"
    )


def show_own(verdict: Verdict) -> None:
    direct, through = verdict.legs
    print(f"  {verdict.case.client.__name__}, {verdict.case.name.removeprefix(OWN)}")
    for who, leg in (("engine", direct), ("gateway", through)):
        body = leg.message.body.decode()
        print(f"    {who:7}  {leg.message.status}  {body[:SHOWN]}{'...' if len(body) > SHOWN else ''}")


def keep(folder: str, number: int, verdict: Verdict) -> None:
    """Writes what differs into files, to be looked at."""
    os.makedirs(folder, exist_ok=True)
    for who, leg in zip(("direct", "gateway"), verdict.legs):
        with open(f"{folder}/{number}.{who}", "wb") as file:
            file.write(f"{verdict.case.name}\n{leg.message.status} {leg.message.headers}\n\n".encode())
            file.write(leg.message.body + b"\n\n" + leg.parsed.encode() + b"\n")


def main() -> None:
    arguments = argparse.ArgumentParser()
    arguments.add_argument("--engine", required=True)
    arguments.add_argument("--gateway", required=True)
    arguments.add_argument("--tap", required=True, type=int)
    arguments.add_argument("--keep", help="folder for the answers that differ")
    options = arguments.parse_args()
    host, port = options.engine.split(":")
    tap = Tap(options.tap, (host, int(port)))
    wait_until_ready(options.gateway)

    failed, own = 0, []
    print("  client     case                                         status  bytes  wire     request  direct")
    for number, case in enumerate(CASES):
        verdict = judge(case, number, f"http://{options.engine}", options.gateway, tap)
        if case.name.startswith(OWN):
            own.append(verdict)
            continue
        show(verdict)
        failed += not verdict.holds
        if options.keep and not verdict.holds:
            keep(options.keep, number, verdict)
    print(f"  {len(CASES) - len(own) - failed} of {len(CASES) - len(own)} cases are the same\n\nAnswered by the gateway itself:\n")
    for verdict in own:
        show_own(verdict)
    sys.exit(NOT_THE_SAME if failed else 0)


if __name__ == "__main__":
    main()
