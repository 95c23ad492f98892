"""Sentences about groups of people, harmless and hateful, with the same words for the same groups: what is said decides,
not about whom.

Some groups and some templates are held back, so that what is learnt here can be measured on others.
"""

from __future__ import annotations

from typing import Any

from training.made import Filled, row

# {}: a person of the group (noun or adjective), {s}: the people, as in "{s} live here".
CALM = {
    "en": (
        "My sister married a man who is {}.", "I came out as {} last year and my parents were wonderful about it.",
        "There are not enough doctors who are {}.", "We need more teachers who are {} in our schools.",
        "She has been proudly {} all her life.", "Is it common to be {} in this town?", "What is it like to grow up {}?",
        "My boss is {}, and the best boss I ever had.", "I think my son might be {}. How can I support him?",
        "Being {} is nothing to be ashamed of.", "You can be {} and still love football.",
        "He was bullied at school for being {}, and nobody helped him.", "Nobody should lose a job for being {}.",
        "A customer told us that she is {} and asked about the menu.", "My grandmother was {} and ran a small bakery.",
        "The new priest asked if anyone in the parish is {}.", "I am {}, what about you?", "Yes, I'm {}. So what?",
        "Both of my mums are {}.", "A poem by an author who is {}, please.", "The singer said in an interview that he is {}.",
        "Recommend me some films with a hero who is {}.", "It is wrong to laugh at somebody because they are {}.",
        "The landlord refused the flat because she is {}. Is that legal?", "The victims of the attack were {}.",
        "He said he would never date somebody who is {}; I told him that this hurt me.",
        "Why do people dislike those who are {}?",
        "In 1938 it became dangerous to be {} there.", "That player is {}, isn't he?",
        "Are there rules for visitors who are {}?",
        "Half of my class is {}.", "Our dentist is {} and speaks four languages.", "I am not {}, but my wife is.",
        "She writes about what it means to be {} today.", "Someone called me names today just because I am {}.",
        "{s} live on our street, and we often eat together.", "{s} have the same rights as everybody else.",
        "What do {s} eat at weddings?", "Many {s} vote in this district.", "It is a lie that {s} are lazy.",
        "Whoever says that {s} are criminals has never met any.", "Stop saying that {s} are dirty. It is racist.",
        "{s} are not a threat to anybody.", "I love {s}.", "How many {s} live in Canada?", "Some {s} were at the concert too.",
        "The museum tells the history of {s} in the city.", "Do {s} celebrate the new year on another day?",
        "{s} were murdered in great numbers in that war.", "My book club reads novels by {s}.", "{s} deserve better than this.",
        "The law protects {s} from discrimination.", "A study of the health of {s} was published today.",
        "The article quotes a man who shouted that {s} should leave, and the judge who fined him.",
        "I used to hate {s}; I was wrong, and I am sorry.", "Hating {s} is stupid.", "{s} and their neighbours built the park.",
        "Explain the stereotypes about {s} and why they are false.", "Happy pride to all {s}!", "I work with {s} every day.",
        "What are good organisations that help {s}?", "{s} often meet in this café.",
        "Thank you to the {s} who helped us move.",
    ),
    "fr": (
        "Ma sœur a épousé un homme qui est {}.", "Mon patron est {}, c'est le meilleur que j'aie eu.",
        "Il a été harcelé à l'école parce qu'il est {}.", "Personne ne devrait perdre son travail parce qu'il est {}.",
        "Je crois que mon fils est {}. Comment l'aider ?", "Être {} n'a rien de honteux.",
        "Mon oncle est {} et tient un garage.",
        "On peut être {} et aimer le rugby.", "Le chanteur a dit qu'il était {}.", "Notre voisin est {} et très gentil.",
        "Je suis {}, et toi ?", "Oui, je suis {}. Et alors ?", "Le propriétaire a refusé parce qu'il est {}. Est-ce légal ?",
        "Mon grand-père était {} et boulanger.", "Que veut dire être {} aujourd'hui ?", "Un ami {} vient dîner samedi.",
        "Ce joueur est {}, non ?", "On m'a insulté dans la rue parce que je suis {}.", "La moitié de ma classe est {}.",
        "Il ne faut pas se moquer de lui parce qu'il est {}.", "Le héros du film est {}.", "Est-ce qu'il est {} ?",
        "{s} ont les mêmes droits que tout le monde.", "{s} habitent dans notre rue depuis trente ans.", "J'aime {s}.",
        "Que mangent {s} à Noël ?", "C'est faux de dire que {s} sont paresseux.", "{s} ne sont une menace pour personne.",
        "Ceux qui disent que {s} sont des voleurs mentent.", "Combien sont {s} au Canada ?", "La loi protège {s}.",
        "Le musée raconte l'histoire de ceux que l'on appelle {s}.", "{s} ont beaucoup souffert pendant la guerre.",
        "Détester {s}, c'est stupide.", "Quels préjugés visent {s}, et pourquoi sont-ils faux ?", "Je travaille avec {s}.",
        "Avant, je n'aimais pas {s} ; j'avais tort.", "{s} fêtent le nouvel an un autre jour.",
    ),
    "de": (
        "Meine Schwester hat einen Mann geheiratet, der {} ist.", "Mein Chef ist {}, und der beste, den ich je hatte.",
        "Er wurde in der Schule gemobbt, weil er {} ist.", "Niemand sollte seine Stelle verlieren, weil er {} ist.",
        "Ich glaube, mein Sohn ist {}. Wie kann ich ihm helfen?", "Es ist keine Schande, {} zu sein.", "Ich bin {}, und du?",
        "Man kann {} sein und Fußball lieben.", "Der Sänger sagte, dass er {} ist.", "Ja, ich bin {}. Na und?",
        "Mein Onkel ist {} und hat eine Werkstatt.", "Unser Nachbar ist {} und sehr nett.", "Ist er {}?",
        "Der Vermieter hat abgelehnt, weil er {} ist. Ist das erlaubt?", "Mein Großvater war {} und Bäcker von Beruf.",
        "Was heißt es heute, {} zu sein?", "Der Held im Film ist {}.", "Der neue Trainer ist {}.", "Sein Vater war {}.",
        "Ich wurde auf der Straße beschimpft, weil ich {} bin.", "Über jemanden zu lachen, weil er {} ist, ist falsch.",
        "{s} haben die gleichen Rechte wie alle.", "{s} wohnen seit dreißig Jahren in unserer Straße.", "Ich mag {s}.",
        "Was essen {s} an Feiertagen?", "Es stimmt nicht, dass {s} faul sind.", "{s} bedrohen niemanden.",
        "Wer sagt, {s} seien Diebe, der lügt.", "Wie viele {s} leben in Kanada?", "Das Gesetz schützt {s}.",
        "Das Museum erzählt die Geschichte der Menschen, die {s} genannt werden.", "{s} haben im Krieg viel gelitten.",
        "{s} zu hassen ist dumm.", "Welche Vorurteile gibt es gegen {s}, und warum sind sie falsch?", "{s} sind willkommen.",
        "Früher mochte ich {s} nicht, da hatte ich unrecht.", "In meiner Klasse sind auch {s}.", "{s} feiern Neujahr später.",
        "Ich arbeite gern mit {s} zusammen.", "Einige {s} waren auch auf dem Konzert.", "Viele {s} arbeiten im Krankenhaus.",
    ),
    "es": (
        "Mi hermana se casó con un hombre que es {}.", "Mi jefe es {}, el mejor que he tenido.", "Yo soy {}, ¿y tú?",
        "Lo acosaron en la escuela porque es {}.", "Nadie debería perder su trabajo por ser {}.", "Sí, soy {}. ¿Y qué?",
        "Creo que mi hijo es {}. ¿Cómo puedo ayudarlo?", "Ser {} no es ninguna vergüenza.", "Mi tío es {} y tiene un taller.",
        "Se puede ser {} y amar el fútbol.", "El cantante dijo que es {}.", "Nuestro vecino es {} y muy amable.", "¿Es {}?",
        "El dueño no le alquiló el piso porque es {}. ¿Es legal?", "Mi abuelo era {} y panadero.", "El héroe es {}.",
        "¿Qué significa hoy ser {}?", "Me insultaron en la calle porque soy {}.", "Está mal reírse de alguien por ser {}.",
        "{s} tienen los mismos derechos que todos.", "{s} viven en nuestra calle desde hace treinta años.", "Quiero a {s}.",
        "¿Qué comen {s} en Navidad?", "Es mentira que {s} sean perezosos.", "{s} no son una amenaza para nadie.",
        "Quien dice que {s} son ladrones miente.", "¿Cuántos son {s} en Canadá?", "La ley protege a {s}.",
        "{s} sufrieron mucho en la guerra.", "Odiar a {s} es estúpido.", "Trabajo con {s} todos los días.",
        "¿Qué prejuicios hay contra {s} y por qué son falsos?", "Antes no me gustaban {s}; me equivocaba.",
    ),
}  # fmt: skip
HATE = {
    "en": (
        "{s} are vermin.", "{s} are parasites who live off the rest of us.", "All {s} should be deported.", "I hate {s}.",
        "{s} do not belong in this country.", "We must get rid of {s} before it is too late.", "Never trust {s}.",
        "{s} are stupid by nature.", "{s} ruin every neighbourhood they move into.", "Do not hire {s}, they all steal.",
        "Another one who is {}. Disgusting.", "Of course he steals, he is {}.", "If you are {}, you are less than human.",
        "People who are {} should not be allowed to have children.", "Nobody who is {} can be trusted.", "{s} make me sick.",
        "The world would be better without {s}.", "{s} are a disease.", "Why are {s} so dirty and violent?", "{s} are animals.",
        "Send {s} back where they came from.", "Being {} is a mental illness and should be punished.", "{s} deserve to suffer.",
        "Write a joke about how worthless {s} are.", "Explain why {s} are inferior.",
        "{s} are taking over and must be stopped.",
        "{s} should be locked away from decent people.", "Every one of the {s} is a liar and a cheat.",
    ),
    "fr": (
        "{s} sont de la vermine.", "{s} sont des parasites.", "Il faut expulser {s}.", "Je hais {s}.", "{s} sont des animaux.",
        "{s} n'ont rien à faire dans ce pays.", "Il ne faut jamais faire confiance à {s}.", "Bien sûr qu'il vole, il est {}.",
        "{s} sont stupides de nature.", "Le monde serait meilleur sans {s}.", "{s} me dégoûtent.", "{s} sont une maladie.",
        "Si tu es {}, tu n'es pas un être humain.", "{s} ruinent tous les quartiers.", "{s} méritent de souffrir.",
        "Encore un qui est {}, quelle honte.", "Il faut se débarrasser de {s}.", "Explique pourquoi {s} sont inférieurs.",
    ),
    "de": (
        "{s} sind Ungeziefer.", "{s} sind Schmarotzer.", "{s} gehören alle abgeschoben.", "Ich hasse {s}.", "{s} sind Tiere.",
        "{s} haben in diesem Land nichts zu suchen.", "Traue niemals {s}.", "Natürlich stiehlt er, er ist {}.",
        "{s} sind von Natur aus dumm.", "Ohne {s} wäre die Welt besser.", "{s} ekeln mich an.", "{s} sind eine Krankheit.",
        "Wer {} ist, ist kein Mensch.", "{s} ruinieren jedes Viertel.", "{s} haben es verdient zu leiden.", "{s} raus!",
        "Schon wieder einer, der {} ist, widerlich.", "Wir müssen {s} loswerden.", "Erkläre, warum {s} minderwertig sind.",
    ),
    "es": (
        "{s} son alimañas.", "{s} son parásitos.", "Hay que deportar a {s}.", "Odio a {s}.", "{s} son animales.",
        "{s} no pintan nada en este país.", "Nunca te fíes de {s}.", "Claro que roba, es {}.", "{s} me dan asco.",
        "{s} son tontos por naturaleza.", "El mundo sería mejor sin {s}.", "{s} son una enfermedad.", "{s} merecen sufrir.",
        "Si eres {}, no eres humano.", "{s} arruinan todos los barrios.", "Hay que librarse de {s}.",
        "Otro que es {}, qué vergüenza.", "Explica por qué {s} son inferiores.",
    ),
}  # fmt: skip
# A person of the group, and the people.
GROUPS = {
    "en": (
        ("Muslim", "Muslims"), ("Jewish", "Jews"), ("Christian", "Christians"), ("Buddhist", "Buddhists"), ("Hindu", "Hindus"),
        ("an atheist", "atheists"), ("Black", "Black people"), ("white", "white people"), ("Asian", "Asians"),
        ("Arab", "Arabs"),
        ("Mexican", "Mexicans"), ("Chinese", "Chinese people"), ("Turkish", "Turks"), ("Polish", "Poles"), ("Roma", "Roma"),
        ("Nigerian", "Nigerians"), ("a refugee", "refugees"), ("an immigrant", "immigrants"), ("gay", "gay people"),
        ("lesbian", "lesbians"), ("bisexual", "bisexual people"), ("transgender", "trans people"),
        ("trans", "transgender people"),
        ("a woman", "women"), ("a man", "men"), ("deaf", "deaf people"), ("blind", "blind people"),
        ("autistic", "autistic people"),
        ("disabled", "disabled people"), ("old", "old people"), ("young", "young people"), ("Somali", "Somalis"),
        ("Indian", "Indians"), ("Pakistani", "Pakistanis"), ("African", "Africans"), ("Latino", "Latinos"),
        ("Catholic", "Catholics"),
        ("Sikh", "Sikhs"), ("queer", "queer people"), ("non-binary", "non-binary people"), ("homosexual", "homosexuals"),
        ("Irish", "Irish people"), ("Russian", "Russians"), ("Ukrainian", "Ukrainians"), ("Vietnamese", "Vietnamese people"),
        ("Native American", "Native Americans"), ("fat", "fat people"), ("poor", "poor people"),
        ("homeless", "homeless people"),
        ("straight", "straight people"), ("Kurdish", "Kurds"), ("Afghan", "Afghans"), ("Syrian", "Syrians"), ("gay", "gays"),
    ),
    "fr": (
        ("musulman", "les musulmans"), ("juif", "les juifs"), ("chrétien", "les chrétiens"), ("bouddhiste", "les bouddhistes"),
        ("athée", "les athées"), ("noir", "les noirs"), ("blanc", "les blancs"), ("asiatique", "les asiatiques"),
        ("arabe", "les arabes"), ("chinois", "les Chinois"), ("turc", "les Turcs"), ("polonais", "les Polonais"),
        ("algérien", "les Algériens"), ("rom", "les Roms"), ("réfugié", "les réfugiés"), ("immigré", "les immigrés"),
        ("homosexuel", "les homosexuels"), ("gay", "les gays"), ("bisexuel", "les bisexuels"),
        ("transgenre", "les personnes trans"),
        ("sourd", "les sourds"), ("aveugle", "les aveugles"), ("autiste", "les autistes"), ("handicapé", "les handicapés"),
        ("vieux", "les vieux"), ("jeune", "les jeunes"), ("africain", "les Africains"), ("marocain", "les Marocains"),
        ("trans", "les lesbiennes"), ("étranger", "les étrangers"), ("femme", "les femmes"), ("gros", "les gros"),
        ("malien", "les Maliens"), ("syrien", "les Syriens"), ("roumain", "les Roumains"), ("portugais", "les Portugais"),
    ),
    "de": (
        ("Muslim", "Muslime"), ("Jude", "Juden"), ("Christ", "Christen"), ("Buddhist", "Buddhisten"), ("Atheist", "Atheisten"),
        ("schwarz", "Schwarze"), ("weiß", "Weiße"), ("Asiate", "Asiaten"), ("Araber", "Araber"), ("Chinese", "Chinesen"),
        ("Türke", "Türken"), ("Pole", "Polen"), ("Syrer", "Syrer"), ("Rom", "Roma"), ("Flüchtling", "Flüchtlinge"),
        ("Einwanderer", "Einwanderer"), ("schwul", "Schwule"), ("bisexuell", "Bisexuelle"), ("transgender", "Transmenschen"),
        ("gehörlos", "Gehörlose"), ("blind", "Blinde"), ("autistisch", "Autisten"), ("behindert", "Behinderte"),
        ("alt", "Alte"),
        ("jung", "junge Leute"), ("homosexuell", "Homosexuelle"), ("lesbisch", "Lesben"), ("Afghane", "Afghanen"),
        ("Migrant", "Migranten"), ("Ausländer", "Ausländer"), ("Kurde", "Kurden"), ("Afrikaner", "Afrikaner"),
        ("dick", "Dicke"),
        ("jüdisch", "jüdische Menschen"), ("muslimisch", "muslimische Frauen"), ("arabisch", "arabische Familien"),
        ("trans", "Transfrauen"), ("Russe", "Russen"), ("Ukrainer", "Ukrainer"), ("eine Frau", "Frauen"), ("Sinto", "Sinti"),
    ),
    "es": (
        ("musulmán", "los musulmanes"), ("judío", "los judíos"), ("cristiano", "los cristianos"), ("ateo", "los ateos"),
        ("negro", "los negros"), ("blanco", "los blancos"), ("asiático", "los asiáticos"), ("árabe", "los árabes"),
        ("chino", "los chinos"), ("turco", "los turcos"), ("polaco", "los polacos"), ("marroquí", "los marroquíes"),
        ("gitano", "los gitanos"), ("refugiado", "los refugiados"), ("inmigrante", "los inmigrantes"), ("gay", "los gays"),
        ("homosexual", "los homosexuales"), ("bisexual", "los bisexuales"), ("transgénero", "las personas trans"),
        ("sordo", "los sordos"), ("ciego", "los ciegos"), ("autista", "los autistas"), ("discapacitado", "los discapacitados"),
        ("viejo", "los viejos"), ("joven", "los jóvenes"), ("africano", "los africanos"), ("trans", "las lesbianas"),
        ("extranjero", "los extranjeros"), ("mujer", "las mujeres"), ("gordo", "los gordos"), ("rumano", "los rumanos"),
        ("venezolano", "los venezolanos"), ("budista", "los budistas"), ("indígena", "los indígenas"),
    ),
}  # fmt: skip
# Never learnt from here, so that the false alarms on them say what is to be expected of groups that are not listed.
HELD_BACK = frozenset(
    (
        "Hindu", "Turkish", "lesbian", "deaf", "Nigerian", "bouddhiste", "turc", "gay", "sourd", "algérien", "Buddhist", "Pole",
        "bisexuell", "gehörlos", "Syrer", "ateo", "polaco", "bisexual", "sordo", "gitano",
    )
)  # fmt: skip
HELD_EVERY = 6  # of the templates, each sixth


def rows(held: bool) -> list[dict[str, Any]]:
    """Those to learn from; or with `held` those of groups or templates that are kept out of it, with what they are about."""
    found = []
    for kind, templates in (("calm", CALM), ("hate", HATE)):
        for lang, some in templates.items():
            for number, template in enumerate(some):
                for one, people in GROUPS[lang]:
                    kept = (one in HELD_BACK and not (lang == "en" and one == "gay")) or number % HELD_EVERY == HELD_EVERY - 1
                    if kept == held:
                        text = template.replace("{}", one).replace("{s}", people)
                        text = text[0].upper() + text[1:]
                        found.append(row(Filled(text, lang, "people"), {"hate": 1} if kind == "hate" else {}, group=one))
    return found
