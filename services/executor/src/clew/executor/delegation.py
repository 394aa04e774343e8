"""A step that hands its work to a run of its own and waits for its end, durably and without a place in this process."""

from time import perf_counter

from clew.contracts.conversation import ChildRunEnded, text_of
from clew.contracts.envelope import derive
from clew.contracts.planning import PlanCreated, Step
from clew.contracts.usage import Budget
from clew.executor import budgets, children
from clew.executor.calls import BudgetExceeded, Call, Done
from clew.executor.children import DELEGATE, Child
from clew.executor.execution import SETTLED, told_untrusted
from clew.executor.journal import RunJournal
from clew.executor.prompting import step_prompt
from clew.executor.supervisor import StepError
from clew.executor.tool_calls import answered


async def delegate(step: Step, attempt: int, plan: PlanCreated, journal: RunJournal) -> str:
    """The child's output. StepError when it came to none, BudgetExceeded when no child may be begun."""
    key = f"{step.step_id}.{attempt}/{DELEGATE}"
    call_id = derive(journal.run_id, key)
    call = Call(call_id, key, step.step_id, "tool", DELEGATE, journal.attempts(call_id) + 1, "idempotent")
    text = step_prompt(text_of(plan.content), plan.plan, step, journal.state)
    await journal.asked(call, {"text": text})
    if (done := journal.done(call_id)) is not None:
        return _result(done)
    began = perf_counter()
    child = journal.record.children.open.get(call_id)
    if child is None and (instead := journal.instead(call, text, effects=True)) is not None:
        return _result(Done(await answered(journal, call, {"text": text}, instead, untrusted=True)))
    if child is None:
        child = Child(call_id, step.step_id, _grant(plan, journal))
        await journal.started(call, children.granted(child, text))
    if call_id not in journal.record.inbox.children:
        told = told_untrusted(step, journal.state)
        for event in children.begun(child, plan, text, step.title, journal.now(), untrusted=told):
            await journal.beside(event)
    await journal.until_child_ended(call)
    return await _ended(journal, call, journal.record.inbox.children[call_id], (perf_counter() - began) * 1000)


async def _ended(journal: RunJournal, call: Call, child: ChildRunEnded, took: float) -> str:
    if child.status == "completed":
        await journal.completed(call, child.output or "", child.usage, took, untrusted=True)
        return child.output or ""
    error = f"the child run was {child.status}: {child.error or 'no reason was given'}"
    await journal.completed(call, {"status": child.status, "error": error}, child.usage, took, untrusted=True)
    raise StepError(error)


def _result(done: Done) -> str:
    if isinstance(done.result, str):
        return done.result
    error = done.result.get("error") if isinstance(done.result, dict) else None
    raise StepError(str(error))


def _grant(plan: PlanCreated, journal: RunJournal) -> Budget:
    """An equal share of what is left among the steps that are left."""
    budget = plan.budget or Budget()
    grants = journal.record.children.grants()
    if budget.depth == 0:
        raise BudgetExceeded("the run's budget allows no child runs below it")
    if (why := budgets.refusal(budget, journal.state, grants, journal.now())) is not None:
        raise BudgetExceeded(why)
    rest = budgets.left(budget, journal.state, grants, journal.now())
    holding = {child.step_id for child in journal.record.children.open.values()}
    unsettled = [s for s in plan.plan.steps if journal.state.step(s.step_id).status not in SETTLED]
    return budgets.grant(rest, max(len([s for s in unsettled if s.step_id not in holding]), 1))
