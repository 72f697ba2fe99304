// Metadata as rows of key and value, in place of the text area with JSON. The text area stays the
// field of the form: each change of a row writes its text anew. Without JavaScript, and for objects
// with more than MAX_ROWS keys, people edit the text area itself.
//
// A row says whether its value is a text or JSON. What people type into a new row is a text: 12 is
// "12". A value that nobody changes keeps its spelling, because JavaScript would read 1.0 as 1 and
// round long numbers. Keys that have a box of their own on the page are not among the rows; the JSON
// has them, too.

const MAX_ROWS = 200;
const NOT_JSON = said("This is not JSON. Choose Text to keep it as a text.");
const NO_KEY = said("The key is missing.");
const TWICE = said("Another row has this key.");
const BOXED = said("This key is one of the fields above.");
const TOKEN = /"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s"{}[\],:]+/g;

// The keys of a JSON object, each with its value as the text spells it. Throws SyntaxError if the
// text is not a JSON object.
function entries(text) {
  if (!text.trim()) return [];
  const whole = JSON.parse(text);
  if (whole === null || typeof whole !== "object" || Array.isArray(whole)) throw new SyntaxError();
  const found = [];
  let depth = 0;
  let entry = null;
  for (const { 0: token, index } of text.matchAll(TOKEN)) {
    if (depth === 1 && !entry && token.startsWith('"')) {
      entry = { key: JSON.parse(token), start: 0, end: 0 };
      found.push(entry);
    } else if (depth === 1 && (token === "," || token === "}")) {
      entry = null;
    } else if (entry && (entry.start || token !== ":")) {
      entry.start ||= index;
      entry.end = index + token.length;
    }
    if (token === "{" || token === "[") depth += 1;
    if (token === "}" || token === "]") depth -= 1;
  }
  return found.map(({ key, start, end }) => ({ key, spelled: text.slice(start, end) }));
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

// One key. `spelled`: its value in JSON; empty for a new row.
class Row {
  constructor(look, key, spelled, changed, removed) {
    [this.firstKey, this.spelled, this.changed] = [key, spelled, changed];
    this.isNew = !spelled;
    this.isText = this.isNew || spelled.startsWith('"');
    this.text = this.isNew ? "" : this.isText ? JSON.parse(spelled) : spelled.replaceAll("\n  ", "\n");
    this.key = element("input", { className: look, value: key, spellcheck: false, autocapitalize: "none" });
    this.value = element("textarea", { className: look, rows: 1, value: this.text, spellcheck: false });
    this.text = this.value.value; // with the line ends of the text area
    this.kind = element("select", { className: look }, new Option(said("Text"), "text"), new Option("JSON", "json"));
    this.kind.value = this.isText ? "text" : "json";
    this.remove = element("button", { type: "button", className: "copy", textContent: said("Remove") });
    this.problem = element("p", { className: "problem", role: "status" });
    this.item = element("li", {}, this.key, this.value, this.kind, this.remove, this.problem);
    this.item.addEventListener("input", () => this.renew());
    this.remove.addEventListener("click", removed);
    this.name();
  }

  renew() {
    this.name();
    this.changed();
  }

  name() {
    const key = this.key.value;
    this.key.ariaLabel = said("Key");
    this.value.ariaLabel = key ? said("Value of {key}", { key }) : said("Value of the new key");
    this.kind.ariaLabel = key ? said("Kind of {key}", { key }) : said("Kind of the new key");
    this.remove.ariaLabel = key ? said("Remove {key}", { key }) : said("Remove the new key");
    this.value.classList.toggle("mono", this.kind.value === "json");
  }

  get isEmpty() {
    return this.isNew && !this.key.value && !this.value.value;
  }

  get isValueAsBefore() {
    return !this.isNew && this.value.value === this.text && (this.kind.value === "text") === this.isText;
  }

  get isAsBefore() {
    return this.isValueAsBefore && this.key.value === this.firstKey;
  }

  // The value in JSON, which may be wrong.
  get json() {
    if (this.isValueAsBefore) return this.spelled;
    return this.kind.value === "text" ? JSON.stringify(this.value.value) : this.value.value;
  }

  // What is wrong with the row, or nothing. `others`: the keys of the rows before. `boxed`: those
  // of the boxes.
  fault(others, boxed) {
    if (this.isNew && !this.key.value) return NO_KEY;
    if (boxed.has(this.key.value)) return BOXED;
    if (others.has(this.key.value)) return TWICE;
    return isJSON(this.json) ? "" : NOT_JSON;
  }
}

// Says where the text is wrong. What is wrong, browsers say in English only.
function notAnObject(error) {
  const [, line, column] = /line (\d+) column (\d+)/.exec(error.message) ?? [];
  const place = line ? said("Look at line {line}, column {column}.", { line, column }) : "";
  return `${said("This is not a JSON object.")} ${place}`;
}

function isJSON(text) {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

class Metadata {
  constructor(field) {
    this.field = field;
    this.boxed = new Set(JSON.parse(field.dataset.fields || "[]"));
    this.look = field.className.replace(/\b(mono|vLargeTextField|max-w-\S+)/g, "");
    this.list = element("ul", { className: "rows-of-metadata" });
    this.add = element("button", { type: "button", className: "copy", textContent: said("Add a key") });
    this.other = element("button", { type: "button", className: "copy" });
    this.status = element("p", { className: "problem", role: "status" });
    const hint = said("What you type is a text, also 12. Choose JSON for a number, true, false, null, a list or an object.");
    this.hint = element("p", { className: "under", textContent: hint });
    const buttons = element("p", { className: "buttons" }, this.add, this.other);
    field.before(this.list, this.hint);
    field.after(buttons, this.status);
    this.add.addEventListener("click", () => this.append("", "").key.focus());
    this.other.addEventListener("click", () => (this.field.hidden ? this.showText() : this.showRows(true)));
    // Before tags.js and admin.js, which see that this submit does not happen.
    field.form.addEventListener("submit", (event) => this.check(event), { capture: true });
    this.showRows(false);
  }

  showText(sentence = "") {
    this.show(false, sentence);
  }

  // `isAsked`: somebody has pressed the button, and is told why there are no rows.
  showRows(isAsked) {
    try {
      const all = entries(this.field.value);
      const found = all.filter(({ key }) => !this.boxed.has(key));
      this.kept = all.filter(({ key }) => this.boxed.has(key));
      if (found.length > MAX_ROWS) {
        const sentence = said("More than {number} keys can only be edited as JSON.", { number: MAX_ROWS });
        return this.showText(isAsked ? sentence : "");
      }
      [this.source, this.number, this.rows] = [this.field.value, found.length, []];
      this.list.replaceChildren();
      for (const { key, spelled } of found) this.append(key, spelled);
      this.show(true, "");
    } catch (error) {
      if (!(error instanceof SyntaxError)) throw error;
      this.showText(isAsked ? notAnObject(error) : "");
    }
  }

  show(isRows, sentence) {
    this.field.hidden = isRows;
    this.list.hidden = this.hint.hidden = this.add.hidden = !isRows;
    this.other.textContent = isRows ? said("Edit as JSON") : said("Edit as rows");
    this.status.textContent = sentence;
  }

  append(key, spelled) {
    const row = new Row(this.look, key, spelled, () => this.write(), () => this.take(row));
    this.rows.push(row);
    this.list.append(row.item);
    return row;
  }

  take(row) {
    const next = this.rows[this.rows.indexOf(row) + 1];
    this.rows = this.rows.filter((other) => other !== row);
    row.item.remove();
    (next?.remove ?? this.add).focus();
    this.write();
  }

  get filled() {
    return this.rows.filter((row) => !row.isEmpty);
  }

  // Writes the rows into the form's field; its first text, if nothing has changed.
  write() {
    const rows = this.filled;
    const isAsBefore = rows.length === this.number && rows.every((row) => row.isAsBefore);
    const lines = [...this.kept.map(({ key, spelled }) => [key, spelled]), ...rows.map((row) => [row.key.value, row.json])].map(([key, json]) => `  ${JSON.stringify(key)}: ${json}`);
    this.field.value = isAsBefore ? this.source : lines.length ? `{\n${lines.join(",\n")}\n}` : "{}";
    if (this.list.querySelector(".problem:not(:empty)")) this.faulty();
  }

  // Shows what is wrong with each row. Returns the first row that is wrong.
  faulty() {
    const keys = new Set();
    for (const row of this.filled) {
      row.problem.textContent = row.fault(keys, this.boxed);
      keys.add(row.key.value);
    }
    return this.filled.find((row) => row.problem.textContent);
  }

  // Does not send the form while a row is wrong: the text in its place could mean something else.
  check(event) {
    const row = this.field.hidden && this.faulty();
    if (!row) return;
    event.preventDefault();
    (row.problem.textContent === NOT_JSON ? row.value : row.key).focus();
  }
}

for (const field of document.querySelectorAll("textarea[data-metadata]")) new Metadata(field);
