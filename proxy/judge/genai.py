"""The process in which a judge's model runs on onnxruntime-genai: `python -m proxy.judge.genai FOLDER THREADS AT_ONCE`.

One question a line comes in, one answer a line goes out, both JSON. It ends when nobody asks any more. A process of its own,
because a token of a large model takes a tenth of a second and holds up whoever else is in the process.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from proxy.judge import harmony


class Model:
    def __init__(self, folder: Path, threads: int) -> None:
        import onnxruntime_genai as og  # the extra `genai`; nobody else in Weir has it

        self._og = og
        og.disable_telemetry_events()
        config = og.Config(str(folder))
        if threads:
            config.overlay(json.dumps({"model": {"decoder": {"session_options": {"intra_op_num_threads": threads}}}}))
        self._model = og.Model(config)
        self._tokenizer = og.Tokenizer(self._model)
        about = json.loads((folder / "genai_config.json").read_text(encoding="utf-8"))["model"]
        self._room: int = about["context_length"]
        ends = about["eos_token_id"]
        self._ends = frozenset(ends if isinstance(ends, list) else [ends])
        self._marks = _marks(folder) if about["type"] == "gptoss" else {}

    def answer(self, question: dict[str, Any]) -> dict[str, Any]:
        """`problem` says why there is no answer; it has no word of the question."""
        until = time.monotonic() + question["seconds"]
        if self._marks:
            prompt = harmony.rendered(question["messages"], question["effort"])
        else:
            asked = json.dumps(question["messages"])
            prompt = self._tokenizer.apply_chat_template(messages=asked, add_generation_prompt=True)
        ids = self._tokenizer.encode(prompt)
        if len(ids) >= self._room:
            return {"problem": "the text is longer than the judge can read"}
        parameters = self._og.GeneratorParams(self._model)
        parameters.set_search_options(max_length=min(self._room, len(ids) + question["most"]), do_sample=False)
        generator = self._og.Generator(self._model, parameters)
        generator.append_tokens(ids)
        said: list[int] = []
        while not generator.is_done():
            if time.monotonic() > until:
                return {"problem": "timed out"}
            generator.generate_next_token()
            said.append(int(generator.get_next_tokens()[0]))
        if not said or said[-1] not in self._ends:
            return {"problem": "was cut off before it had answered"}
        text, thought = self._read(said)
        return {"text": text, "reasoning": thought}

    def _read(self, said: list[int]) -> tuple[str, str]:
        pieces: list[str] = []
        run: list[int] = []
        for token in said:
            if token in self._marks or token in self._ends:
                pieces += [self._tokenizer.decode(run), self._marks.get(token, "")] if run else [self._marks.get(token, "")]
                run = []
            else:
                run.append(token)
        if run:
            pieces.append(self._tokenizer.decode(run))
        return harmony.read(pieces) if self._marks else ("".join(pieces), "")


def _marks(folder: Path) -> dict[int, str]:
    """The tokens that part the messages of a gpt-oss model."""
    added = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))["added_tokens"]
    return {one["id"]: one["content"] for one in added if one["content"] in harmony.MARKS}


def main(folder: str, threads: str, at_once: str) -> None:
    # What the runtime prints must not come between the answers.
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    lock = threading.Lock()

    def tell(answer: dict[str, Any]) -> None:
        with lock:
            out.write(json.dumps(answer) + "\n")
            out.flush()

    try:
        model = Model(Path(folder), int(threads))
    except Exception as error:  # whatever the runtime throws: the other side says it and goes on
        tell({"ready": False, "problem": f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"})
        return
    tell({"ready": True})

    def answer(question: dict[str, Any]) -> None:
        try:
            found = model.answer(question)
        except Exception as error:  # the same; its words may quote the question, so they are not repeated
            found = {"problem": f"failed ({type(error).__name__})", "unwell": True}
        tell({"id": question["id"], **found})

    pool = ThreadPoolExecutor(int(at_once))
    for line in sys.stdin.buffer:
        pool.submit(answer, json.loads(line))
    os._exit(0)  # nobody listens; what is still being said need not be said


if __name__ == "__main__":
    main(*sys.argv[1:])
