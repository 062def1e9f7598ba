"""Speed of llama.cpp on one GGUF file: one line of JSON.

Goes through the C API, so that Python costs one call per decoded token and nothing per prefilled
one. The same measures as `phial bench`: a prompt from an empty cache with logits of its last token,
then single tokens of one or more sequences, each measure after a warm-up; the median of the runs.
With --first-token instead: seconds from before the model is loaded to the first token of a prompt.
"""

import argparse
import ctypes
import json
import random
import re
import statistics
import sys
import time
from pathlib import Path

import llama_cpp

# As llama.cpp has it by default: tokens of one call, of which so many are computed at once.
BATCH_TOKENS = 2048
UBATCH_TOKENS = 512
WARM_UP_TOKENS = 64
# Generation without a depth follows so many tokens.
SHORT_CONTEXT_TOKENS = 8
# A deep cache is filled with copies of so many tokens.
COPIED_TOKENS = 512
CONTEXT_TOKENS_MIN = 1024
# Beside busy neighbours a token can take seconds.
DECODE_SECONDS_MAX = 30.0

KV_TYPES = {"f16": llama_cpp.GGML_TYPE_F16, "q8_0": llama_cpp.GGML_TYPE_Q8_0}
FLASH_ATTENTION = {
    "auto": llama_cpp.LLAMA_FLASH_ATTN_TYPE_AUTO,
    "on": llama_cpp.LLAMA_FLASH_ATTN_TYPE_ENABLED,
    "off": llama_cpp.LLAMA_FLASH_ATTN_TYPE_DISABLED,
}

log = []


@llama_cpp.llama_log_callback
def keep_log(_level, text, _data):
    log.append(text.decode(errors="replace"))


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--prompt", type=int, default=512)
    parser.add_argument("--generate", type=int, default=32)
    parser.add_argument("--depth", type=int, default=0)
    parser.add_argument("--streams", type=int, default=1)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--kv", choices=KV_TYPES, default="f16")
    parser.add_argument("--flash-attention", choices=FLASH_ATTENTION, default="auto")
    parser.add_argument("--first-token", action="store_true")
    return parser.parse_args()


def check(condition, what):
    if not condition:
        sys.exit(f"llama.cpp: {what}\n{''.join(log[-5:])}")


class Llama:
    def __init__(self, options):
        self.options = options
        self.model = llama_cpp.llama_model_load_from_file(
            options.model.encode(), llama_cpp.llama_model_default_params()
        )
        check(self.model, f"cannot load {options.model}")
        tokens = max(options.prompt, options.depth, SHORT_CONTEXT_TOKENS) + options.generate + 1
        params = llama_cpp.llama_context_default_params()
        # One sequence more, as a place for copies.
        params.n_seq_max = options.streams + 1
        params.kv_unified = True
        params.n_ctx = max(CONTEXT_TOKENS_MIN, options.streams * tokens + COPIED_TOKENS)
        params.n_batch, params.n_ubatch = BATCH_TOKENS, UBATCH_TOKENS
        params.n_threads = params.n_threads_batch = options.threads
        params.type_k = params.type_v = KV_TYPES[options.kv]
        params.flash_attn_type = FLASH_ATTENTION[options.flash_attention]
        self.context = llama_cpp.llama_init_from_model(self.model, params)
        check(self.context, "made no context")
        self.memory = llama_cpp.llama_get_memory(self.context)
        words = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        choose = random.Random(7)
        self.tokens = [choose.randrange(words) for _ in range(tokens)]
        self.batch = llama_cpp.llama_batch_init(BATCH_TOKENS, 0, 1)

    def forward(self, entries):
        """Computes (token, position, sequence, wants logits) entries as one batch."""
        self.batch.n_tokens = len(entries)
        for at, (token, position, sequence, wants_logits) in enumerate(entries):
            self.batch.token[at] = token
            self.batch.pos[at] = position
            self.batch.n_seq_id[at] = 1
            self.batch.seq_id[at][0] = sequence
            self.batch.logits[at] = wants_logits
        status = llama_cpp.llama_decode(self.context, self.batch)
        check(status == 0, f"llama_decode failed with {status}")
        llama_cpp.llama_synchronize(self.context)

    def read(self, start, end, sequence=0):
        """Reads tokens of one sequence, with logits of the last one."""
        for first in range(start, end, BATCH_TOKENS):
            positions = range(first, min(first + BATCH_TOKENS, end))
            self.forward([(self.tokens[p], p, sequence, p == end - 1) for p in positions])

    def prefill(self, tokens):
        llama_cpp.llama_memory_clear(self.memory, True)
        start = time.perf_counter()
        self.read(0, tokens)
        return time.perf_counter() - start

    def fill(self, depth):
        """Puts `depth` tokens into the cache of the first sequence. Attention costs the same
        whatever the keys and values are, so the first block is copied behind itself: its state goes
        to a spare sequence at later positions, and the first sequence takes the cells over."""
        llama_cpp.llama_memory_clear(self.memory, True)
        block = min(depth, COPIED_TOKENS)
        self.read(0, block)
        spare = self.options.streams
        size = llama_cpp.llama_state_seq_get_size(self.context, 0)
        state = (ctypes.c_uint8 * size)()
        llama_cpp.llama_state_seq_get_data(self.context, state, size, 0)
        positions = positions_of(state, block)
        filled = block
        while filled + block <= depth:
            for position in positions:
                position.value += block
            done = llama_cpp.llama_state_seq_set_data(self.context, state, size, spare)
            check(done > 0, "cannot copy a sequence")
            llama_cpp.llama_memory_seq_cp(self.memory, spare, 0, -1, -1)
            llama_cpp.llama_memory_seq_rm(self.memory, spare, -1, -1)
            filled += block
        self.read(filled, depth)
        end = llama_cpp.llama_memory_seq_pos_max(self.memory, 0)
        check(end == depth - 1, f"a cache of {depth} tokens ends at {end}")

    def prepare(self, prompt_is_read):
        """Fills the caches of all sequences; returns the position of the next token."""
        depth, streams = self.options.depth, self.options.streams
        if depth == 0:
            llama_cpp.llama_memory_clear(self.memory, True)
            for sequence in range(streams):
                self.read(0, SHORT_CONTEXT_TOKENS, sequence)
            return SHORT_CONTEXT_TOKENS
        check(streams == 1, "--depth goes with one stream")
        if not (prompt_is_read and depth == self.options.prompt):
            self.fill(depth)
        return depth

    def decode(self, position):
        """Tokens per second of one run; what it adds to the cache is removed again."""
        streams = range(self.options.streams)
        start, seconds, steps = time.perf_counter(), 0.0, 0
        while steps < self.options.generate and seconds < DECODE_SECONDS_MAX:
            now = position + steps
            self.forward([(self.tokens[now], now, sequence, True) for sequence in streams])
            steps += 1
            seconds = time.perf_counter() - start
        for sequence in streams:
            llama_cpp.llama_memory_seq_rm(self.memory, sequence, position, -1)
        return steps * len(streams) / seconds

    def warm_up_decode(self, position):
        self.forward([(self.tokens[0], position, s, True) for s in range(self.options.streams)])
        for sequence in range(self.options.streams):
            llama_cpp.llama_memory_seq_rm(self.memory, sequence, position, -1)

    def kv_bytes(self):
        """As llama.cpp says in its log when it makes the cache."""
        sizes = re.findall(r"llama_kv_cache: size = +([0-9.]+) MiB", "".join(log))
        return int(sum(map(float, sizes)) * (1 << 20))

    def flash_attention(self):
        """What `auto` became."""
        if self.options.flash_attention != "auto":
            return self.options.flash_attention
        return "on" if "Flash Attention enabled" in "".join(log) else "off"


def positions_of(state, count):
    """Where the state of the first sequence has the positions of its tokens: each is followed by the
    number of its sequences, 1, and that sequence, 0."""
    words = (ctypes.c_int32 * (len(state) // 4)).from_buffer(state)
    for start in range(64):
        found = words[start : start + 3 * count]
        if found == [number for position in range(count) for number in (position, 1, 0)]:
            places = range(start, start + 3 * count, 3)
            return [ctypes.c_int32.from_buffer(state, 4 * place) for place in places]
    sys.exit("llama.cpp: this version lays the state of a sequence out in another way")


def anonymous_bytes():
    """Resident memory that belongs to no file, so that it cannot be given back."""
    status = Path("/proc/self/status")
    found = re.search(r"RssAnon:\s+(\d+) kB", status.read_text() if status.exists() else "")
    return int(found[1]) * 1024 if found else None


def measure(options):
    before = anonymous_bytes()
    start = time.perf_counter()
    llama = Llama(options)
    answer = {"load_seconds": time.perf_counter() - start}
    repeat = range(options.repeat)
    if options.prompt > 0:
        llama.prefill(min(options.prompt, WARM_UP_TOKENS))
        runs = [options.prompt / llama.prefill(options.prompt) for _ in repeat]
        answer["prefill_tokens_per_second"] = statistics.median(runs)
        answer["prefill_runs"] = runs
    if options.generate > 0:
        position = llama.prepare(prompt_is_read=options.prompt > 0)
        llama.warm_up_decode(position)
        runs = [llama.decode(position) for _ in repeat]
        answer["decode_tokens_per_second"] = statistics.median(runs)
        answer["decode_runs"] = runs
    answer["kv_bytes"] = llama.kv_bytes()
    answer["flash_attention"] = llama.flash_attention()
    if before is not None:
        answer["anonymous_bytes"] = anonymous_bytes() - before
    return answer


def first_token(options):
    start = time.perf_counter()
    llama = Llama(options)
    llama.read(0, options.prompt)
    sampler = llama_cpp.llama_sampler_init_greedy()
    llama_cpp.llama_sampler_sample(sampler, llama.context, -1)
    return {"first_token_seconds": time.perf_counter() - start}


def main():
    options = arguments()
    llama_cpp.llama_log_set(keep_log, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    answer = first_token(options) if options.first_token else measure(options)
    print(json.dumps({
        "engine": f"llama.cpp of llama-cpp-python {llama_cpp.__version__}",
        "system": llama_cpp.llama_print_system_info().decode().strip(),
        **answer,
    }))


main()
