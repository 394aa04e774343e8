"""Drafts a plan from what a request needs: sources side by side, a comparison or summary, then the answer.

Pure. Names only the agents and tools it is given; a request with one simple need gets a plan of one step.
"""

from typing import Literal, TypedDict

from clew.models.offline.prompt import Capabilities
from clew.models.offline.recognise import Needs

StepKind = Literal["retrieve", "reason", "act", "critique", "verify", "delegate", "synthesize", "respond"]


class StepDraft(TypedDict):
    """One step as the planner's `PlanDraft` wants it."""

    step_id: str
    kind: StepKind
    title: str
    instructions: str
    agent: str
    tools: list[str]
    depends_on: list[str]


class PlanDraft(TypedDict):
    """A whole plan as the planner's `PlanDraft` wants it."""

    rationale: str
    steps: list[StepDraft]


def draft_plan(needs: Needs, capabilities: Capabilities) -> PlanDraft:
    """A plan of one `respond` step for a simple request, of several for a compound one."""
    if needs.sources == 0 or not _is_compound(needs):
        return PlanDraft(rationale="One step can answer this.", steps=[_respond(needs, capabilities)])
    sources = _source_steps(needs, capabilities)
    middle = _middle_step(needs, capabilities, sources)
    last = [middle] if middle else sources
    answer = _step(
        capabilities,
        "answer",
        "synthesize",
        "Write the answer",
        "Answer the request from the results of the earlier steps, quoting them.",
        depends_on=[step["step_id"] for step in last],
    )
    steps = [*sources, *([middle] if middle else []), answer]
    return PlanDraft(rationale=f"The request is compound: {len(steps)} steps.", steps=steps)


def _is_compound(needs: Needs) -> bool:
    return needs.sources > 1 or (needs.reads and (needs.compare or needs.summarise))


def _respond(needs: Needs, capabilities: Capabilities) -> StepDraft:
    wanted = [
        *(["calculator"] if needs.calculations else []),
        *(["current_time"] if needs.timezones else []),
        *(["web_search"] if needs.search else []),
        *(["fetch_page"] if needs.urls else []),
        *(["search_documents"] if needs.documents else []),
        *(["mark_progress"] if needs.reads else []),
    ]
    return _step(capabilities, "respond", "respond", "Answer the message", "Answer the user's message.", tools=wanted)


def _source_steps(needs: Needs, capabilities: Capabilities) -> list[StepDraft]:
    steps: list[StepDraft] = []
    if needs.search:
        text = f"Search the web for “{needs.search}” and report what was found, with its sources."
        tools = ["web_search", "mark_progress"]
        steps.append(_step(capabilities, "search-web", "retrieve", "Search the web", text, tools=tools))
    if needs.documents:
        text = f"Search the uploaded documents for “{needs.documents}” and quote the passages that fit."
        tools = ["search_documents", "mark_progress"]
        steps.append(_step(capabilities, "search-documents", "retrieve", "Search the documents", text, tools=tools))
    if needs.urls:
        text = f"Read {', '.join(needs.urls)} and report what is there."
        tools = ["fetch_page", "mark_progress"]
        steps.append(_step(capabilities, "read-pages", "retrieve", "Read the pages", text, tools=tools))
    if needs.calculations:
        text = f"Work out {'; '.join(needs.calculations)}."
        steps.append(_step(capabilities, "calculate", "act", "Do the arithmetic", text, tools=["calculator"]))
    if needs.timezones:
        text = f"Tell the current time in {', '.join(needs.timezones)}."
        steps.append(_step(capabilities, "tell-time", "act", "Look at the clock", text, tools=["current_time"]))
    return steps


def _middle_step(needs: Needs, capabilities: Capabilities, sources: list[StepDraft]) -> StepDraft | None:
    after = [step["step_id"] for step in sources]
    if needs.reads and needs.compare:
        text = "Compare the options that were found by what the request asks for, and say why one is best."
        return _step(capabilities, "compare", "reason", "Compare the options", text, depends_on=after)
    if needs.reads and needs.summarise:
        text = "Summarise what was found."
        return _step(capabilities, "summarise", "reason", "Summarise the findings", text, depends_on=after)
    return None


def _step(
    capabilities: Capabilities,
    step_id: str,
    kind: StepKind,
    title: str,
    instructions: str,
    *,
    tools: list[str] | None = None,
    depends_on: list[str] | None = None,
) -> StepDraft:
    return StepDraft(
        step_id=step_id,
        kind=kind,
        title=title,
        instructions=instructions,
        agent=capabilities.agents[0] if capabilities.agents else "",
        tools=[name for name in tools or [] if name in capabilities.tools],
        depends_on=depends_on or [],
    )
