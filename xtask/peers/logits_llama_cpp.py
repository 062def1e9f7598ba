"""Logits of llama.cpp for token ids: the JSON that `phial logits --json` prints.

All ids are read as one prompt with llama.cpp's own defaults, but for the type of keys and values.
"""

import argparse
import ctypes
import json
import sys

import llama_cpp

KV_TYPES = {
    "f16": llama_cpp.GGML_TYPE_F16,
    "q8_0": llama_cpp.GGML_TYPE_Q8_0,
    "q4_0": llama_cpp.GGML_TYPE_Q4_0,
}

log = []


@llama_cpp.llama_log_callback
def keep_log(_level, text, _data):
    log.append(text.decode(errors="replace"))


def check(condition, what):
    if not condition:
        sys.exit(f"llama.cpp: {what}\n{''.join(log[-5:])}")


def logits(options, ids):
    model = llama_cpp.llama_model_load_from_file(
        options.model.encode(), llama_cpp.llama_model_default_params()
    )
    check(model, f"cannot load {options.model}")
    params = llama_cpp.llama_context_default_params()
    # Not above the context that the model was made for: LongRoPE is chosen by it.
    params.n_ctx = options.context or len(ids)
    params.n_batch = max(len(ids), params.n_batch)
    params.n_threads = params.n_threads_batch = options.threads
    params.type_k = params.type_v = KV_TYPES[options.kv]
    context = llama_cpp.llama_init_from_model(model, params)
    check(context, "made no context")
    words = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(model))
    batch = llama_cpp.llama_batch_init(len(ids), 0, 1)
    batch.n_tokens = len(ids)
    for at, token in enumerate(ids):
        batch.token[at] = token
        batch.pos[at] = at
        batch.n_seq_id[at] = 1
        batch.seq_id[at][0] = 0
        batch.logits[at] = at >= len(ids) - options.last
    status = llama_cpp.llama_decode(context, batch)
    check(status == 0, f"llama_decode failed with {status}")
    return [
        list(llama_cpp.llama_get_logits_ith(context, at)[:words])
        for at in range(len(ids) - options.last, len(ids))
    ]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--ids", required=True, help="with commas between")
    parser.add_argument("--last", type=int, default=1)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--context", type=int)
    parser.add_argument("--kv", choices=KV_TYPES, default="f16")
    options = parser.parse_args()
    llama_cpp.llama_log_set(keep_log, ctypes.c_void_p(0))
    llama_cpp.llama_backend_init()
    ids = [int(word) for word in options.ids.split(",")]
    rows = logits(options, ids)
    engine = f"llama.cpp of llama-cpp-python {llama_cpp.__version__}"
    print(json.dumps({"engine": engine, "ids": ids, "logits": rows}, separators=(",", ":")))


main()
