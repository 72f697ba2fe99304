"""FastAPI and asyncpg: one statement for the token, one for the contact, its tags and links."""

import hashlib
import json
import os
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


class ContactIn(BaseModel):
    phone: str = Field(max_length=64)
    name: str | None = Field(None, max_length=255)
    email: EmailStr | None = None
    tags: list[Annotated[str, Field(max_length=100, pattern="^[^,]+$")]] = Field([], max_length=100)
    metadata: dict[str, Any] = {}

    @field_validator("phone")
    @classmethod
    def in_e164(cls, raw: str) -> str:
        try:
            parsed = phonenumbers.parse(raw)
        except phonenumbers.NumberParseException as error:
            raise ValueError(str(error)) from error
        if not phonenumbers.is_possible_number(parsed):
            raise ValueError("Not a possible number.")
        return phonenumbers.format_number(parsed, phonenumbers.PhoneNumberFormat.E164)


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
