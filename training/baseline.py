"""What a classifier must beat: TF-IDF of words and characters, one logistic regression a category.

python -m training.baseline DATA
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
from scipy.sparse import hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from proxy.evaluate.metrics import auprc
from proxy.types import CATEGORIES
from training.data import read


def main(data: Path) -> None:
    train, dev = list(read(data / "train")), list(read(data / "dev"))
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=3, max_features=150_000, sublinear_tf=True)
    chars = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), min_df=5, max_features=150_000, sublinear_tf=True)
    texts = [r["text"][:2000] for r in train]
    known = hstack([words.fit_transform(texts), chars.fit_transform(texts)]).tocsr()
    asked = [r["text"][:2000] for r in dev]
    unseen = hstack([words.transform(asked), chars.transform(asked)]).tocsr()
    found = []
    for category in CATEGORIES:
        some = [i for i, r in enumerate(train) if r["labels"].get(category) is not None]
        rest = [i for i, r in enumerate(dev) if r["labels"].get(category) is not None]
        fit = LogisticRegression(C=4.0, solver="liblinear", class_weight="balanced")
        fit.fit(known[some], [train[i]["labels"][category] for i in some])
        labels = np.array([float(dev[i]["labels"][category]) for i in rest])
        found.append(auprc(labels, fit.predict_proba(unseen[rest])[:, 1]))
        print(f"{category:14} {found[-1]:.3f}", flush=True)
    print(f"{'mean':14} {np.mean(found):.3f}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
