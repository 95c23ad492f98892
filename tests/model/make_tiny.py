"""Tiny untrained safeguards: python make_tiny.py FOLDER KIND…  (run where torch and transformers are)"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

WORDS = "the river rises over stones and you are a fool who will burn".split()
SMALL: dict[str, Any] = {
    "hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 48, "max_position_embeddings": 160,
    "initializer_range": 0.6,
}  # fmt: skip
BERT = ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]")
ROBERTA = ("<s>", "</s>", "<pad>", "<unk>", "<mask>")


def main(folder: Path, kinds: list[str]) -> None:
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    for kind in kinds:
        torch.manual_seed(5)
        names = ROBERTA if "roberta" in kind else BERT
        own = dict(SMALL)
        if kind == "distilbert":
            own |= {"dim": 32, "hidden_dim": 48, "n_layers": 2, "n_heads": 2}
        several = kind in ("bert", "deberta-v2", "modernbert")
        labels = ["insult", "jailbreak", "threat"] if several else ["safe", "jailbreak"]
        config = AutoConfig.for_model(
            kind, **own, vocab_size=40, pad_token_id=1 if "roberta" in kind else 2, cls_token_id=0, sep_token_id=1, bos_token_id=0,
            eos_token_id=1, id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)},
            problem_type="multi_label_classification" if several else "single_label_classification",
        )  # fmt: skip
        model = AutoModelForSequenceClassification.from_config(config)
        model.save_pretrained(folder / kind)
        tokenizer(names, 1 if "roberta" in kind else 2).save_pretrained(folder / kind)


def tokenizer(names: tuple[str, ...], pad: int) -> Any:
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    first, last, padding, unknown, mask = names
    order = [first, padding, last] if pad == 1 else [first, last, padding]
    vocabulary = {word: i for i, word in enumerate([*order, unknown, mask, *WORDS, *"abcdefghijklmnopqrstuvwxyz"][:40])}
    inner = Tokenizer(models.WordLevel(vocabulary, unknown))
    inner.normalizer, inner.pre_tokenizer = normalizers.Lowercase(), pre_tokenizers.Whitespace()
    inner.post_processor = processors.TemplateProcessing(
        single=f"{first} $A {last}", pair=f"{first} $A {last} $B:1 {last}:1",
        special_tokens=[(first, vocabulary[first]), (last, vocabulary[last])],
    )  # fmt: skip
    return PreTrainedTokenizerFast(
        tokenizer_object=inner, cls_token=first, sep_token=last, pad_token=padding, unk_token=unknown, mask_token=mask,
        model_max_length=160,
    )  # fmt: skip


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
