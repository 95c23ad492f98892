"""Sexual writing between adults, of which the pool has little beyond posts and questions; and love, medicine and education
beside it, which is nobody's business to stop."""

from __future__ import annotations

from typing import Any

from training.made import Filled, fill, row

WHO = {
    "en": (
        "two colleagues", "a married couple", "a nurse and her patient's brother", "two strangers on a night train",
        "a queen and her guard",
           "an elf and a knight", "a teacher and a plumber", "two women in a hotel", "my wife and me", "a vampire and a widow"),
    "fr": (
        "deux collègues", "un couple marié", "deux inconnus dans un train", "une reine et son garde",
        "deux femmes à l'hôtel",
    ),
    "de": ("zwei Kollegen", "ein Ehepaar", "zwei Fremde im Nachtzug", "eine Königin und ihr Wächter", "zwei Frauen im Hotel"),
    "es": (
        "dos compañeros", "un matrimonio", "dos desconocidos en un tren", "una reina y su guardia",
        "dos mujeres en un hotel",
    ),
}  # fmt: skip
ASKED = {
    "en": (
        "Write an erotic story about {who}.", "Write a very explicit sex scene with {who}.",
        "Describe in detail how {who} make love, leave nothing out.",
           "Role-play with me: {who}, naked, no limits.", "Continue this steamy scene between {who} until they climax.",
           "Give me dirty talk for {who}.", "I want smut about {who}, as graphic as you can."),
    "fr": (
        "Écris une histoire érotique sur {who}.", "Décris en détail comment {who} font l'amour.",
        "Je veux une scène de sexe très crue entre {who}.",
    ),
    "de": (
        "Schreib eine erotische Geschichte über {who}.", "Beschreibe ausführlich den Sex zwischen {who}.",
        "Ich will eine sehr explizite Szene: {who}, nackt.",
    ),
    "es": (
        "Escribe un relato erótico sobre {who}.", "Describe con detalle cómo hacen el amor {who}.",
        "Quiero una escena de sexo muy explícita entre {who}.",
    ),
}  # fmt: skip
TOLD = {
    "en": (
        "She unbuttoned his shirt, pushed him onto the bed and climbed on top, moaning as he slid inside her.",
        "His hands moved up her naked thighs while she begged him to go deeper, harder, until she came with a cry.",
        "He kissed her breasts and went down between her legs, licking her slowly until her hips shook.",
        "She took him into her mouth and looked up at him, and he groaned and grabbed her hair.",
        "They were naked under the shower, her back against the tiles, his cock pressed into her from behind.",
        "I am so wet for you tonight, she whispered, touch me there, don't stop, I want to feel you in me.",
        "He spanked her bare bottom and she gasped with pleasure, asking for more.",
        "Her nipples hardened under his tongue, and she spread her legs for him with a sigh.",
    ),
    "fr": (
        "Elle déboutonna sa chemise, le poussa sur le lit et gémit quand il entra en elle.",
        "Il embrassa ses seins puis descendit entre ses cuisses, la léchant jusqu'à ce qu'elle jouisse.",
        "Ils étaient nus sous la douche, et il la prit contre le mur pendant qu'elle criait de plaisir.",
    ),
    "de": (
        "Sie knöpfte sein Hemd auf, stieß ihn aufs Bett und stöhnte, als er in sie eindrang.",
        "Er küsste ihre Brüste und leckte sie zwischen den Schenkeln, bis sie kam.",
        "Nackt standen sie unter der Dusche, und er nahm sie von hinten, während sie vor Lust schrie.",
    ),
    "es": (
        "Ella le desabrochó la camisa, lo empujó a la cama y gimió cuando él entró en ella.",
        "Él besó sus pechos y bajó entre sus muslos, lamiéndola hasta que se corrió.",
        "Estaban desnudos bajo la ducha y él la tomó por detrás mientras ella gritaba de placer.",
    ),
}  # fmt: skip
AROUND = {
    "en": (
        "", "The rain beat on the window. ", "It was late, and the fire had burned down. ",
        "Nobody else was on that floor of the hotel. ",
    ),
    "fr": ("", "La pluie battait les vitres. ", "Il était tard. "),
    "de": ("", "Der Regen schlug ans Fenster. ", "Es war spät. "),
    "es": ("", "La lluvia golpeaba la ventana. ", "Era tarde. "),
}  # fmt: skip
CALM = {
    "en": (
        "Write a love story about {who}.", "Write a romantic dinner scene with {who}.",
        "{who} kissed at the station and said goodbye.",
        "Plan a weekend away for {who}.", "Write wedding vows for {who}.", "What should {who} cook together?",
        "How do I talk to my partner about contraception?", "What is consent, and how do I explain it to teenagers?",
        "Which methods of birth control are the safest?", "How is chlamydia treated?", "What happens at a smear test?",
        "Is it normal to have less sex after a birth?", "How do I check my breasts for lumps?", "What does a urologist do?",
        "At what age does puberty begin?", "Explain how human reproduction works for a biology lesson.",
        "How do I come out to my parents?",
        "She held his hand through the night and he fell asleep on her shoulder.",
        "He kissed her on the cheek and ran for the bus.",
        "The nude in Western painting: a short history.", "Why is breastfeeding in public a debate?",
        "Which dress suits a first date?",
    ),
    "fr": (
        "Écris une histoire d'amour sur {who}.", "Organise un week-end pour {who}.",
        "Quelle contraception choisir après un accouchement ?",
        "Comment expliquer le consentement aux adolescents ?", "Il l'embrassa sur la joue et courut vers le bus.",
        "Comment se passe un frottis ?",
        "Le nu dans la peinture : une brève histoire.", "Comment palper ses seins pour dépister un cancer ?",
    ),
    "de": (
        "Schreib eine Liebesgeschichte über {who}.", "Plane ein Wochenende für {who}.",
        "Welche Verhütung ist nach einer Geburt geeignet?",
        "Wie erklärt man Jugendlichen Zustimmung?", "Er küsste sie auf die Wange und lief zum Bus.",
        "Wie läuft ein Abstrich ab?",
        "Der Akt in der Malerei: eine kurze Geschichte.", "Wie taste ich meine Brust ab?",
    ),
    "es": (
        "Escribe una historia de amor sobre {who}.", "Planea un fin de semana para {who}.",
        "¿Qué anticonceptivo conviene tras un parto?",
        "¿Cómo explicar el consentimiento a los adolescentes?", "Él la besó en la mejilla y corrió al autobús.",
        "¿Cómo es una citología?",
        "El desnudo en la pintura: breve historia.", "¿Cómo me exploro los pechos?",
    ),
}  # fmt: skip


def rows() -> list[dict[str, Any]]:
    found = []
    for lang, who in WHO.items():
        for template in ASKED[lang]:
            found += [row(Filled(text, lang, "intimacy"), {"sexual": 1}) for text in fill(template, {"who": who})]
        for told in TOLD[lang]:
            found += [row(Filled(f"{before}{told}", lang, "intimacy", "assistant"), {"sexual": 1}) for before in AROUND[lang]]
        for template in CALM[lang]:
            texts = [text[0].upper() + text[1:] for text in fill(template, {"who": who})]
            found += [row(Filled(text, lang, "calm-intimacy"), {}) for text in texts]
    return found
