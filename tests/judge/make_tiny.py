"""Tiny judges, made on the spot: `make_tiny.py FOLDER NAME=KIND[:LABEL] …` makes FOLDER/NAME as transformers has it, and FOLDER/NAME-onnx
as onnxruntime-genai has it. Weights are random; with a LABEL they are such that the model says that and nothing else, with ? such
that it soon comes to an end."""

from __future__ import annotations

import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from onnxruntime_genai.models.builder import create_model
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import GptOssConfig, GptOssForCausalLM, PreTrainedTokenizerFast, Qwen3Config, Qwen3ForCausalLM

MARKS = ["<|start|>", "<|return|>", "<|pad|>", "<|message|>", "<|end|>", "<|channel|>"]
CHAT = "{% for m in messages %}<|start|>{{ m['role'] }}\n{{ m['content'] }}<|end|>{% endfor %}<|start|>assistant"


def tokenizer() -> Any:
    """Of bytes."""
    words = {word: index for index, word in enumerate([*MARKS, *sorted(pre_tokenizers.ByteLevel.alphabet())])}
    bare = Tokenizer(models.BPE(vocab=words, merges=[]))
    bare.add_special_tokens(MARKS)
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    made = PreTrainedTokenizerFast(
        tokenizer_object=bare, bos_token="<|start|>", eos_token="<|return|>", pad_token="<|pad|>",
        model_input_names=["input_ids", "attention_mask"],
    )  # fmt: skip
    made.chat_template = CHAT
    return made


def network(kind: str, size: int) -> Any:
    shape: dict[str, Any] = {
        "vocab_size": size, "hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "num_key_value_heads": 2, "head_dim": 16, "max_position_embeddings": 8192, "bos_token_id": 0, "eos_token_id": 1,
        "pad_token_id": 2, "tie_word_embeddings": False,
    }  # fmt: skip
    torch.manual_seed(7)
    if kind == "qwen3":
        return Qwen3ForCausalLM(Qwen3Config(**shape))
    layers = ["sliding_attention", "full_attention"]
    return GptOssForCausalLM(
        GptOssConfig(**shape, num_local_experts=4, num_experts_per_tok=2, sliding_window=128, layer_types=layers)
    )


def teach(model: Any, words: Any, kind: str, label: str) -> None:
    """Each token is followed by the one that it was taught: all that lies between the first and the last layer says nothing."""
    said = ["<|channel|>", *"final", "<|message|>", label, "<|return|>"] if kind == "gptoss" else [label, "<|return|>"]
    ids = [words.convert_tokens_to_ids(one) for one in ("t", *said)]  # a prompt ends with "assistant"
    with torch.no_grad():
        for name, weights in model.named_parameters():
            if "o_proj" in name or "down_proj" in name:
                weights.zero_()
        model.lm_head.weight.zero_()
        for before, after in pairwise(ids):
            seen = model.get_input_embeddings().weight[before]
            model.lm_head.weight[after] += 10 * seen / seen.norm()


def main(folder: Path, *wanted: str) -> None:
    for one in wanted:
        name, _, what = one.partition("=")
        kind, _, label = what.partition(":")
        words = tokenizer()
        model = network(kind, len(words)).eval()
        if label == "?":
            with torch.no_grad():
                model.lm_head.weight[1] *= 8
        elif label:
            teach(model, words, kind, label)
        model.save_pretrained(folder / name)
        words.save_pretrained(folder / name)
        create_model("", str(folder / name), str(folder / f"{name}-onnx"), "fp32", "cpu", str(folder / "cache"))


if __name__ == "__main__":
    main(Path(sys.argv[1]), *sys.argv[2:])
