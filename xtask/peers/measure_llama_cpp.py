"""Speed of llama.cpp on one GGUF file.

usage: measure_llama_cpp.py MODEL THREADS PREFILL_TOKENS DECODE_TOKENS

Prints one line of JSON. Goes through the C API, so that Python costs one call per decoded token and
nothing per prefilled one. The same measure as `phial bench`: one prompt as one batch from an empty
cache with logits of its last token, then single tokens from a short context; a warm-up before each.
"""

import ctypes
import json
import random
import sys
import time

import llama_cpp

SHORT_CONTEXT_TOKENS = 8


def silent(_level, _text, _data):
    pass


LOG = llama_cpp.llama_log_callback(silent)


def decode(context, tokens):
    array = (llama_cpp.llama_token * len(tokens))(*tokens)
    status = llama_cpp.llama_decode(context, llama_cpp.llama_batch_get_one(array, len(tokens)))
    if status != 0:
        sys.exit(f"llama_decode failed with {status}")
    llama_cpp.llama_synchronize(context)


def timed(context, batches):
    start = time.perf_counter()
    for tokens in batches:
        decode(context, tokens)
    return time.perf_counter() - start


def main():
    path, threads, prefill_tokens, decode_tokens = sys.argv[1], *map(int, sys.argv[2:5])
    llama_cpp.llama_log_set(LOG, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    model = llama_cpp.llama_model_load_from_file(
        path.encode(), llama_cpp.llama_model_default_params()
    )
    if not model:
        sys.exit(f"llama.cpp cannot load {path}")
    params = llama_cpp.llama_context_default_params()
    params.n_ctx = max(1024, prefill_tokens + decode_tokens)
    params.n_batch = params.n_ubatch = prefill_tokens
    params.n_threads = params.n_threads_batch = threads
    context = llama_cpp.llama_init_from_model(model, params)
    if not context:
        sys.exit("llama.cpp made no context")
    memory = llama_cpp.llama_get_memory(context)
    words = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    choose = random.Random(7)
    prompt = [choose.randrange(words) for _ in range(prefill_tokens)]
    singles = [[choose.randrange(words)] for _ in range(decode_tokens)]

    decode(context, prompt)
    llama_cpp.llama_memory_clear(memory, True)
    prefill_seconds = timed(context, [prompt])

    llama_cpp.llama_memory_clear(memory, True)
    decode(context, prompt[:SHORT_CONTEXT_TOKENS])
    decode(context, singles[0])
    decode_seconds = timed(context, singles)

    print(json.dumps({
        "engine": f"llama.cpp of llama-cpp-python {llama_cpp.__version__}",
        "system": llama_cpp.llama_print_system_info().decode().strip(),
        "prefill_tokens_per_second": prefill_tokens / prefill_seconds,
        "decode_tokens_per_second": decode_tokens / decode_seconds,
    }))


main()
