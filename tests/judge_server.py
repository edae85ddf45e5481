"""A loopback server that plays the API of a language model: chat completions, files and batches.

It answers every question as its schema asks, with scores drawn from the question itself, so that
the same question always gets the same answer; and it can be told to fail, question by question and
attempt by attempt. It counts what it would have charged. To try the judge without a model::

    python tests/judge_server.py --port 8123
    flexi-score score sample_recordings --judge openai --set judge.base_url=http://127.0.0.1:8123/v1

Faults, by name: 429, 429_after:S (seconds), 429_date:S, quota, 401, 401_echo (with the key in the
message), redirect:URL, 403, 404, 400, 400_temperature, 400_max_tokens, 400_format, 500, 503, hang,
drop (no reply), drop_mid (half a reply), drip (a byte at a time), html, refusal, content_filter,
truncated, invalid_json, wrong_keys, out_of_range, empty_choices, no_content.
"""

import argparse
import email.message
import email.parser
import email.utils
import hashlib
import json
import random
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

#: Faults that cost whoever asks: the model has answered.
PAID = (
    "refusal",
    "content_filter",
    "truncated",
    "invalid_json",
    "wrong_keys",
    "out_of_range",
    "empty_choices",
    "no_content",
)

#: A fault for the n-th attempt (from 0) at a question, or None to answer.
Fault = Callable[[Mapping[str, Any], int], str | None]


@dataclass
class Call:
    """One request of chat completions, and what became of it."""

    question: str
    body: dict[str, Any]
    attempt: int
    fault: str | None
    headers: dict[str, str] = field(repr=False, default_factory=dict)
    delivered: bool = False  # all of an answer that costs has been handed to the connection
    at: float = field(default_factory=time.monotonic)


def scripted(
    faults: Mapping[str, Sequence[str | None]], default: Sequence[str | None] = ()
) -> Fault:
    """Faults by a text that occurs in the question: one an attempt, then none."""

    def choose(question: Mapping[str, Any], attempt: int) -> str | None:
        text = json.dumps(question, ensure_ascii=False)
        script = next((s for part, s in faults.items() if part in text), default)
        return script[attempt] if attempt < len(script) else None

    return choose


def occasional(share: float, names: Sequence[str], seed: int = 0) -> Fault:
    """One of these faults in a share of attempts, always the same for the same attempt."""

    def choose(question: Mapping[str, Any], attempt: int) -> str | None:
        draw = random.Random(f"{seed}{attempt}{json.dumps(question, sort_keys=True)}")
        return draw.choice(list(names)) if draw.random() < share else None

    return choose


def honest_answer(
    question: Mapping[str, Any], schema: Mapping[str, Any], draw: int
) -> dict[str, Any]:
    """An answer that the schema allows, by a hash of the question."""
    answer: dict[str, Any] = {}
    for name in schema["properties"]:
        if name == "score":
            answer[name] = draw % 6
        elif name == "behaviour":
            answer[name] = schema["properties"][name]["enum"][draw % 4]
        elif name == "positions_s":
            answer[name] = [
                end for n, (_, end) in enumerate(question["words"]) if n % 4 == draw % 4
            ]
        else:
            answer[name] = f"as drawn: {draw % 1000}"
    return answer


class JudgeServer:
    """The server, as a context manager.

    Parameters
    ----------
    faults : callable, optional
        See :func:`scripted`, :func:`occasional`.
    latency_s : float
        Before every answer.
    key : str, optional
        What the key has to be; any will do if not given.
    answer : callable, optional
        In place of :func:`honest_answer`.
    batch_polls : int
        How often a batch says ``in_progress`` before it has ended.
    batch_end : str
        How batches end: completed, expired (half of it done), failed, cancelled.
    """

    def __init__(
        self,
        *,
        port: int = 0,
        faults: Fault | None = None,
        latency_s: float = 0.0,
        key: str | None = None,
        batch_polls: int = 0,
        batch_end: str = "completed",
        answer: Callable[..., dict[str, Any]] = honest_answer,
        verbose: bool = False,
    ) -> None:
        self.faults, self.latency_s, self.key, self.answer = faults, latency_s, key, answer
        self.batch_polls, self.batch_end, self.verbose = batch_polls, batch_end, verbose
        self.calls: list[Call] = []
        self.files: dict[str, dict[str, Any]] = {}
        self.batches: dict[str, dict[str, Any]] = {}
        #: Answers that were paid for, by question and seed.
        self.charged: Counter[str] = Counter()
        #: All other requests, and faults for the next ones of them that begin so: a status, drop
        #: (nothing is done), or lost (it is done, and the reply is lost).
        self.others: list[str] = []
        self.api_faults: list[tuple[str, str]] = []
        self.most_at_once = self._at_once = 0
        self._attempts: Counter[str] = Counter()
        self._lock = threading.Lock()
        self.stopping = threading.Event()
        self._http = _Http(("127.0.0.1", port), _handler(self))
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def __enter__(self) -> "JudgeServer":
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self._http.shutdown()
        self._http.server_close()

    def serve(self) -> None:
        """Serve until interrupted."""
        self._http.serve_forever()

    def admit(self, body: dict[str, Any], headers: Mapping[str, str]) -> Call:
        """Note a request, and choose what becomes of it."""
        text = next(m["content"] for m in body["messages"] if m["role"] == "user")
        identity = hashlib.sha256(f"{body.get('seed')} {text}".encode()).hexdigest()
        with self._lock:
            attempt = self._attempts[identity]
            self._attempts[identity] += 1
            self._at_once += 1
            self.most_at_once = max(self.most_at_once, self._at_once)
        fault = self.faults(json.loads(text), attempt) if self.faults else None
        call = Call(text, body, attempt, fault, {k.lower(): v for k, v in headers.items()})
        with self._lock:
            self.calls.append(call)
        return call

    def done(self, call: Call, delivered: bool) -> None:
        """Note the end of a request."""
        identity = f"{call.body.get('seed')} {call.question}"
        with self._lock:
            self._at_once -= 1
            call.delivered = delivered
            self.charged[identity] += delivered

    def reply(self, body: Mapping[str, Any], fault: str | None) -> dict[str, Any]:
        """A chat completion (of status 200), spoiled or not."""
        text = next(m["content"] for m in body["messages"] if m["role"] == "user")
        system = "".join(m["content"] for m in body["messages"] if m["role"] == "system")
        draw = int(hashlib.sha256(f"{body.get('seed')}{text}".encode()).hexdigest()[:8], 16)
        content = json.dumps(self.answer(json.loads(text), _schema(body, system), draw))
        finish, refusal = "stop", None
        if fault == "refusal":
            content, refusal = None, "I cannot help with that."
        elif fault == "content_filter":
            content, finish = "", "content_filter"
        elif fault == "truncated":
            content, finish = content[: len(content) // 2], "length"
        elif fault == "no_content":
            content = None
        elif fault == "invalid_json":
            content = "Sure! The score is 5."
        elif fault == "wrong_keys":
            content = '{"rating": 3}'
        elif fault == "out_of_range":
            spoiled = {"reason": "splendid", "score": 7, "positions_s": [-1.5]}
            keys = _schema(body, system)["properties"]
            content = json.dumps({name: spoiled[name] for name in keys})
        message = {"role": "assistant", "content": content, "refusal": refusal}
        choices = [{"index": 0, "message": message, "finish_reason": finish, "logprobs": None}]
        prompt, completion = len(system + text) // 4, len(content or "") // 4
        return {
            "id": f"chatcmpl-{draw:x}",
            "object": "chat.completion",
            "created": int(time.time()),
            "model": body["model"],
            "system_fingerprint": "fp_loopback",
            "choices": [] if fault == "empty_choices" else choices,
            "usage": {
                "prompt_tokens": prompt,
                "completion_tokens": completion,
                "total_tokens": prompt + completion,
                "prompt_tokens_details": {"cached_tokens": 0},
            },
        }

    # Files and batches

    def api_fault(self, request: str) -> str | None:
        """Note a request that is no question; the fault that is due."""
        self.others.append(request)
        due = next((item for item in self.api_faults if request.startswith(item[0])), None)
        if due is not None:
            self.api_faults.remove(due)
        return due[1] if due else None

    def add_batch(self, data: Mapping[str, Any]) -> dict[str, Any]:
        """A new batch, under way."""
        identity = f"batch_{len(self.batches):04d}"
        lines = self.files[data["input_file_id"]]["content"].decode().splitlines()
        self.batches[identity] = {
            "id": identity,
            "object": "batch",
            "endpoint": data["endpoint"],
            "errors": None,
            "input_file_id": data["input_file_id"],
            "completion_window": "24h",
            "status": "in_progress",
            "output_file_id": None,
            "error_file_id": None,
            "created_at": int(time.time()),
            "metadata": data.get("metadata"),
            "request_counts": {"total": len(lines), "completed": 0, "failed": 0},
            "polls": 0,
        }
        return self.batches[identity]

    def poll_batch(self, identity: str) -> dict[str, Any]:
        """A batch; one that was asked about often enough has ended."""
        batch = self.batches[identity]
        if batch["status"] == "in_progress" and batch["polls"] >= self.batch_polls:
            self._end(batch)
        batch["polls"] += 1
        return batch

    def _end(self, batch: dict[str, Any]) -> None:
        batch["status"] = self.batch_end
        if self.batch_end == "failed":
            error = {
                "code": "token_limit_exceeded",
                "message": "Enqueued token limit reached",
                "line": None,
                "param": None,
            }
            batch["errors"] = {"object": "list", "data": [error]}
            return
        lines = self.files[batch["input_file_id"]]["content"].decode().splitlines()
        whole = self.batch_end == "completed"
        good, bad = [], []
        for number, line in enumerate(lines):
            item = json.loads(line)
            row = {
                "id": f"req_{number}",
                "custom_id": item["custom_id"],
                "response": None,
                "error": None,
            }
            if not whole and number >= len(lines) // 2:
                row["error"] = {"code": f"batch_{self.batch_end}", "message": "not executed"}
                bad.append(row)
                continue
            call = self.admit(item["body"], {})
            answered = call.fault is None or call.fault in PAID
            self.done(call, answered)
            if answered:
                body, status = self.reply(item["body"], call.fault), 200
            else:
                body, status = {"error": {"message": "failed", "code": "server_error"}}, 500
            row["response"] = {"status_code": status, "request_id": "r", "body": body}
            (good if status == 200 else bad).append(row)
        for name, rows in (("output_file_id", good), ("error_file_id", bad)):
            if rows:
                text = "".join(json.dumps(row) + "\n" for row in reversed(rows))  # order is free
                batch[name] = self.add_file(f"{name}.jsonl", "batch_output", text.encode())["id"]
        batch["request_counts"] |= {"completed": len(good), "failed": len(bad)}

    def add_file(self, name: str, purpose: str, content: bytes) -> dict[str, Any]:
        """Keep a file."""
        identity = f"file-{len(self.files):04d}"
        self.files[identity] = {
            "id": identity,
            "object": "file",
            "bytes": len(content),
            "created_at": int(time.time()),
            "filename": name,
            "purpose": purpose,
            "status": "processed",
            "content": content,
        }
        return self.files[identity]


def _schema(body: Mapping[str, Any], system: str) -> dict[str, Any]:
    """The schema of the reply: as the API has it, or as it stands in the instructions."""
    form = body.get("response_format") or {}
    if form.get("type") == "json_schema":
        return dict(form["json_schema"]["schema"])
    start = system.rindex('{"additionalProperties"')
    return dict(json.JSONDecoder().raw_decode(system[start:])[0])


class _Http(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # clients may leave when they like
            super().handle_error(request, client_address)


def _handler(server: JudgeServer) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def log_message(self, format: str, *args: Any) -> None:
            if server.verbose:
                super().log_message(format, *args)

        def do_GET(self) -> None:
            if self._spoil(server.api_fault(f"GET {self.path}")):
                return
            path, _, query = self.path.partition("?")
            parts = path.strip("/").split("/")[1:]
            if parts[0] == "batches" and len(parts) == 2 and parts[1] in server.batches:
                self._json(200, _public(server.poll_batch(parts[1])))
            elif parts == ["batches"]:
                rows = [_public(b) for b in reversed(server.batches.values())]
                after = dict(p.split("=") for p in query.split("&") if p).get("after")
                names = [row["id"] for row in rows]
                rows = rows[names.index(after) + 1 :] if after in names else rows
                page = {
                    "object": "list",
                    "data": rows[:2],
                    "has_more": len(rows) > 2,
                    "first_id": rows[0]["id"] if rows else None,
                    "last_id": rows[:2][-1]["id"] if rows else None,
                }
                self._json(200, page)
            elif parts[0] == "files" and parts[-1] == "content" and parts[1] in server.files:
                self._send(200, server.files[parts[1]]["content"], "application/octet-stream")
            else:
                self._error(404, "not_found", f"no {path}")

        def do_DELETE(self) -> None:
            server.others.append(f"DELETE {self.path}")
            name = self.path.rstrip("/").split("/")[-1]
            server.files.pop(name, None)
            self._json(200, {"id": name, "object": "file", "deleted": True})

        def do_POST(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            data = self.rfile.read(length)
            if len(data) < length:  # who asked has gone
                self.close_connection = True
                return
            if (
                server.key is not None
                and self.headers.get("Authorization") != f"Bearer {server.key}"
            ):
                self._error(401, "invalid_api_key", "Incorrect API key provided.")
                return
            if self.path == "/v1/chat/completions":
                self._complete(json.loads(data))
                return
            fault = server.api_fault(f"POST {self.path}")
            if self._spoil(fault):
                return
            if self.path == "/v1/files":
                made = self._upload(data)
            elif self.path == "/v1/batches":
                made = server.add_batch(json.loads(data))
            else:
                self._error(404, "not_found", f"no {self.path}")
                return
            if fault == "lost":
                self._cut()
            else:
                self._json(200, _public(made))

        def _spoil(self, fault: str | None) -> bool:
            if fault == "drop":
                self._cut()
            elif fault and fault.isdigit():
                self._error(int(fault), "fault", f"status {fault}")
            return fault not in (None, "lost")

        def _complete(self, body: dict[str, Any]) -> None:
            call = server.admit(body, self.headers)
            delivered = False
            try:
                if server.latency_s:
                    server.stopping.wait(server.latency_s)
                if call.fault is None or call.fault in PAID:
                    self._json(200, server.reply(body, call.fault))
                    delivered = True
                else:
                    self._fail(call)
            finally:
                server.done(call, delivered)

        def _fail(self, call: Call) -> None:
            name, _, argument = (call.fault or "").partition(":")
            if name == "429":
                self._error(429, "rate_limit_exceeded", "Rate limit reached")
            elif name == "429_after":
                self._error(429, "rate_limit_exceeded", "Rate limit", {"Retry-After": argument})
            elif name == "429_date":
                date = email.utils.formatdate(time.time() + float(argument) + 1, usegmt=True)
                self._error(429, "rate_limit_exceeded", "Rate limit", {"Retry-After": date})
            elif name == "quota":
                self._error(429, "insufficient_quota", "You exceeded your current quota")
            elif name == "401_echo":
                key = self.headers.get("Authorization", "").removeprefix("Bearer ")
                self._error(401, "invalid_api_key", f"Incorrect API key provided: {key}.")
            elif name == "redirect":
                self._head(307, 0, "text/plain", {"Location": argument})
            elif name in ("401", "403", "404"):
                code = {"401": "invalid_api_key", "403": "forbidden", "404": "model_not_found"}
                self._error(int(name), code[name], f"refused: {code[name]}")
            elif name.startswith("400_"):
                given = {"format": "response_format"}.get(name[4:], name[4:])
                self._error(400, "unsupported_parameter", f"Unsupported: {given}", param=given)
            elif name == "400":
                self._error(400, "invalid_prompt", "your prompt\nwas flagged")
            elif name in ("500", "503"):
                self._error(int(name), "server_error", "The server had an error")
            elif name == "hang":
                server.stopping.wait(60)
                self.close_connection = True
            elif name == "drop":
                self._cut()
            elif name == "drop_mid":
                data = json.dumps(server.reply(call.body, None)).encode()
                self._head(200, len(data), "application/json")
                self.wfile.write(data[: len(data) // 2])
                self._cut()
            elif name == "drip":
                data = json.dumps(server.reply(call.body, None)).encode()
                self._head(200, len(data), "application/json")
                for n in range(len(data)):
                    self.wfile.write(data[n : n + 1])
                    if server.stopping.wait(0.1):
                        return
            elif name == "html":
                self._send(200, b"<html>proxy login</html>", "text/html")
            else:
                raise ValueError(f"no such fault: {call.fault}")

        def _cut(self) -> None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)

        def _upload(self, data: bytes) -> dict[str, Any]:
            head = f"Content-Type: {self.headers['Content-Type']}\r\n\r\n".encode()
            parsed = email.parser.BytesParser().parsebytes(head + data)
            fields: dict[str, bytes] = {}
            name = ""
            for part in parsed.get_payload():
                assert isinstance(part, email.message.Message)
                label = part.get_param("name", header="content-disposition")
                payload = part.get_payload(decode=True)
                assert isinstance(payload, bytes)
                fields[str(label)] = payload
                name = part.get_filename() or name
            return server.add_file(name, fields["purpose"].decode(), fields["file"])

        def _error(
            self,
            status: int,
            code: str,
            message: str,
            headers: Mapping[str, str] | None = None,
            param: str | None = None,
        ) -> None:
            error = {"message": message, "type": code, "param": param, "code": code}
            self._send(status, json.dumps({"error": error}).encode(), "application/json", headers)

        def _json(self, status: int, data: Mapping[str, Any]) -> None:
            self._send(status, json.dumps(data).encode(), "application/json")

        def _send(
            self, status: int, data: bytes, kind: str, headers: Mapping[str, str] | None = None
        ) -> None:
            self._head(status, len(data), kind, headers, flush=False)
            self._headers_buffer.append(data)  # one packet, or the kernel waits for an answer
            self.flush_headers()

        def _head(
            self,
            status: int,
            n_bytes: int,
            kind: str,
            headers: Mapping[str, str] | None = None,
            flush: bool = True,
        ) -> None:
            self.send_response(status)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(n_bytes))
            for name, value in (headers or {}).items():
                self.send_header(name, value)
            self._headers_buffer.append(b"\r\n")
            if flush:
                self.flush_headers()

    return Handler


def _public(item: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in item.items() if name not in ("content", "polls")}


def main() -> None:
    """Run the server until it is interrupted."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--port", type=int, default=8123)
    parser.add_argument("--latency", type=float, default=0.05, help="seconds before an answer")
    parser.add_argument("--faults", type=float, default=0.0, help="share of requests that fail")
    parser.add_argument("--fault", action="append", help="which faults; repeatable")
    parser.add_argument("--batch-polls", type=int, default=1)
    parser.add_argument("--batch-end", default="completed")
    options = parser.parse_args()
    names = options.fault or ["429_after:0.2", "500", "drop", "truncated", "invalid_json"]
    server = JudgeServer(
        port=options.port,
        latency_s=options.latency,
        batch_polls=options.batch_polls,
        faults=occasional(options.faults, names),
        batch_end=options.batch_end,
        verbose=True,
    )
    print(f"judge.base_url={server.url}", flush=True)
    try:
        server.serve()
    except KeyboardInterrupt:
        print(f"{len(server.calls)} calls, {server.charged.total()} charged", file=sys.stderr)


if __name__ == "__main__":
    main()
