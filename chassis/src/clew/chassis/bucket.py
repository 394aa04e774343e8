"""Makes the bucket of S3_BUCKET on the object store, if it is not there.

`python -m clew.chassis.bucket` is a one-off job, as `clew.chassis.topics` is; services expect their bucket.
"""

import sys
from urllib.parse import urlsplit

from minio import Minio
from minio.error import S3Error
from pydantic import Field, SecretStr, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict
from urllib3.exceptions import HTTPError

from clew.chassis.errors import StartError

ALREADY_THERE = {"BucketAlreadyOwnedByYou", "BucketAlreadyExists"}  # made by another job in the meantime


class BucketSettings(BaseSettings):
    """What the one-off job needs to know: as for the services, but nothing may be missing."""

    model_config = SettingsConfigDict(extra="ignore", frozen=True, populate_by_name=True)

    s3_endpoint: str = Field(validation_alias="S3_ENDPOINT")
    s3_access_key: str = Field(validation_alias="S3_ACCESS_KEY")
    s3_secret_key: SecretStr = Field(validation_alias="S3_SECRET_KEY")
    s3_region: str = Field("us-east-1", validation_alias="S3_REGION")
    s3_bucket: str = Field("clew", validation_alias="S3_BUCKET")


def create_bucket(settings: BucketSettings) -> bool:
    """Whether the bucket had to be made. StartError when the store refuses it or does not answer."""
    url = urlsplit(settings.s3_endpoint)
    store = Minio(
        url.netloc,
        access_key=settings.s3_access_key,
        secret_key=settings.s3_secret_key.get_secret_value(),
        region=settings.s3_region,
        secure=url.scheme == "https",
    )
    try:
        if store.bucket_exists(settings.s3_bucket):
            return False
        store.make_bucket(settings.s3_bucket)
    except S3Error as error:
        if error.code in ALREADY_THERE:
            return False
        raise StartError(f"{settings.s3_endpoint} refuses to make bucket {settings.s3_bucket}: {error.code}") from error
    except HTTPError as error:
        raise StartError(f"no object store answers at {settings.s3_endpoint}: is S3_ENDPOINT right?") from error
    return True


def main() -> None:
    try:
        settings = BucketSettings.model_validate({})
        made = create_bucket(settings)
    except (StartError, ValidationError) as error:
        sys.exit(str(error))
    print(f"bucket {settings.s3_bucket}: {'created' if made else 'was there'}")


if __name__ == "__main__":
    main()
