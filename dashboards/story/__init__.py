"""Story: the study's argument as slides."""
