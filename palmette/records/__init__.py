"""The shapes of everything that crosses a floor or is printed as JSON: frozen pydantic models.

Missing is None, never zero. Intervals are 95 %. Units are in the names.
"""

from palmette.records._base import Finite, Record
from palmette.records.campaign import (
    CampaignConfig,
    CampaignState,
    Candidate,
    Event,
    Prediction,
    Role,
)
from palmette.records.rows import (
    AtlasRow,
    BestRow,
    CheckRow,
    CompareRow,
    DecodePoint,
    DoctorRow,
    FileRow,
    GateRow,
    LineageRow,
    PartRow,
    PrimitiveRow,
    ProposerRow,
    SampleRow,
    ShowRow,
    StatusRow,
    TaskRow,
    TreeRow,
    TrialRow,
)
from palmette.records.stranger import Counted, GateResult, Setting, Stranger
from palmette.records.study import Span, Study, StudyArm
from palmette.records.thought import DesignerConfig, Origin, Thought, ThoughtOutcome
from palmette.records.trace import TraceRow, TraceRung, TraceStep
from palmette.records.trial import (
    Attempt,
    AttemptOutcome,
    CurvePoint,
    StoredTrial,
    TaskMetrics,
    TrialResult,
    TrialSpec,
    TrialState,
)

__all__ = [
    "AtlasRow",
    "Attempt",
    "AttemptOutcome",
    "BestRow",
    "CampaignConfig",
    "CampaignState",
    "Candidate",
    "CheckRow",
    "CompareRow",
    "Counted",
    "CurvePoint",
    "DecodePoint",
    "DesignerConfig",
    "DoctorRow",
    "Event",
    "FileRow",
    "Finite",
    "GateResult",
    "GateRow",
    "LineageRow",
    "Origin",
    "PartRow",
    "Prediction",
    "PrimitiveRow",
    "ProposerRow",
    "Record",
    "Role",
    "SampleRow",
    "Setting",
    "ShowRow",
    "Span",
    "StatusRow",
    "StoredTrial",
    "Stranger",
    "Study",
    "StudyArm",
    "TaskMetrics",
    "TaskRow",
    "Thought",
    "ThoughtOutcome",
    "TraceRow",
    "TraceRung",
    "TraceStep",
    "TreeRow",
    "TrialResult",
    "TrialRow",
    "TrialSpec",
    "TrialState",
]
