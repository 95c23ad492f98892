from __future__ import annotations

import pytest

from proxy.text.language import language_of


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("What would be a good present for my grandmother, who loves gardening?", "en"),
        ("Quel cadeau pourrais-je offrir à ma grand-mère qui aime le jardinage ?", "fr"),
        ("Was könnte ich meiner Großmutter schenken, die gern im Garten arbeitet?", "de"),
        ("¿Qué podría regalarle a mi abuela, a quien le gusta la jardinería?", "es"),
        ("Che cosa potrei regalare a mia nonna, che ama il giardinaggio?", "it"),
    ],
)
def test_sentences(text: str, language: str) -> None:
    assert language_of(text) == language


@pytest.mark.parametrize("text", ["", "   ", "ok", "12345", "x = f(y)"])
def test_nobody_guesses(text: str) -> None:
    assert language_of(text) == ""
