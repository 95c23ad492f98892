"""French: what stands in the templates, and what it is called there."""

FRENCH: dict[str, str] = {
    # -- on every page
    "Skip to the content": "Aller au contenu",
    "Pages": "Pages",
    "Decisions": "Décisions",
    "Rates": "Fréquences",
    "Shadow": "Ombre",
    "Playground": "Essais",
    "Policies": "Politiques",
    "Feedback": "Retours",
    "Light colours": "Couleurs claires",
    "Dark colours": "Couleurs sombres",
    "Sign out": "Se déconnecter",
    "Open: no key is configured, so Weir and this page answer on this machine only.": (
        "Accès libre : aucune clé n’est configurée, Weir et cette page ne répondent donc que sur cette machine."
    ),
    "Back": "Retour",
    "Filters": "Filtres",
    "Any": "Indifférent",
    "Show": "Afficher",
    "Try": "Essayer",
    # -- the door
    "Sign in": "Se connecter",
    "Admin key": "Clé d’administration",
    "This is not an admin key, or it has expired.": "Ce n’est pas une clé d’administration, ou elle a expiré.",
    "Closed": "Fermé",
    "The dashboard is closed": "Le tableau de bord est fermé",
    "Callers have keys here, and nobody has an admin key yet. Make one:": (
        "Les appelants ont des clés ici, et personne n’a encore de clé d’administration. Créez-en une :"
    ),
    "It prints a token, to be kept, and a line for the config, which is read anew when it changes:": (
        "La commande affiche un jeton, à garder, et une ligne pour la configuration, relue dès qu’elle change :"
    ),
    "Not here": "Pas ici",
    "Without an admin key the dashboard answers on this machine only, by its name localhost.": (
        "Sans clé d’administration, le tableau de bord ne répond que sur cette machine, sous le nom localhost."
    ),
    # -- what went wrong
    "Not found": "Introuvable",
    "There is no such page.": "Cette page n’existe pas.",
    "There is no such policy.": "Cette politique n’existe pas.",
    "There is no such text.": "Ce texte n’existe pas.",
    "There is no such rule with a score.": "Aucune règle de ce nom n’a de score.",
    "The decision log has no such request.": "Le journal des décisions n’a pas cette requête.",
    "No answer": "Pas de réponse",
    "The decision log does not answer. Please try again in a moment.": (
        "Le journal des décisions ne répond pas. Réessayez dans un instant."
    ),
    "Not recorded": "Non enregistré",
    "The decision log did not take it. Please try again in a moment.": (
        "Le journal des décisions ne l’a pas pris. Réessayez dans un instant."
    ),
    "Please try again": "Réessayez",
    "This form is out of date. Please load the page again, and repeat what you did.": (
        "Ce formulaire n’est plus à jour. Rechargez la page et recommencez."
    ),
    "Something went wrong": "Un problème est survenu",
    "This page has failed; the log says where.": "Cette page a échoué ; le journal de Weir dit où.",
    "Too long": "Trop long",
    "This is too long.": "C’est trop long.",
    "Which?": "Lequel ?",
    "Say whether it was right or wrong.": "Dites si c’était juste ou non.",
    "No decision log": "Pas de journal des décisions",
    "Decisions are kept when the config says where. Then start Weir again:": (
        "Les décisions sont gardées quand la configuration dit où. Relancez ensuite Weir :"
    ),
    "The playground and the policies work without one.": "Les essais et les politiques fonctionnent sans lui.",
    # -- decisions
    "Live": "En direct",
    "Paused": "En pause",
    "New decisions: {n}": "Nouvelles décisions : {n}",
    "The connection to Weir is lost; trying again.": "La connexion à Weir est perdue ; nouvel essai en cours.",
    "Action": "Action",
    "Time": "Date",
    "Route": "Route",
    "Rule": "Règle",
    "Rules": "Règles",
    "Policy": "Politique",
    "Key": "Clé",
    "Id": "Identifiant",
    "Filter": "Filtrer",
    "Clear": "Effacer",
    "Prompt ms": "ms à l’entrée",
    "No decision here yet.": "Aucune décision ici pour l’instant.",
    "Newest": "Les plus récentes",
    "Older": "Plus anciennes",
    "not inspected": "non inspecté",
    "only watched": "observée seulement",
    # -- one decision
    "no rule took effect": "aucune règle n’a agi",
    "by rule {rule} ({by})": "par la règle {rule} ({by})",
    "by rule {rule} ({by}: {score} against {threshold})": "par la règle {rule} ({by} : {score} pour un seuil de {threshold})",
    "Your mark is recorded. Thank you.": "Votre avis est enregistré. Merci.",
    "Rules, in their order": "Règles, dans leur ordre",
    "On": "Sur",
    "By": "Par",
    "Score against threshold": "Score et seuil",
    "Outcome": "Résultat",
    "score {score}, threshold {threshold}": "score {score}, seuil {threshold}",
    "found": "trouvé",
    "surely below {threshold}": "sûrement sous {threshold}",
    "nothing to say": "rien à dire",
    "No policy came to speak.": "Aucune politique n’a eu à se prononcer.",
    "Not inspected: {what}": "Non inspecté : {what}",
    "What was said": "Ce qui a été dit",
    "and {n} characters more": "et {n} caractères de plus",
    "Which words carried it?": "Quels mots ont compté ?",
    "The stronger a word is marked, the more {category} depends on it.": (
        "Plus un mot est marqué, plus le score de {category} en dépend."
    ),
    "Another model runs now than the one that decided.": "Le modèle actuel n’est plus celui qui a décidé.",
    "The text was erased.": "Le texte a été effacé.",
    "The text was not kept.": "Le texte n’a pas été gardé.",
    "keeps it from then on.": "le garde à partir de là.",
    "What the policy's patterns find was taken out before the text was kept.": (
        "Ce que trouvent les motifs de la politique a été retiré avant que le texte ne soit gardé."
    ),
    "The judge, of rule {rule}": "Le juge, sur la règle {rule}",
    "Was it right?": "Était-ce juste ?",
    "Your judgement": "Votre avis",
    "Rule it is about": "Règle concernée",
    "The one that decided": "Celle qui a décidé",
    "Comment (kept sealed)": "Commentaire (gardé scellé)",
    "Save the mark": "Enregistrer l’avis",
    "Facts": "Faits",
    "Request": "Requête",
    "API": "API",
    "stream": "flux",
    "Model": "Modèle",
    "Provider": "Fournisseur",
    "Language": "Langue",
    "End": "Fin",
    "Trace": "Trace",
    "Time taken": "Durées",
    "Characters": "Caractères",
    "inspected": "inspectés",
    "redacted": "masqués",
    "withheld": "retenus",
    "Tokens: {prompt} + {completion}": "Jetons : {prompt} + {completion}",
    "Proof": "Preuve",
    "Record": "Enregistrement",
    "{n} of {last}": "{n} sur {last}",
    "Chain": "Chaîne",
    "fits the record before it": "conforme au précédent",
    "does not fit the record before it": "non conforme au précédent",
    "Code": "Code",
    "Classifier": "Classifieur",
    "Person, hashed": "Personne (empreinte)",
    "The policy as it was": "La politique telle qu’elle était",
    # -- rates
    "requests": "requêtes",
    "Requests": "Requêtes",
    "blocked requests": "requêtes bloquées",
    "redacted requests": "requêtes masquées",
    "not all inspected": "pas entièrement inspectées",
    "added to a prompt, typically": "ajoutées à une entrée, en général",
    "Decisions over time": "Décisions au fil du temps",
    "Decisions over time, as columns by action; the table below has the numbers.": (
        "Décisions au fil du temps, en colonnes par action ; le tableau ci-dessous a les nombres."
    ),
    "As a table": "En tableau",
    "From": "À partir de",
    "Time added to prompts": "Temps ajouté aux entrées",
    "Milliseconds that half of the prompts, and 95 of 100, waited for Weir; the table below has the numbers.": (
        "Millisecondes d’attente de la moitié des entrées, et de 95 sur 100 ; le tableau ci-dessous a les nombres."
    ),
    "half of them waited at most": "la moitié a attendu au plus",
    "95 of 100 waited at most": "95 sur 100 ont attendu au plus",
    "Answers that are not streamed: {half} ms typically, {most} ms at the 95th in the worst step.": (
        "Réponses hors flux : {half} ms en général, {most} ms au 95e centile dans le pire intervalle."
    ),
    "Over time": "Au fil du temps",
    "not known": "inconnue",
    "By route": "Par route",
    "By rule": "Par règle",
    "By language": "Par langue",
    "took effect": "a agi",
    "of all requests": "de toutes les requêtes",
    "No rule has spoken.": "Aucune règle ne s’est prononcée.",
    "The language is told where a policy asks for it. To have it told of every request:": (
        "La langue est reconnue là où une politique le demande. Pour qu’elle le soit à chaque requête :"
    ),
    # -- shadow
    "What a second policy would have done with the same traffic. It decides nothing.": (
        "Ce qu’une seconde politique aurait fait du même trafic. Elle ne décide de rien."
    ),
    "in the shadow of": "dans l’ombre de",
    "Requests that both have judged: {n}": "Requêtes que les deux ont jugées : {n}",
    "Was": "A été",
    "Would have been": "Aurait été",
    "Both would have done the same.": "Les deux auraient fait de même.",
    "The shadow has judged nothing in this time.": "L’ombre n’a rien jugé pendant ce temps.",
    "No route has a shadow. A line in the config begins one:": (
        "Aucune route n’a d’ombre. Une ligne de la configuration en ajoute une :"
    ),
    "The last differences": "Les dernières différences",
    "shadow": "ombre",
    # -- playground
    "What policies make of a text. Nothing is sent to a provider, and nothing is recorded; a rule that asks a judge asks it.": (
        "Ce que les politiques font d’un texte. Rien n’est envoyé à un fournisseur, rien n’est enregistré ; une règle qui "
        "consulte un juge le consulte."
    ),
    "Text, or the messages of a conversation as JSON": "Un texte, ou les messages d’une conversation en JSON",
    "Said by": "Dit par",
    "Policies, up to {n}": "Politiques, {n} au plus",
    "does not run": "inactive",
    "Mark the words that mattered": "Marquer les mots qui ont compté",
    "Judge": "Juger",
    "Judge again": "Juger à nouveau",
    "Verdicts": "Verdicts",
    "With this threshold: {action}": "Avec ce seuil : {action}",
    "instead of {action}": "au lieu de {action}",
    "Not inspected": "Non inspecté",
    "Move a threshold": "Déplacer un seuil",
    # -- policies
    "A file that changed does not load; what ran before goes on:": (
        "Un fichier modifié ne se charge pas ; la version d’avant reste en place :"
    ),
    "Version": "Version",
    "Routes": "Routes",
    "Tests": "Tests",
    "none": "aucun",
    "{held} of {all} hold": "{held} sur {all} réussis",
    "{n} not run yet": "{n} pas encore lancés",
    "does not load": "ne se charge pas",
    "This file does not load": "Ce fichier ne se charge pas",
    "runs": "active",
    "streams": "flux",
    "Looks for": "Cherche",
    "judge": "juge",
    "Threshold": "Seuil",
    "Another threshold": "Un autre seuil",
    "Another threshold for {rule}": "Un autre seuil pour {rule}",
    "Try another threshold for {rule} on the last days": "Essayer un autre seuil pour {rule} sur les derniers jours",
    "The file": "Le fichier",
    "This policy has no examples.": "Cette politique n’a pas d’exemples.",
    "Run the tests": "Lancer les tests",
    "The tests run …": "Les tests sont en cours…",
    "The tests could not be run: {problem}": "Les tests n’ont pas pu être lancés : {problem}",
    "Line": "Ligne",
    "Text": "Texte",
    "Expected": "Attendu",
    "Got": "Obtenu",
    "holds": "réussi",
    # -- another threshold
    "Days": "Jours",
    "Read kept texts again": "Relire les textes gardés",
    "{changed} of {counted} requests of the last days would be treated differently.": (
        "{changed} requêtes sur {counted} des derniers jours seraient traitées autrement."
    ),
    "By texts that were kept: {n}; the others by their recorded scores.": (
        "D’après les textes gardés : {n} ; les autres d’après leurs scores enregistrés."
    ),
    "By the scores that were recorded.": "D’après les scores enregistrés.",
    "These are the newest; older ones were not looked at.": "Ce sont les plus récentes ; les autres n’ont pas été regardées.",
    "Below {floor} the screen may have left a text unread; it then has no score, and counts as below.": (
        "Sous {floor}, le premier tri a pu laisser un texte sans lecture ; il est alors sans score et compte comme inférieur."
    ),
    "As it is now": "Actuellement",
    "With {threshold}": "Avec {threshold}",
    "Which": "Lesquelles",
    "by {basis}": "d’après : {basis}",
    "As a patch for {file}": "En correctif pour {file}",
    # -- feedback
    "Decisions that somebody has marked. With their texts, where those were kept, they tune thresholds and teach rules.": (
        "Les décisions que quelqu’un a jugées. Avec leurs textes, s’ils ont été gardés, elles règlent les seuils et "
        "instruisent les règles."
    ),
    "Download as labelled texts": "Télécharger en textes annotés",
    "Rules that learn from examples": "Règles apprises par l’exemple",
    "Mark": "Avis",
    "Decision": "Décision",
    "Comment": "Commentaire",
    "Nothing is marked yet. Each decision has buttons for it.": (
        "Aucun avis pour l’instant. Chaque décision a des boutons pour cela."
    ),
    "More examples for {rule}": "Plus d’exemples pour {rule}",
    "Texts that would be added: {n}": "Textes qui seraient ajoutés : {n}",
    "The same as a command:": "La même chose en commande :",
    "No mark with a text is about this rule, or all of them stand in it already.": (
        "Aucun avis avec un texte ne concerne cette règle, ou ils y figurent déjà tous."
    ),
    # -- what values of the log are called
    "Passed": "Passé",
    "Flagged": "Signalé",
    "Redacted": "Masqué",
    "Blocked": "Bloqué",
    "Refused": "Refusé",
    "Right": "Juste",
    "Wrong block": "Blocage à tort",
    "Missed": "Manqué",
    "prompt": "entrée",
    "answer": "réponse",
    "user": "utilisateur",
    "assistant": "assistant",
    "document": "document",
    "system": "système",
    "developer": "développeur",
    "tool": "outil",
    "pattern": "motif",
    "classifier": "classifieur",
    "policy": "politique",
    "examples": "exemples",
    "text": "texte",
    "scores": "scores",
    "ended well": "terminé normalement",
    "ended by a block": "terminé par un blocage",
    "ended in an error": "terminé par une erreur",
    "the client left": "le client est parti",
    "request read": "requête lue",
    "provider answered": "réponse du fournisseur",
    "first text": "premier texte",
    "in all": "au total",
    "no character leaves unjudged": "aucun caractère ne sort sans être jugé",
    "the whole answer first": "la réponse entière d’abord",
    "judged behind the stream": "jugé derrière le flux",
    "Last hour": "Dernière heure",
    "Last day": "Dernier jour",
    "Last 7 days": "7 derniers jours",
    "Last 30 days": "30 derniers jours",
}
