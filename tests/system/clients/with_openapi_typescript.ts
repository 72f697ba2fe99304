// The calls of generated_clients.py, by openapi-fetch with the types of openapi-typescript.
import createClient from "openapi-fetch";
import type { paths } from "./openapi_typescript";

const headers = { Authorization: `Bearer ${process.env.TOKEN}` };
const client = createClient<paths>({ baseUrl: process.env.URL, headers });
const phone = "+1 415 555 0123";

function toForm(fields: Record<string, unknown>) {
  const form = new FormData();
  for (const [name, value] of Object.entries(fields))
    for (const one of Array.isArray(value) ? value : [value])
      form.append(name, one instanceof Blob ? one : String(one));
  return form;
}

async function main() {
  const act = "/api/v1/actions";
  const created = (await client.POST(`${act}/create-contact`, { body: { phone, name: "Romain", tags: ["vip"] } })).data!;
  const key = { contact_id: created.id };
  const updated = (await client.POST(`${act}/update-contact`, { body: { ...key, name: "Romain R." } })).data!;
  const cleared = (await client.POST(`${act}/update-contact`, { body: { ...key, email: null } })).data!;
  const tagged = (await client.POST(`${act}/add-tag`, { body: { phone, tag: "beta" } })).data!;
  const rows = [{ phone: "+33 6 12 34 56 78", name: "Zoé", ref: "row-1" }, { phone: "+1 415" }];
  const batch = (await client.POST(`${act}/create-contacts`, { body: { contacts: rows } })).data!;
  const found = (await client.POST(`${act}/search-contacts`, { body: { query: "romain", limit: 5 } })).data!;
  const first = (await client.POST(`${act}/list-contacts`, { body: { limit: 1 } })).data!;
  const next = { limit: 1, cursor: first.next_cursor };
  const second = (await client.POST(`${act}/list-contacts`, { body: next })).data!;
  const decision = { phone, status: "opted_in" as const, source: "form" };
  const consent = (await client.POST(`${act}/record-consent`, { body: decision })).data!;
  const file = new File(["Mobile\n+33612345678\n"], "people.csv", { type: "text/csv" });
  const form = { file: file as unknown as string, mode: "create-only" as const, dry_run: true, tag: ["a", "b"] };
  const job = (await client.POST("/api/v1/imports", { body: form, bodySerializer: toForm })).data!;
  const webhook = (await client.POST("/api/v1/webhooks", { body: { url: "https://shop.example.com/hooks" } })).data!;
  const refused = (await client.POST(`${act}/create-contact`, { body: { phone: "+1 415" } })).error!;
  console.log(JSON.stringify({
    created: created.name,
    updated: updated.name,
    email: cleared.email,
    tags: tagged.tags,
    batch: batch.results.map((result) => result.status),
    found: found.map((contact) => contact.phone),
    listed: [...first.data, ...second.data].map((entry) => ("phone" in entry ? entry.phone : null)),
    opted_in: Boolean(consent.opted_in_at),
    import: [job.mode, job.dry_run],
    webhook: webhook.secret?.startsWith("whsec_"),
    refused: refused.message,
  }));
}

main();
