// The search for a contact that Ctrl+K opens on every page: a text box, and links to the newest
// contacts that match. A late answer of the server belongs to an older text, so it is ignored: Enter
// would open the contact of somebody else.

class Finder {
  static PAUSE = 120; // milliseconds without a key before the script asks

  constructor(dialog) {
    this.dialog = dialog;
    this.box = dialog.querySelector("input");
    this.list = dialog.querySelector(".found");
    this.status = dialog.querySelector("[role=status]");
    this.turn = 0;
    this.box.addEventListener("input", () => this.askSoon());
    this.box.form.addEventListener("submit", (event) => this.enter(event));
    dialog.addEventListener("keydown", (event) => this.key(event));
    dialog.addEventListener("click", (event) => {
      const isOutside = event.target === dialog; // its content fills it
      if (isOutside || event.target.closest(".close")) dialog.close();
    });
  }

  open() {
    if (!this.dialog.open) this.dialog.showModal();
    this.box.focus();
    this.box.select();
  }

  // Whether the list belongs to the text in the box.
  get isCurrent() {
    return !this.list.ariaBusy;
  }

  askSoon() {
    this.turn += 1;
    this.isEntered = false;
    this.list.ariaBusy = "true";
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.ask(), Finder.PAUSE);
  }

  async ask() {
    const { turn } = this;
    const found = await this.fetch(this.box.value.trim());
    if (turn !== this.turn) return;
    this.list.innerHTML = found; // the server has escaped it
    this.list.ariaBusy = null;
    this.status.textContent = this.list.firstElementChild?.dataset.status ?? "";
    if (this.isEntered) this.openFirst();
  }

  // The links as HTML.
  async fetch(text) {
    if (!text) return "";
    const url = new URL(this.dialog.dataset.url, location);
    url.searchParams.set("q", text);
    try {
      const answer = await fetch(url);
      if (answer.ok && !answer.redirected) return await answer.text(); // redirected: to the login
    } catch {
      // no connection
    }
    const problem = document.createElement("p");
    problem.dataset.status = said("The search does not answer. Load the page again.");
    return problem.outerHTML;
  }

  // Enter opens the first contact, also if it is pressed before the answer comes.
  enter(event) {
    event.preventDefault();
    this.isEntered = true;
    if (this.isCurrent) this.openFirst();
  }

  openFirst() {
    this.list.querySelector("a")?.click();
  }

  key(event) {
    const { activeElement } = document;
    const stops = [this.box, ...this.list.querySelectorAll("a")];
    const move = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (move) {
      event.preventDefault();
      const next = (stops.indexOf(activeElement) + move + stops.length) % stops.length;
      stops[next].focus();
    } else if (activeElement.closest(".found") && event.key.length === 1 && !event.ctrlKey && !event.metaKey) {
      this.box.focus(); // and the key is typed there
    }
  }
}

document.addEventListener("DOMContentLoaded", () => {
  const dialog = document.getElementById("finder");
  if (!dialog) return;
  const finder = new Finder(dialog);
  document.addEventListener("click", (event) => {
    if (event.target.closest(".open-finder")) finder.open();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key.toLowerCase() !== "k" || event.ctrlKey === event.metaKey) return;
    event.preventDefault(); // browsers go to their own search
    finder.open();
  });
});
