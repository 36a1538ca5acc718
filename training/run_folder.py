"""Names of what lies in the folder of a run; imports nothing, so that the page can ask for them.

Whoever reads a run's files takes their names from here, and their content from
`training.checkpoints.load`, which reads what `training.checkpoints.save` writes.
"""

PROGRESS = "progress.jsonl"
"""What the run tells while it lasts."""
STATE = "state.pt"
"""What a run that ended early goes on from."""
CHECKPOINT = "checkpoint"
"""The folder of the weights a run ends with, and of what they were made from."""
CONFIG, DATA = "training.json", "data.json"
"""In that folder: the run's settings, and what its data was."""
ADAPTER_CONFIG = "adapter_config.json"
"""In that folder, where PEFT wrote an adapter."""
ADAPTER, MODEL = "adapter.gguf", "model.gguf"
"""For the embedded engine: an adapter, or all weights."""
