"""The stored records, as frozen values: bytes in, values out, and back."""

from storage_schema.records.chain import Link, LinkKind, may_follow
from storage_schema.records.checkpoint import CheckpointFile, CheckpointRef, Manifest, SegmentRef
from storage_schema.records.curve import Curve
from storage_schema.records.facts import Facts, Progress, SettledSpec
from storage_schema.records.log import (
    Decision,
    Enqueue,
    Entry,
    Finish,
    Issue,
    Pause,
    Resume,
    RetryTrial,
    SetLimits,
    StopTrial,
)
from storage_schema.records.metric import GOALS, Metric
from storage_schema.records.presence import Board, Heartbeat, Held, OpenSpec
from storage_schema.records.study import Limits, Program, Resource, Study, Timing
from storage_schema.records.submission import StepKind, Submission, SubmissionStep
from storage_schema.records.warm_start import WarmResult, WarmSource, WarmStart

__all__ = [
    "GOALS",
    "Board",
    "CheckpointFile",
    "CheckpointRef",
    "Curve",
    "Decision",
    "Enqueue",
    "Entry",
    "Facts",
    "Finish",
    "Heartbeat",
    "Held",
    "Issue",
    "Limits",
    "Link",
    "LinkKind",
    "Manifest",
    "Metric",
    "OpenSpec",
    "Pause",
    "Program",
    "Progress",
    "Resource",
    "Resume",
    "RetryTrial",
    "SegmentRef",
    "SetLimits",
    "SettledSpec",
    "StepKind",
    "StopTrial",
    "Study",
    "Submission",
    "SubmissionStep",
    "Timing",
    "WarmResult",
    "WarmSource",
    "WarmStart",
    "may_follow",
]
