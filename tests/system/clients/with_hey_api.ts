// The calls of generated_clients.py, by the client that @hey-api/openapi-ts generates.
import { client } from "./hey_api/client.gen";
import * as api from "./hey_api/sdk.gen";

client.setConfig({ baseUrl: process.env.URL, auth: process.env.TOKEN });
const phone = "+1 415 555 0123";

async function main() {
  const created = (await api.createContact({ body: { phone, name: "Romain", tags: ["vip"] } })).data!;
  const updated = (await api.updateContact({ body: { contact_id: created.id, name: "Romain R." } })).data!;
  const cleared = (await api.updateContact({ body: { contact_id: created.id, email: null } })).data!;
  const tagged = (await api.addTag({ body: { phone, tag: "beta" } })).data!;
  const rows = [{ phone: "+33 6 12 34 56 78", name: "Zoé", ref: "row-1" }, { phone: "+1 415" }];
  const batch = (await api.createContacts({ body: { contacts: rows } })).data!;
  const found = (await api.searchContacts({ body: { query: "romain", limit: 5 } })).data!;
  const first = (await api.listContacts({ body: { limit: 1 } })).data!;
  const second = (await api.listContacts({ body: { limit: 1, cursor: first.next_cursor } })).data!;
  const consent = (await api.recordConsent({ body: { phone, status: "opted_in", source: "form" } })).data!;
  const file = new File(["Mobile\n+33612345678\n"], "people.csv", { type: "text/csv" });
  const form = { file, mode: "create-only" as const, dry_run: true, tag: ["a", "b"] };
  const job = (await api.createImport({ body: form })).data!;
  const webhook = (await api.createWebhook({ body: { url: "https://shop.example.com/hooks" } })).data!;
  const refused = (await api.createContact({ body: { phone: "+1 415" } })).error!;
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
