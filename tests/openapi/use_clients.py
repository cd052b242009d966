"""Makes, uses and deletes a key with the clients that openapi-python-client generated in the current folder.

The environment has the URL and the credential of each API, and the owner of the key.
"""

import os
from hashlib import sha256

from edge_client import AuthenticatedClient as EdgeClient
from edge_client.api.default import verify
from edge_client.models import Active, Inactive, VerifyRequest
from service_client import AuthenticatedClient as ServiceClient
from service_client.api.personal_api_keys import (
    personal_api_keys_create,
    personal_api_keys_destroy,
    personal_api_keys_list,
)
from service_client.models import DeletedKey, NewKey, PersonalApiKey, Scope

service = ServiceClient(base_url=os.environ["SERVICE_URL"], token=os.environ["MANAGEMENT_TOKEN"])
edge = EdgeClient(base_url=os.environ["EDGE_URL"], token=os.environ["EDGE_TOKEN"])
user_id = os.environ["USER_ID"]


def verdict(value):
    digest = sha256(value.encode()).hexdigest()
    answer = verify.sync(client=edge, body=VerifyRequest(edge="generated", digests=[digest]))
    [verdict] = answer.verdicts
    return verdict


new = NewKey(label="generated", scopes=[Scope.INSIGHTREAD], user_id=user_id)
key = personal_api_keys_create.sync(client=service, body=new)
assert isinstance(key, PersonalApiKey), key
assert key.scopes == ["insight:read"], key
assert isinstance(verdict(key.value), Active)
assert [listed.id for listed in personal_api_keys_list.sync(client=service, user_id=user_id)] == [key.id]

deleted = personal_api_keys_destroy.sync(client=service, id=key.id)
assert isinstance(deleted, DeletedKey) and deleted.id == key.id, deleted
assert isinstance(verdict(key.value), Inactive)
print("made, used and deleted", key.mask_value)
