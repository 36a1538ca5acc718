"""Frozen values passed between the parts, by subject; nothing of ours is imported here."""

from imitation.values.chat import (
    Answer,
    Completion,
    Delta,
    Done,
    Event,
    Message,
    Sent,
    Speaker,
    Turn,
)
from imitation.values.data import Example, RecordedPrompt, Recording, Refused
from imitation.values.jobs import LIVE_STATES, JobSpec, JobState
from imitation.values.measures import Interval
from imitation.values.models import ROLES, ModelSpec, Role, Sampling
from imitation.values.preferences import Outcome, Pair, Preference, Verdict, YesNo

__all__ = [
    "LIVE_STATES",
    "ROLES",
    "Answer",
    "Completion",
    "Delta",
    "Done",
    "Event",
    "Example",
    "Interval",
    "JobSpec",
    "JobState",
    "Message",
    "ModelSpec",
    "Outcome",
    "Pair",
    "Preference",
    "RecordedPrompt",
    "Recording",
    "Refused",
    "Role",
    "Sampling",
    "Sent",
    "Speaker",
    "Turn",
    "Verdict",
    "YesNo",
]
