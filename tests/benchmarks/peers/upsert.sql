-- A contact, its tags and its links in one statement; parameters stand in braces.
WITH given AS (
    SELECT {tenant}::uuid AS tenant_id, {phone}::text AS phone, {name}::text AS name,
        {email}::text AS email, {metadata}::jsonb AS metadata
), names AS (
    SELECT DISTINCT name FROM unnest({tags}::text[]) AS name
), contact_written AS (
    INSERT INTO contact (id, tenant_id, phone, name, email, metadata)
    SELECT gen_random_uuid(), tenant_id, phone, name, email, metadata FROM given
    ON CONFLICT (tenant_id, phone) DO UPDATE SET
        name = EXCLUDED.name, email = EXCLUDED.email, metadata = EXCLUDED.metadata, updated_at = now()
    RETURNING id, phone, name, email, created_at
), known AS (
    SELECT tag.id, tag.name FROM tag JOIN names USING (name) WHERE tenant_id = {tenant}::uuid
), made AS (
    INSERT INTO tag (id, tenant_id, name)
    SELECT gen_random_uuid(), {tenant}::uuid, name
    FROM names WHERE name NOT IN (SELECT name FROM known) ORDER BY name
    ON CONFLICT (tenant_id, name) DO UPDATE SET name = EXCLUDED.name
    RETURNING id, name
), tags AS (
    SELECT id FROM known UNION ALL SELECT id FROM made
), linked AS (
    INSERT INTO contact_tag (contact_id, tag_id)
    SELECT contact_written.id, tags.id FROM contact_written, tags
    ON CONFLICT DO NOTHING
), unlinked AS (
    DELETE FROM contact_tag
    WHERE contact_id = (SELECT id FROM contact_written) AND tag_id NOT IN (SELECT id FROM tags)
)
SELECT id, phone, name, email, created_at FROM contact_written
