"""The composition root: settings in, clients built, handlers registered, service out."""

from clew.chassis.service import Service
from clew.contracts.documents import DocumentDeleted, DocumentUploaded
from clew.ingestion.handlers import Ingestion
from clew.ingestion.settings import Settings
from clew.ingestion.storage import DocumentFiles, connect


def build(settings: Settings) -> Service:
    """The ingestion service, ready to run."""
    service = Service("ingestion", settings)
    files = service.use(DocumentFiles(connect(settings), settings.s3_bucket))
    ingestion = Ingestion(files)
    service.on(DocumentUploaded, ingestion.on_document_uploaded)
    service.on(DocumentDeleted, ingestion.on_document_deleted)
    service.check("object store", files.problem)
    return service
