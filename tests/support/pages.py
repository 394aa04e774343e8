"""Pages of messages as objects: the views give them as the JSON that clients get."""

from uuid import UUID

from clew.views.models import Message, Page
from clew.views.tenant import TenantViews

PAGE = Page[Message]


async def page_of(
    views: TenantViews,
    thread_id: UUID,
    run_id: UUID | None = None,
    after: str | None = None,
    limit: int = 50,
    *,
    newest_first: bool = False,
) -> Page[Message]:
    """The page; an empty one when there is no such thread."""
    page = await views.message_page(thread_id, run_id, after, limit, newest_first=newest_first)
    return PAGE(items=(), next=None) if page is None else PAGE.model_validate_json(page)
