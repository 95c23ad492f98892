"""Fine-tunes the encoder on the pool: masked multi-label loss, balanced sampling, random contexts, windows and prefixes."""

import argparse
import gzip
import json
import os
import random
import time
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
import numpy as np
import torch
from transformers import AutoModelForSequenceClassification, AutoTokenizer

CATS = ("harassment", "hate", "self_harm", "sexual", "sexual_minors", "violence", "illicit", "jailbreak", "injection")
ap = argparse.ArgumentParser()
ap.add_argument("data")
ap.add_argument("encoder")
ap.add_argument("--work", required=True)
ap.add_argument("--minutes", type=float, default=22)
ap.add_argument("--seed", type=int, default=7)
ap.add_argument("--threads", type=int, default=2)
ap.add_argument("--lr", type=float, default=1e-4)
ap.add_argument("--len", type=int, default=96)
a = ap.parse_args()
torch.set_num_threads(a.threads)
random.seed(a.seed)
torch.manual_seed(a.seed)
np.random.seed(a.seed)
work = Path(a.work)
work.mkdir(exist_ok=True, parents=True)


def rows(folder):
    for f in sorted(Path(folder).glob("*.jsonl.gz")):
        for line in gzip.open(f, "rt", encoding="utf-8"):
            yield json.loads(line)


data = list(rows(Path(a.data) / "train"))
by = {}
for i, r in enumerate(data):
    by.setdefault(r["source"], []).append(i)
Y = np.array([[(-1.0 if r["labels"].get(c) is None else float(r["labels"][c])) for c in CATS] for r in data], dtype=np.float32)
w = np.zeros(len(data))
for s, ids in by.items():
    each = (len(ids) ** 0.6) / len(ids)
    if s.startswith("synthetic"):
        each *= 0.35
    w[ids] = each
pos = (Y == 1).sum(0)
rare = np.clip((2500 / np.maximum(pos, 1)) ** 0.5, 0.6, 3.0)
w *= np.where((Y == 1).any(1), 1.3 * np.where(Y == 1, rare, 0).max(1), 1.0)
held = np.array(
    [
        hash_ % 10 == 0
        for hash_ in (
            int.from_bytes(__import__("hashlib").blake2b(r["id"].encode(), digest_size=4).digest(), "big") for r in data
        )
    ]
)
np.save(work / "held.npy", held)
w[held] = 0
w /= w.sum()
tok = AutoTokenizer.from_pretrained(a.encoder)
model = AutoModelForSequenceClassification.from_pretrained(
    a.encoder, num_labels=len(CATS), problem_type="multi_label_classification"
)
LEET = str.maketrans("aeiost", "431057")
HOMO = str.maketrans("aeopcx", "аеорсх")


def augment(t):
    u = random.random()
    if u < 0.86 or len(t) > 600:
        return t
    if u < 0.89:
        return t.translate(LEET)
    if u < 0.91:
        return "".join(c.translate(HOMO) if random.random() < 0.3 else c for c in t)
    if u < 0.93:
        return t.upper()
    if u < 0.96:
        return t.lower()
    cs = list(t)
    for _ in range(max(1, len(cs) // 25)):
        j = random.randrange(len(cs))
        if random.random() < 0.5 and len(cs) > 3:
            cs.pop(j % len(cs))
        else:
            cs.insert(j, random.choice("aeinrst "))
    return "".join(cs)


def crop(t, long_ok):
    if len(t) > 420:
        k = 420
        s = 0 if random.random() < 0.55 else random.randrange(len(t) - k)
        t = t[s : s + k]
    if long_ok and random.random() < 0.12 and len(t) > 40:
        t = t[: random.randrange(20, len(t))]
    return t


def sample(n):
    ids = np.random.choice(len(data), n, p=w)
    out = []
    for i in ids:
        r = data[i]
        y = Y[i].copy()
        t = r["text"]
        whole = len(t) <= 420
        t2 = crop(t, (y != 1).all())
        if not whole and (y == 1).any() and r["role"] == "document":
            t2 = t[:420] if random.random() < 0.5 else t[-420:]
        c = None
        if random.random() < 0.25:
            c = data[int(np.random.choice(len(data), p=w))]["text"][-200:]
        out.append((augment(t2), c, y))
    return out


def batches(items, bs=32):
    def one(t, c):
        if not c:
            return tok(t, truncation=True, max_length=a.len)
        x = tok(c, add_special_tokens=False)["input_ids"][-48:]
        z = tok(t, add_special_tokens=False)["input_ids"][: a.len - 3]
        return {
            "input_ids": [101, *x, 102, *z, 102],
            "token_type_ids": [0] * (len(x) + 2) + [1] * (len(z) + 1),
            "attention_mask": [1] * (len(x) + len(z) + 3),
        }

    enc = [one(t, c) for t, c, _ in items]
    order = sorted(range(len(items)), key=lambda i: len(enc[i]["input_ids"]))
    groups = [order[i : i + bs] for i in range(0, len(order), bs)]
    random.shuffle(groups)
    for g in groups:
        b = tok.pad([enc[i] for i in g], return_tensors="pt")
        yield b, torch.tensor(np.stack([items[i][2] for i in g]))


head = [p for n, p in model.named_parameters() if n.startswith("classifier")]
body = [p for n, p in model.named_parameters() if not n.startswith("classifier")]
opt = torch.optim.AdamW([{"params": body, "lr": a.lr}, {"params": head, "lr": a.lr * 10}], weight_decay=0.01)
base = [g["lr"] for g in opt.param_groups]
model.train()
t0 = time.time()
total = a.minutes * 60
step = seen = 0
run = 0.0
while (el := time.time() - t0) < total:
    for b, y in batches(sample(1024)):
        f = min(1.0, (time.time() - t0) / total)
        k = min(1.0, f / 0.05) * max(0.02, 1 - f)
        for g, l in zip(opt.param_groups, base):
            g["lr"] = l * k
        logit = model(**b).logits
        m = (y >= 0).float()
        loss = (
            (torch.nn.functional.binary_cross_entropy_with_logits(logit, y.clamp(min=0), reduction="none") * m).sum()
            / m.sum()
            * 4
        )
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        opt.step()
        opt.zero_grad(set_to_none=True)
        step += 1
        seen += len(y)
        run = 0.98 * run + 0.02 * float(loss)
    print(f"{el:6.0f}s step {step} seen {seen} loss {run / (1 - 0.98**step):.4f}", flush=True)
    if step % 640 < 32:
        model.save_pretrained(work / "model")
        tok.save_pretrained(work / "model")
model.save_pretrained(work / "model")
tok.save_pretrained(work / "model")
print("done", seen, flush=True)
