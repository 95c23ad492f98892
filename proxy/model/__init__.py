"""The classifier: an exported model with its manifest, the session that runs it, the queue in front of it."""

import os

# onnxruntime reports its use to its makers over HTTPS, from its import on. What leaves a machine is for its owner to say.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
