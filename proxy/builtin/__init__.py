"""What Weir ships with: the default config, the policy files and the model.

`config` and `policies` are links to the folders at the top of the repository; the wheel holds copies.
"""

from pathlib import Path

FOLDER = Path(__file__).parent
CONFIG = FOLDER / "config" / "weir.yaml"
POLICIES = FOLDER / "policies"
MODEL = FOLDER / "model"
