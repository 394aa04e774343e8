"""The bucket job on a real object store."""

import pytest
from pydantic import SecretStr

from clew.chassis.bucket import BucketSettings, create_bucket
from clew.chassis.errors import StartError

pytestmark = pytest.mark.stack


@pytest.fixture
def settings(stack_env: dict[str, str], namespace: str, monkeypatch: pytest.MonkeyPatch) -> BucketSettings:
    for name, value in (stack_env | {"S3_BUCKET": f"clew-{namespace}"}).items():
        monkeypatch.setenv(name, value)
    return BucketSettings.model_validate({})


def test_the_bucket_is_made_once(settings: BucketSettings) -> None:
    assert create_bucket(settings)
    assert not create_bucket(settings)


def test_a_store_that_refuses_is_named(settings: BucketSettings) -> None:
    stranger = settings.model_copy(update={"s3_secret_key": SecretStr("not the key")})
    with pytest.raises(StartError, match=rf"{settings.s3_endpoint} refuses"):
        create_bucket(stranger)


def test_a_store_that_is_away_is_named(settings: BucketSettings) -> None:
    nowhere = settings.model_copy(update={"s3_endpoint": "http://127.0.0.1:1"})
    with pytest.raises(StartError, match="S3_ENDPOINT"):
        create_bucket(nowhere)
