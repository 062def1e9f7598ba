"""Speed of ONNX Runtime GenAI on a folder that `export_onnx.py` made: one line of JSON.

The same measures as `measure_llama_cpp.py`: a prompt from an empty cache with logits of its last
token, then single tokens of one or more sequences, each after a warm-up; the median of the runs.
With --first-token instead: seconds from before the model is loaded to the first token of a prompt.
"""

import argparse
import json
import random
import re
import statistics
import sys
import time
from pathlib import Path

import onnxruntime_genai

WARM_UP_TOKENS = 64
# Generation without a depth follows so many tokens.
SHORT_CONTEXT_TOKENS = 8
# Beside busy neighbours a token can take seconds.
DECODE_SECONDS_MAX = 30.0
KV_BYTES_OF_AN_ELEMENT = 4


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=32)
    parser.add_argument("--depth", type=int, default=0)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--first-token", action="store_true")
    return parser.parse_args()


class Genai:
    def __init__(self, options):
        self.options = options
        config = onnxruntime_genai.Config(options.folder)
        threads = {"intra_op_num_threads": options.threads}
        config.overlay(json.dumps({"model": {"decoder": {"session_options": threads}}}))
        self.model = onnxruntime_genai.Model(config)
        shape = json.loads((Path(options.folder) / "genai_config.json").read_text())["model"]
        decoder, choose = shape["decoder"], random.Random(7)
        of_token = decoder["head_size"] * decoder["num_key_value_heads"] * 2
        self.kv_token_bytes = of_token * decoder["num_hidden_layers"] * KV_BYTES_OF_AN_ELEMENT
        self.context = max(options.prompt, options.depth, SHORT_CONTEXT_TOKENS) + options.generate + 2
        self.tokens = [choose.randrange(shape["vocab_size"]) for _ in range(self.context)]

    def read(self, tokens, streams=1):
        """A generator that has read so many tokens, and the seconds it took."""
        params = onnxruntime_genai.GeneratorParams(self.model)
        # The cache has the size of the longest sequence.
        params.set_search_options(
            max_length=self.context, min_length=self.context, batch_size=streams, do_sample=False
        )
        generator = onnxruntime_genai.Generator(self.model, params)
        start = time.perf_counter()
        generator.append_tokens([self.tokens[:tokens]] * streams)
        generator.get_logits()
        return generator, time.perf_counter() - start

    def decode(self, generator):
        """Tokens per second of one run."""
        streams = self.options.streams
        # The first one is chosen from the logits of the prompt.
        generator.generate_next_token()
        start, seconds, steps = time.perf_counter(), 0.0, 0
        while steps < self.options.generate and seconds < DECODE_SECONDS_MAX:
            generator.generate_next_token()
            steps += 1
            seconds = time.perf_counter() - start
        return steps * streams / seconds


def anonymous_bytes():
    """Resident memory that belongs to no file, so that it cannot be given back."""
    status = Path("/proc/self/status")
    found = re.search(r"RssAnon:\s+(\d+) kB", status.read_text() if status.exists() else "")
    return int(found[1]) * 1024 if found else None


def measure(options):
    before = anonymous_bytes()
    start = time.perf_counter()
    genai = Genai(options)
    answer = {"load_seconds": time.perf_counter() - start}
    repeat = range(options.repeat)
    if options.prompt > 0:
        genai.read(min(options.prompt, WARM_UP_TOKENS))
        runs = [options.prompt / genai.read(options.prompt)[1] for _ in repeat]
        answer["prefill_tokens_per_second"] = statistics.median(runs)
        answer["prefill_runs"] = runs
    if options.generate > 0:
        depth = options.depth or SHORT_CONTEXT_TOKENS
        genai.decode(genai.read(depth, options.streams)[0])
        runs = [genai.decode(genai.read(depth, options.streams)[0]) for _ in repeat]
        answer["decode_tokens_per_second"] = statistics.median(runs)
        answer["decode_runs"] = runs
    answer["kv_bytes"] = genai.context * options.streams * genai.kv_token_bytes
    if before is not None:
        answer["anonymous_bytes"] = anonymous_bytes() - before
    return answer


def first_token(options):
    start = time.perf_counter()
    genai = Genai(options)
    generator, _ = genai.read(options.prompt)
    generator.generate_next_token()
    return {"first_token_seconds": time.perf_counter() - start}


def main():
    options = arguments()
    answer = first_token(options) if options.first_token else measure(options)
    version = onnxruntime_genai.__version__
    print(json.dumps({"engine": f"ONNX Runtime GenAI {version}, int4", **answer}))


main()
