-- The tables of the FastAPI peer and of pgbench: what the contract needs, and no more.
CREATE TABLE tenant (id uuid PRIMARY KEY, name text NOT NULL);
CREATE TABLE token (digest text PRIMARY KEY, tenant_id uuid NOT NULL REFERENCES tenant);
CREATE TABLE contact (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenant,
    phone text NOT NULL,
    name text,
    email text,
    metadata jsonb NOT NULL,
    source text NOT NULL DEFAULT 'api',
    locale text,
    opted_in_at timestamptz,
    opted_out_at timestamptz,
    last_message_at timestamptz,
    total_messages integer NOT NULL DEFAULT 0,
    created_at timestamptz NOT NULL DEFAULT now(),
    updated_at timestamptz NOT NULL DEFAULT now(),
    UNIQUE (tenant_id, phone)
);
CREATE TABLE tag (
    id uuid PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenant,
    name text NOT NULL,
    UNIQUE (tenant_id, name)
);
CREATE TABLE contact_tag (
    contact_id uuid NOT NULL REFERENCES contact ON DELETE CASCADE,
    tag_id uuid NOT NULL REFERENCES tag ON DELETE CASCADE,
    PRIMARY KEY (contact_id, tag_id)
);
CREATE INDEX contacts_of_tag ON contact_tag (tag_id);
