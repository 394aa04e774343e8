"""Every event class by its name: the dictionary that the codec and `topics.yaml` speak."""

from typing import Final

from clew.contracts import conversation, deadletters, documents, execution, planning
from clew.contracts.envelope import Event

EVENTS: Final[tuple[type[Event], ...]] = (
    conversation.ThreadCreated,
    conversation.ThreadChanged,
    conversation.ThreadDeleted,
    conversation.UserMessageReceived,
    conversation.RunCancelRequested,
    conversation.ApprovalDecided,
    conversation.RunSteered,
    conversation.RunResumeRequested,
    conversation.RunForkRequested,
    conversation.ChildRunEnded,
    planning.PlanCreated,
    planning.PlanFailed,
    execution.PartitionClaimed,
    execution.RunStarted,
    execution.RunResumed,
    execution.InboxRead,
    execution.StepStarted,
    execution.StepProgressed,
    execution.StepRetried,
    execution.StepCompleted,
    execution.StepFailed,
    execution.CallStarted,
    execution.CallCompleted,
    execution.CallFailed,
    execution.CallInDoubt,
    execution.ApprovalRequested,
    execution.SteerMissed,
    execution.ThreadTitled,
    execution.HistorySummarised,
    execution.RunSuspended,
    execution.RunCompleted,
    execution.RunFailed,
    execution.RunCancelled,
    execution.TokenDelta,
    execution.TokenReset,
    execution.CapabilitiesAnnounced,
    documents.DocumentUploaded,
    documents.DocumentDeleted,
    documents.DocumentParsed,
    documents.ChunksEmbedded,
    documents.DocumentIngested,
    documents.DocumentFailed,
    deadletters.RecordDeadLettered,
    deadletters.DeadLetterResolved,
)
BY_CLASS_NAME: Final[dict[str, type[Event]]] = {event.__name__: event for event in EVENTS}
BY_NAME: Final[dict[str, type[Event]]] = {event.type_name(): event for event in EVENTS}
