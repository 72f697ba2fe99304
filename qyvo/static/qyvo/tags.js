// Text boxes for tags, with suggestions below (a combobox of WAI-ARIA 1.2). The text in the box is
// the value. A late response of the server belongs to an older text, so it is ignored: using it would
// add a wrong tag.

const PAUSE = 120; // milliseconds without a key before the script asks for suggestions
const PATIENCE = 1000; // milliseconds that Enter waits for suggestions; then it uses the typed text
let lastId = 0;

function element(tag, properties = {}, ...children) {
  const { role, ...others } = properties;
  const made = Object.assign(document.createElement(tag), others);
  if (role) made.setAttribute("role", role);
  made.append(...children);
  return made;
}

const startsWith = (name, text) => name.toLowerCase().startsWith(text.toLowerCase());

// The tag that `text` most likely means: the tag with this name, else the first existing tag that
// begins with it, else a new tag.
function bestMatch(names, text) {
  return names.includes(text) ? text : (names.find((name) => startsWith(name, text)) ?? text);
}

class Suggestions {
  // `take`: a function that gets the chosen name. `mayCreate`: also offers to create a new tag, and
  // marks the suggestion that Enter would take.
  constructor(box, address, take, mayCreate) {
    Object.assign(this, { box, address, take, mayCreate, answers: new Map(), marked: null, turn: 0 });
    const id = `suggestions-${++lastId}`;
    const label = box.labels?.[0]?.textContent.trim() ?? said("Tags");
    this.list = element("ul", { id, className: "suggestions", role: "listbox", hidden: true });
    this.list.setAttribute("aria-label", said("Suggestions: {label}", { label }));
    this.status = element("span", { className: "hidden-but-read", role: "status" });
    const around = element("div", { className: "suggesting" });
    box.replaceWith(around);
    around.append(box, this.list, this.status);
    const attributes = { role: "combobox", "aria-autocomplete": "list", "aria-controls": id, "aria-expanded": "false" };
    for (const [name, value] of Object.entries(attributes)) box.setAttribute(name, value);
    box.addEventListener("input", (event) => !event.isComposing && this.showSoon());
    box.addEventListener("compositionend", () => this.showSoon());
    box.addEventListener("click", () => this.show());
    box.addEventListener("blur", () => this.hide());
    box.addEventListener("keydown", (event) => isTyped(event) && this.key(event));
    this.list.addEventListener("mousedown", (event) => event.preventDefault()); // keeps the focus
    this.list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) this.choose(option);
    });
  }

  get text() {
    return this.box.value.trim();
  }

  // The names that the server suggests for `text`. Empty if the server does not respond.
  ask(text) {
    const url = new URL(this.address, location);
    url.searchParams.set("term", text);
    // A superuser chooses the tenant of a new row in the same form.
    const tenant = this.box.form?.elements.namedItem("tenant")?.value;
    if (tenant) url.searchParams.set("tenant", tenant);
    if (!this.answers.has(url.href)) this.answers.set(url.href, this.fetch(url));
    return this.answers.get(url.href);
  }

  async fetch(url) {
    try {
      const { results } = await (await fetch(url)).json();
      return results.map((result) => result.text);
    } catch {
      this.answers.delete(url.href); // so that the next call asks again
      return [];
    }
  }

  // The name that Enter takes for `text`. It does not depend on whether the suggestions are already
  // visible: a fast typist gets the same tag as a slow one.
  async resolve(text) {
    const late = new Promise((done) => setTimeout(done, PATIENCE, []));
    return bestMatch(await Promise.race([this.ask(text), late]), text);
  }

  showSoon() {
    this.hide(); // the visible suggestions belong to an older text
    clearTimeout(this.timer);
    if (this.text) this.timer = setTimeout(() => this.show(), PAUSE);
  }

  async show() {
    const { text } = this;
    const turn = ++this.turn;
    const names = await this.ask(text);
    const isCurrent = turn === this.turn && text === this.text && document.activeElement === this.box;
    if (isCurrent) this.render(text, names);
  }

  render(text, names) {
    const near = text ? names.filter((name) => startsWith(name, text)) : [];
    const isNew = this.mayCreate && text && !names.includes(text);
    const exact = names.filter((name) => name === text);
    this.list.replaceChildren(
      ...[...new Set([...exact, ...near])].map((name) => this.option(name)),
      ...(isNew ? [this.option(text, said("Create tag “{name}”", { name: text }))] : []),
      ...names.filter((name) => !near.includes(name)).map((name) => this.option(name)),
    );
    this.list.hidden = !this.list.childElementCount;
    this.box.setAttribute("aria-expanded", String(!this.list.hidden));
    this.status.textContent = this.list.hidden && text ? said("No tag contains “{text}”.", { text }) : "";
    this.mark(this.mayCreate && text ? this.list.firstElementChild : null);
    this.wasMoved = false;
  }

  option(name, text = name) {
    const made = element("li", { id: `suggestion-${++lastId}`, role: "option", dir: "auto", textContent: text });
    made.dataset.name = name;
    made.setAttribute("aria-selected", "false");
    return made;
  }

  mark(option) {
    this.marked?.setAttribute("aria-selected", "false");
    this.marked = option;
    option?.setAttribute("aria-selected", "true");
    option?.scrollIntoView({ block: "nearest" });
    if (option) this.box.setAttribute("aria-activedescendant", option.id);
    else this.box.removeAttribute("aria-activedescendant");
  }

  hide() {
    this.turn += 1; // a response that is still on its way is not shown
    this.list.hidden = true;
    this.list.replaceChildren();
    this.box.setAttribute("aria-expanded", "false");
    this.mark(null);
    this.wasMoved = false;
  }

  choose(option) {
    const { name } = option.dataset;
    clearTimeout(this.timer);
    this.hide();
    this.take(name);
  }

  key(event) {
    const moves = { ArrowDown: 1, ArrowUp: -1 };
    if (event.key in moves && !event.altKey) {
      event.preventDefault();
      if (this.list.hidden) this.show();
      else this.move(moves[event.key]);
    } else if (event.key === "Escape" && !this.list.hidden) {
      event.stopPropagation(); // the panel of the filters stays open
      clearTimeout(this.timer);
      this.hide();
    } else if (["Enter", "Tab"].includes(event.key) && this.marked && this.wasMoved) {
      if (event.key === "Enter") event.preventDefault();
      this.choose(this.marked);
    }
  }

  move(by) {
    const options = [...this.list.children];
    const position = options.indexOf(this.marked);
    const next = position < 0 && by < 0 ? options.length - 1 : position + by;
    this.mark(options[(next + options.length) % options.length]);
    this.wasMoved = true;
  }
}

// False for keys of an input method that composes a character, e.g. in Japanese: there, Enter ends
// the character. Some browsers report such keys only by the code 229.
const isTyped = (event) => !event.isComposing && event.keyCode !== 229;

// A box for several tags, with a chip for each tag. The form's own field always contains the names of
// all chips and the text in the box, so no typed text is lost, however the form is sent.
class TagNames {
  constructor(field) {
    this.field = field;
    this.chips = [];
    this.pending = new Set();
    this.box = field.cloneNode();
    for (const name of ["name", "value", "data-suggest", "data-tags", "required"]) this.box.removeAttribute(name);
    this.box.value = ""; // a copy has what typed.js has brought back, too
    field.after(this.box);
    field.hidden = true; // type="hidden" would change defaultValue, which shows unsaved changes
    field.removeAttribute("id"); // the label then belongs to the box, which has the same id
    this.list = element("ul", { className: "chips tag-names" });
    this.list.setAttribute("aria-label", this.box.labels?.[0]?.textContent.trim() ?? said("Tags"));
    this.status = element("p", { className: "tag-status", role: "status" });
    this.suggestions = new Suggestions(this.box, field.dataset.suggest, (name) => this.choose(name), true);
    this.box.parentElement.before(this.list, this.status); // below the box, suggestions would hide them
    names(field.value).forEach((name) => this.add(name));
    this.box.addEventListener("input", (event) => this.typed(event));
    this.box.addEventListener("compositionend", (event) => this.typed(event));
    this.box.addEventListener("paste", (event) => this.paste(event));
    this.box.addEventListener("keydown", (event) => isTyped(event) && this.key(event));
    field.form?.addEventListener("submit", (event) => this.wait(event));
  }

  // Writes the chips and the typed text into the form's field.
  sync() {
    const { value } = this.field;
    this.field.value = [...this.chips.map((chip) => chip.name), ...names(this.box.value)].join(", ");
    if (this.field.value !== value) this.field.dispatchEvent(new Event("input", { bubbles: true }));
  }

  // The chip with this name; creates it if there is none.
  add(name) {
    const existing = this.chips.find((chip) => chip.name === name);
    return existing ?? this.append(name);
  }

  append(name) {
    const text = element("span", { dir: "auto" });
    const button = element("button", { type: "button" }, element("span", { textContent: "×", ariaHidden: "true" }));
    const chip = { item: element("li", { className: "chip" }, text, button) };
    chip.rename = (other) => {
      chip.name = chip.item.title = text.textContent = other;
      button.ariaLabel = said("Remove the tag {name}", { name: other });
    };
    chip.rename(name);
    button.addEventListener("click", () => {
      this.remove(chip);
      this.box.focus();
    });
    this.chips.push(chip);
    this.list.append(chip.item);
    this.sync();
    return chip;
  }

  remove(chip) {
    this.chips = this.chips.filter((other) => other !== chip);
    chip.item.remove();
    this.sync();
  }

  rename(chip, name) {
    if (this.chips.some((other) => other.name === name)) this.remove(chip);
    else chip.rename(name);
    this.sync();
  }

  choose(name) {
    this.box.value = "";
    this.add(name);
    this.sync();
    this.status.textContent = said("Added: {name}", { name });
  }

  // Enter takes the suggestion that is marked for this text, also if it is not visible yet.
  async enter() {
    const text = this.take();
    if (!text) return;
    const chip = this.add(text);
    const name = await this.suggestions.resolve(text);
    if (name === text || !this.chips.includes(chip)) return;
    this.rename(chip, name);
    const instead = said("Create “{text}” instead", { text });
    const back = element("button", { type: "button", textContent: instead });
    back.addEventListener("click", () => {
      if (this.chips.includes(chip)) this.rename(chip, text);
      else this.add(text);
      this.status.replaceChildren();
      this.box.focus();
    });
    const sentence = said("“{text}” was completed to “{name}”.", { text, name });
    this.status.replaceChildren(`${sentence} `, back);
  }

  // Empties the box and returns its text.
  take() {
    const text = this.box.value.trim();
    this.box.value = "";
    this.suggestions.showSoon();
    return text;
  }

  typed(event) {
    if (event.isComposing) return;
    const parts = this.box.value.split(",");
    if (parts.length > 1) this.box.value = parts.at(-1).trimStart();
    parts.slice(0, -1).flatMap(names).forEach((name) => this.add(name));
    this.sync();
  }

  // Each pasted line is a tag, e.g. of a spreadsheet's column. A text box would join the lines.
  paste(event) {
    const text = event.clipboardData.getData("text").trim();
    if (!/[\n\r\t]/.test(text)) return;
    event.preventDefault();
    const { selectionStart, selectionEnd } = this.box;
    this.box.setRangeText(text.replace(/\s*[\n\r\t]+\s*/g, ","), selectionStart, selectionEnd, "end");
    this.box.dispatchEvent(new Event("input", { bubbles: true }));
  }

  key(event) {
    if (event.key === "Enter" && !event.defaultPrevented) {
      event.preventDefault(); // Enter adds a tag; only the buttons save the form
      const work = this.enter().finally(() => this.pending.delete(work));
      this.pending.add(work);
    } else if (event.key === "Tab") {
      names(this.take()).forEach((name) => this.add(name));
    } else if (event.key === "Backspace" && !this.box.value && this.chips.length) {
      event.preventDefault();
      const last = this.chips.at(-1);
      this.box.value = last.name;
      this.remove(last);
      this.suggestions.showSoon();
    }
  }

  // Sends the form after the tags of Enter are resolved: their suggestions may still be on the way.
  wait(event) {
    if (!this.pending.size) return;
    event.preventDefault();
    if (this.isWaiting) return;
    this.isWaiting = true;
    Promise.allSettled([...this.pending]).then(() => {
      this.isWaiting = false;
      this.field.form.requestSubmit(event.submitter);
    });
  }
}

const names = (text) => text.split(",").map((name) => name.trim()).filter(Boolean);

for (const field of document.querySelectorAll("input[data-suggest]")) {
  if ("tags" in field.dataset) new TagNames(field);
  else new Suggestions(field, field.dataset.suggest, (name) => (field.value = name), false);
}
