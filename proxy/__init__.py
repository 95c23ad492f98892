"""Weir: a gate in the stream between a chat client and its model.

The primitives, and who may do I/O:

* Segment   a piece of text with its place, role and direction. Made by `wire`, read by detectors.
* Finding   what a detector saw in a segment: a label, a score, a span. Detectors look, they never rewrite.
* Scanner   all patterns as one pure function of text: findings, and how far the text is settled.
* Classifier  our ONNX network: texts in, a probability per category out. Runs on worker threads.
* Network   where that network's arithmetic is done: `model.session` in this process, or somebody else's.
* Policy    ordered rules of one YAML file. `policy.decide` turns findings into a verdict; it is pure.
* Verdict   the decision as a value, with its reasons. A block is a verdict, never an exception.
* StreamGuard  bytes and verdicts in, commands out. No socket, clock or model in it.
* Guard     one immutable snapshot of policies, scanner and classifiers; the only thing reload swaps.

Only `upstream`, `server` and `model.queue` wait for anything; everything else is plain functions of values.
"""

__version__ = "0.1.0"
