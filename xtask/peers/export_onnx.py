"""An int4 model for ONNX Runtime GenAI out of a Q4_0 GGUF file of the phi3 architecture.

The graph is the one that onnxruntime-genai's own builder makes of this family for CPUs (`-p int4
-e cpu`: blocks of 32, accuracy level 4, shared embedding and head), without its need of PyTorch and
of weights in safetensors. Q4_0 and int4 of block 32 are the same numbers in another order, so the
weights are exactly those of the file. What the file has in another type (the embedding, which
llama.cpp's recipe keeps in Q6_K) is rounded to int4, as the builder does with it.
"""

import argparse
import json
import shutil
import sys
from pathlib import Path

import gguf
import numpy as np
from onnx import TensorProto, helper

BLOCK = 32
ROWS_AT_ONCE = 4096
MICROSOFT = "com.microsoft"
MASK = "/model/attn_mask_reformat/attn_mask_subgraph"


class Writer:
    """Nodes of the graph, and tensors in a file beside it."""

    def __init__(self, data):
        self.data, self.offset = data, 0
        self.nodes, self.tensors = [], []

    def node(self, kind, inputs, outputs, domain="", **attributes):
        name = outputs[0]
        made = helper.make_node(kind, inputs, outputs, name=name, domain=domain, **attributes)
        self.nodes.append(made)
        return outputs[0]

    def constant(self, name, values):
        array = np.asarray(values, dtype=np.int64)
        tensor = helper.make_tensor(name, TensorProto.INT64, array.shape, array.flatten().tolist())
        return self.node("Constant", [], [name], value=tensor)

    def tensor(self, name, kind, shape, parts):
        """Writes a tensor that comes in parts."""
        start = self.offset = -(-self.offset // 4096) * 4096
        self.data.seek(start)
        for part in parts:
            self.data.write(np.ascontiguousarray(part).data)
            self.offset += part.nbytes
        tensor = TensorProto(name=name, data_type=kind, dims=shape)
        tensor.data_location = TensorProto.EXTERNAL
        for key, value in (
            ("location", Path(self.data.name).name),
            ("offset", start),
            ("length", self.offset - start),
        ):
            tensor.external_data.add(key=key, value=str(value))
        self.tensors.append(tensor)
        return name

    def vector(self, name, values):
        return self.tensor(name, TensorProto.FLOAT, values.shape, [values.astype(np.float32)])

    def matrix(self, name, rows):
        """Weights and scales of a matrix given as a function of ranges of rows."""
        count, columns, codes_of = rows
        ranges = [(first, min(first + ROWS_AT_ONCE, count)) for first in range(0, count, ROWS_AT_ONCE)]
        blocks = columns // BLOCK
        weights, scales = f"{name}.MatMul.weight_Q4", f"{name}.MatMul.weight_scales"
        codes = (codes_of(*each)[0] for each in ranges)
        self.tensor(weights, TensorProto.UINT8, (count, blocks, BLOCK // 2), codes)
        steps = (codes_of(*each)[1] for each in ranges)
        self.tensor(scales, TensorProto.FLOAT, (count, blocks), steps)
        return weights, scales

    def product(self, path, source, name, rows):
        weights, scales = self.matrix(name, rows)
        return self.multiply(path, source, weights, scales, rows)

    def multiply(self, path, source, weights, scales, rows):
        count, columns, _ = rows
        return self.node(
            "MatMulNBits",
            [source, weights, scales],
            [path],
            MICROSOFT,
            K=columns,
            N=count,
            accuracy_level=4,
            bits=4,
            block_size=BLOCK,
        )


def rows_of(tensor, start=0, end=None):
    """Rows of a matrix as (count, columns, codes and scales of a range)."""
    columns, count = (int(size) for size in tensor.shape)
    end = count if end is None else end

    def codes_of(first, last):
        data = tensor.data[start + first : start + last]
        if tensor.tensor_type != gguf.GGMLQuantizationType.Q4_0:
            values = gguf.quants.dequantize(data, tensor.tensor_type)
            data = gguf.quants.quantize(values, gguf.GGMLQuantizationType.Q4_0)
        blocks = np.asarray(data).reshape(last - first, columns // BLOCK, 2 + BLOCK // 2)
        scales = blocks[..., :2].copy().view(np.float16)[..., 0].astype(np.float32)
        halves = blocks[..., 2:]
        # Here a byte has elements 16 apart, there neighbours.
        ordered = np.concatenate([halves & 15, halves >> 4], axis=-1)
        return ordered[..., 0::2] | (ordered[..., 1::2] << 4), scales

    return end - start, columns, codes_of


class Exporter:
    def __init__(self, path, writer):
        reader = gguf.GGUFReader(path)
        self.fields = {key: field for key, field in reader.fields.items()}
        if self.value("general.architecture") != "phi3":
            sys.exit(f"{path}: the architecture is not phi3")
        self.tensors = {tensor.name: tensor for tensor in reader.tensors}
        self.writer = writer
        self.layers, self.hidden = self.number("block_count"), self.number("embedding_length")
        self.heads = self.number("attention.head_count")
        self.kv_heads = self.number("attention.head_count_kv")
        self.wide, self.context = self.number("feed_forward_length"), self.number("context_length")
        self.original = self.number("rope.scaling.original_context_length")
        self.epsilon = self.number("attention.layer_norm_rms_epsilon")
        self.head_size = self.hidden // self.heads
        self.words = int(self.tensors["token_embd.weight"].shape[1])

    def value(self, key):
        return self.fields[key].contents()

    def number(self, key):
        return self.value(f"phi3.{key}")

    def vector(self, name, tensor):
        return self.writer.vector(name, np.asarray(self.tensors[tensor].data))

    def caches(self, kind):
        """Cosines and sines of every position."""
        base, dims = self.number("rope.freq_base"), self.number("rope.dimension_count")
        factors = np.asarray(self.tensors[f"rope_factors_{kind}.weight"].data, dtype=np.float64)
        frequencies = 1.0 / (factors * base ** (np.arange(0, dims, 2) / dims))
        count = self.context if kind == "long" else self.original
        angles = np.arange(count)[:, None] * frequencies
        scale = self.number("rope.scaling.attn_factor")
        made = []
        for name, function in (("cos_cache", np.cos), ("sin_cache", np.sin)):
            values = (function(angles) * scale).astype(np.float32)
            tensor = helper.make_tensor("", TensorProto.FLOAT, values.shape, values.tobytes(), True)
            name = f"{name}_{kind}"
            made.append(helper.make_node("Constant", [], [name], name=name, value=tensor))
        outputs = [
            helper.make_tensor_value_info(node.output[0], TensorProto.FLOAT, None) for node in made
        ]
        return helper.make_graph(made, kind, [], outputs)

    def positions(self):
        """Lengths out of the mask, and the rotary caches that go with them."""
        writer = self.writer
        one = writer.constant("/model/constants/INT64/1", 1)
        shape = writer.node("Shape", ["attention_mask"], [f"{MASK}/Shape/output_0"])
        total = writer.node("Gather", [shape, one], [f"{MASK}/Gather/output_0"], axis=0)
        original = writer.constant("/model/constants/INT64/original", self.original)
        is_long = writer.node("Greater", [total, original], ["/model/rope_caches_subgraph/Greater"])
        writer.node(
            "If",
            [is_long],
            ["cos_cache", "sin_cache"],
            then_branch=self.caches("long"),
            else_branch=self.caches("short"),
        )
        axis = writer.constant("/model/constants/INT64/[1]", [1])
        lengths = [f"{MASK}/ReduceSum/output_0"]
        length = writer.node("ReduceSum", ["attention_mask", axis], lengths, keepdims=0)
        last = writer.node("Sub", [length, axis], [f"{MASK}/Sub/output_0"])
        casts = [(last, f"{MASK}/Sub/Cast/output_0"), (total, f"{MASK}/Gather/Cast/output_0")]
        return [writer.node("Cast", [source], [out], to=TensorProto.INT32) for source, out in casts]

    def layer(self, layer, state, residual, lengths):
        """Returns what the two branches of the next normalisation add up."""
        writer, path, block = self.writer, f"/model/layers.{layer}", f"blk.{layer}"
        name = f"model.layers.{layer}"

        def product(part, source, tensor, *rows):
            rows = rows_of(self.tensors[f"{block}.{tensor}.weight"], *rows)
            return writer.product(f"{path}/{part}/MatMul/output_0", source, f"{name}.{part}", rows)

        qkv = product("attn/qkv_proj", state, "attn_qkv")
        attention = writer.node(
            "GroupQueryAttention",
            [qkv, "", "", f"past_key_values.{layer}.key", f"past_key_values.{layer}.value"]
            + [*lengths, "cos_cache", "sin_cache", "", "", ""],
            [f"{path}/attn/GroupQueryAttention/output_0"]
            + [f"present.{layer}.key", f"present.{layer}.value"],
            MICROSOFT,
            num_heads=self.heads,
            kv_num_heads=self.kv_heads,
            scale=self.head_size**-0.5,
            local_window_size=-1,
            softcap=0.0,
            do_rotary=1,
            rotary_interleaved=0,
        )
        output = product("attn/o_proj", attention, "attn_output")
        norm = self.vector(f"{name}.post_attention_layernorm.weight", f"{block}.ffn_norm.weight")
        state, residual = self.add_and_norm(f"{path}/post_attention_layernorm", residual, output, norm)
        gate = product("mlp/gate_proj", state, "ffn_up", 0, self.wide)
        up = product("mlp/up_proj", state, "ffn_up", self.wide, 2 * self.wide)
        sigmoid = writer.node("Sigmoid", [gate], [f"{path}/mlp/act_fn/Sigmoid/output_0"])
        silu = writer.node("Mul", [gate, sigmoid], [f"{path}/mlp/act_fn/Mul/output_0"])
        both = writer.node("Mul", [silu, up], [f"{path}/mlp/Mul/output_0"])
        return residual, product("mlp/down_proj", both, "ffn_down")

    def add_and_norm(self, path, residual, output, norm):
        outputs = [f"{path}/output_0", "", "", f"{path}/output_3"]
        self.writer.node(
            "SkipSimplifiedLayerNormalization",
            [residual, output, norm],
            outputs,
            MICROSOFT,
            epsilon=self.epsilon,
        )
        return outputs[0], outputs[3]

    def graph(self):
        writer = self.writer
        rows = rows_of(self.tensors["token_embd.weight"])
        weights, scales = writer.matrix("lm_head", rows)
        lengths = self.positions()
        shape = writer.constant("/model/constants/INT64/table", [self.words, self.hidden // 2])
        flat = writer.node("Reshape", [weights, shape], ["/model/embed_tokens/Reshape/output_0"])
        residual = writer.node(
            "GatherBlockQuantized",
            [flat, "input_ids", scales],
            ["/model/embed_tokens/GatherBlockQuantized/output_0"],
            MICROSOFT,
            bits=4,
            block_size=BLOCK,
            gather_axis=0,
            quantize_axis=1,
        )
        output = None
        for layer in range(self.layers):
            name = f"layers.{layer}.input_layernorm"
            norm = self.vector(f"model.{name}.weight", f"blk.{layer}.attn_norm.weight")
            if output is None:
                state = writer.node(
                    "SimplifiedLayerNormalization",
                    [residual, norm],
                    [f"/model/{name}/output_0"],
                    axis=-1,
                    epsilon=self.epsilon,
                    stash_type=1,
                )
            else:
                state, residual = self.add_and_norm(f"/model/{name}", residual, output, norm)
            residual, output = self.layer(layer, state, residual, lengths)
        norm = self.vector("model.final_norm.weight", "output_norm.weight")
        state, _ = self.add_and_norm("/model/final_norm", residual, output, norm)
        writer.multiply("logits", state, weights, scales, rows)
        return helper.make_graph(writer.nodes, "model", *self.ends(), writer.tensors)

    def ends(self):
        def info(name, kind, shape):
            return helper.make_tensor_value_info(name, kind, shape)

        def cache(name, tokens):
            shape = ["batch_size", self.kv_heads, tokens, self.head_size]
            return info(name, TensorProto.FLOAT, shape)

        inputs = [
            info("input_ids", TensorProto.INT64, ["batch_size", "sequence_length"]),
            info("attention_mask", TensorProto.INT64, ["batch_size", "total_sequence_length"]),
        ]
        shape = ["batch_size", "sequence_length", self.words]
        outputs = [info("logits", TensorProto.FLOAT, shape)]
        for layer in range(self.layers):
            for part in ("key", "value"):
                inputs.append(cache(f"past_key_values.{layer}.{part}", "past_sequence_length"))
                outputs.append(cache(f"present.{layer}.{part}", "total_sequence_length"))
        return inputs, outputs

    def config(self):
        names = {
            part: f"past_key_values.%d.{part.split('_')[1]}" for part in ("past_key", "past_value")
        }
        return {
            "model": {
                "type": "phi3",
                "vocab_size": self.words,
                "context_length": self.context,
                "bos_token_id": self.words - 1,
                "eos_token_id": self.words - 1,
                "pad_token_id": self.words - 1,
                "decoder": {
                    "session_options": {"log_id": "onnxruntime-genai", "provider_options": []},
                    "filename": "model.onnx",
                    "head_size": self.head_size,
                    "hidden_size": self.hidden,
                    "num_attention_heads": self.heads,
                    "num_hidden_layers": self.layers,
                    "num_key_value_heads": self.kv_heads,
                    "inputs": {
                        "input_ids": "input_ids",
                        "attention_mask": "attention_mask",
                        "past_key_names": names["past_key"],
                        "past_value_names": names["past_value"],
                    },
                    "outputs": {
                        "logits": "logits",
                        "present_key_names": "present.%d.key",
                        "present_value_names": "present.%d.value",
                    },
                },
            },
            "search": {
                "do_sample": False,
                "max_length": self.context,
                "past_present_share_buffer": True,
            },
        }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("gguf")
    parser.add_argument("folder")
    options = parser.parse_args()
    # Made aside, so that an interrupted run leaves no half model under the name.
    folder, aside = Path(options.folder), Path(options.folder + ".part")
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    with open(aside / "model.onnx.data", "wb") as data:
        exporter = Exporter(options.gguf, Writer(data))
        graph = exporter.graph()
    opsets = [helper.make_opsetid("", 22), helper.make_opsetid(MICROSOFT, 1)]
    model = helper.make_model(graph, opset_imports=opsets, ir_version=10)
    (aside / "model.onnx").write_bytes(model.SerializeToString())
    (aside / "genai_config.json").write_text(json.dumps(exporter.config(), indent=2))
    aside.rename(folder)


main()
