"""FastAPI and asyncpg: one statement for the token, one for the contact, its tags and links, or one
that reads."""

import hashlib
import json
import os
import re
import uuid
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import asyncpg
import phonenumbers
from fastapi import Depends, FastAPI, HTTPException, Request
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import BaseModel, EmailStr, Field, field_validator

PARAMETERS = ["tenant", "phone", "name", "email", "metadata", "tags"]
places = {name: f"${place}" for place, name in enumerate(PARAMETERS, 1)}
UPSERT = Path(__file__).with_name("upsert.sql").read_text().format(**places)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with asyncpg.create_pool(os.environ["DATABASE_URL"], min_size=8, max_size=8) as pool:
        app.state.pool = pool
        yield


app = FastAPI(lifespan=lifespan)


def normalised(raw: str) -> str:
    """The phone in E.164."""
    try:
        parsed = phonenumbers.parse(raw)
    except phonenumbers.NumberParseException as error:
        raise ValueError(str(error)) from error
    if not phonenumbers.is_possible_number(parsed):
        raise ValueError("Not a possible number.")
    return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


class ContactIn(BaseModel):
    phone: str = Field(max_length=64)
    name: str | None = Field(None, max_length=255)
    email: EmailStr | None = None
    tags: list[Annotated[str, Field(max_length=100, pattern="^[^,]+$")]] = Field([], max_length=100)
    metadata: dict[str, Any] = {}

    in_e164 = field_validator("phone")(normalised)


class ContactOut(BaseModel):
    id: uuid.UUID
    phone: str
    name: str | None
    email: str | None
    tags: list[str]
    created_at: datetime


async def tenant_of(
    request: Request, credentials: Annotated[HTTPAuthorizationCredentials, Depends(HTTPBearer())]
) -> uuid.UUID:
    digest = hashlib.sha256(credentials.credentials.encode()).hexdigest()
    query = "SELECT tenant_id FROM token WHERE digest = $1"
    tenant = await request.app.state.pool.fetchval(query, digest)
    if tenant is None:
        raise HTTPException(401, "Unauthenticated.")
    return tenant


@app.post("/api/v1/actions/create-contact", status_code=201)
async def create_contact(
    request: Request, contact: ContactIn, tenant: Annotated[uuid.UUID, Depends(tenant_of)]
) -> ContactOut:
    tags = list(dict.fromkeys(contact.tags))
    metadata = json.dumps(contact.metadata)
    row = await request.app.state.pool.fetchrow(
        UPSERT, tenant, contact.phone, contact.name, contact.email, metadata, tags
    )
    return ContactOut(**row, tags=tags)


# Reading

TAGS = """ARRAY(
    SELECT tag.name FROM contact_tag JOIN tag ON tag.id = tag_id
    WHERE contact_id = contact.id ORDER BY tag.name
) AS tags"""
GET = f"SELECT contact.*, {TAGS} FROM contact WHERE tenant_id = $1 AND phone = $2"  # noqa: S608
SEARCH = f"""
SELECT contact.*, {TAGS} FROM contact
WHERE tenant_id = $1 AND (name ILIKE $2 OR email ILIKE $2 OR phone LIKE $2)
ORDER BY last_message_at DESC NULLS LAST, id DESC LIMIT 50
"""  # noqa: S608 - no user input


class Key(BaseModel):
    phone: str = Field(max_length=64)

    in_e164 = field_validator("phone")(normalised)


class Query(BaseModel):
    query: str = Field(max_length=255)


class FoundContact(ContactOut):
    source: str
    last_message_at: datetime | None


class StoredContact(FoundContact):
    locale: str | None
    metadata: dict[str, Any]
    opted_in_at: datetime | None
    opted_out_at: datetime | None
    total_messages: int


@app.post("/api/v1/actions/get-contact")
async def get_contact(
    request: Request, key: Key, tenant: Annotated[uuid.UUID, Depends(tenant_of)]
) -> StoredContact:
    row = await request.app.state.pool.fetchrow(GET, tenant, key.phone)
    if row is None:
        raise HTTPException(404, "Contact not found")
    return StoredContact(**{**row, "metadata": json.loads(row["metadata"])})


@app.post("/api/v1/actions/search-contacts")
async def search_contacts(
    request: Request, search: Query, tenant: Annotated[uuid.UUID, Depends(tenant_of)]
) -> list[FoundContact]:
    part = re.sub(r"([\\%_])", r"\\\1", search.query)
    rows = await request.app.state.pool.fetch(SEARCH, tenant, f"%{part}%")
    return [FoundContact(**row) for row in rows]
