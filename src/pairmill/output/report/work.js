// What people decide about pairs; only over a server, which keeps it.

const work = { last: null, refreshCounts: () => {}, replace: () => {} };
const say = (text) => { by("said").textContent = ""; by("said").textContent = text; };
const trouble = (error) => {
  const box = by("trouble");
  if (!box) return;
  box.hidden = !error;
  box.textContent = error ? tidy(error.message || error) : "";
};
const guarded = (call) => async (...given) => {
  try {
    const found = await call(...given);
    trouble("");
    return found;
  } catch (error) {
    if (!source.isLive) throw error;
    trouble(error);
    return undefined;
  }
};

const button = (label, act, cls, key) => {
  const node = make("button", label, cls);
  node.type = "button";
  if (key) node.setAttribute("aria-keyshortcuts", key);
  node.addEventListener("click", act);
  return node;
};

const took = (answer, told) => {
  work.last = answer.last;
  work.refreshCounts(answer);
  for (const row of answer.pairs || []) work.replace(row);
  say(told);
};

const PAST = { accept: "accepted", reject: "rejected", clear: "undecided again", note: "noted" };
const decide = guarded(async (action, places, note) => {
  took(await source.decide(action, places, note), `Pair ${places.join(", ")}: ${PAST[action]}`);
  return true;
});
const undo = guarded(async () => {
  if (!work.last) { say("Nothing to undo"); return; }
  const { action, pairs } = work.last;
  took(await source.undo(work.last.id), `Undone: ${action} of ${pairs} ${pairs === 1 ? "pair" : "pairs"}`);
  await work.reload();
});

const close = (article) => {
  const open = article.querySelector(".form");
  if (open) { open.remove(); article.focus({ preventScroll: true }); }
};

const field = (label, text, rows) => {
  const box = make("label", label);
  const area = make("textarea");
  area.value = text; // as it is, so that what is saved differs only where it was edited
  area.rows = rows;
  area.dir = "auto";
  box.append(area);
  return [box, area];
};

const form = (article, save, ...inside) => {
  close(article);
  const node = make("form", undefined, "form");
  node.append(...inside);
  node.addEventListener("submit", (event) => { event.preventDefault(); save(); });
  node.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { event.stopPropagation(); close(article); }
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) { event.preventDefault(); save(); }
  });
  const submit = make("button", "Save", "strong");
  submit.type = "submit";
  const line = make("p", undefined, "tools");
  line.append(submit, button("Cancel", () => close(article)));
  node.append(line);
  article.querySelector(".tools").after(node);
  node.querySelector("textarea").focus();
  return line;
};

const takeNote = (row, article) => {
  const [box, area] = field("Note", row.note, 2);
  form(article, () => decide("note", [row.place], area.value), box);
};

const startEdit = guarded(async (row, article) => {
  const { texts } = await source.pair(row.place);
  if (!texts.length) { say("Nothing can be edited here"); return; }
  const areas = texts.map((text) => [text, ...field(text.label, text.text, Math.min(12, 2 + Math.ceil(text.text.length / 90)))]);
  const save = guarded(async (values) => {
    const answer = await source.edit(row.place, values);
    took(answer, answer.is_checked ? "Saved and checked" : "Saved; not checked, since the text that it was written from is not at hand");
  });
  const line = form(article, () => save(areas.map(([text, , area]) => [text.path, area.value])), ...areas.map((entry) => entry[1]));
  if (texts.some((text) => text.text !== text.original)) line.append(button("Put the original back", () => save([])));
});

const showStory = guarded(async (row, article) => {
  const open = article.querySelector(".story");
  if (open) { open.remove(); return; }
  const told = await source.story(row.place);
  const box = make("div", undefined, "story");
  const add = (title, text) => {
    if (!text) return;
    const part = make("pre", text, "foreign");
    part.tabIndex = 0;
    part.setAttribute("role", "region");
    part.setAttribute("aria-label", title);
    box.append(make("h4", title), part);
  };
  if (told.note) box.append(make("p", told.note, "note foreign"));
  (told.exchanges || []).forEach((one, at) => {
    for (const turn of one.messages || []) add(`Question ${at + 1}: ${turn.role}`, turn.content);
    add(`Answer ${at + 1}, as it came (${one.model || ""}, ${one.finish_reason || ""})`, one.text || one.answer);
  });
  (told.unmatched || []).forEach((one) => add("Answer whose question is not known", one.text || one.answer));
  (told.dropped || []).forEach((one) => add(`Dropped on the way: ${one.reason}`, [one.detail, one.raw].filter(Boolean).join("\n")));
  const numbers = (told.measures || []).map((one) => `${one.check}: ${one.finding || one.value}${one.limit ? ` (${one.limit})` : ""}`);
  add("Numbers beside their limits", numbers.join("\n"));
  if (told.usd !== null && told.usd !== undefined) box.append(make("p", `The answers of its text cost $${Number(told.usd).toFixed(6)} together.`, "note"));
  article.append(box);
});

const toolsOf = (row, article) => {
  const line = make("p", undefined, "tools");
  if (row.can_decide) {
    const on = (decision) => (row.decision === decision ? "on" : "");
    line.append(button(row.reason ? "Accept anyway" : "Accept", () => decide("accept", [row.place]), on("accepted"), "a"));
    if (!row.reason) line.append(button("Reject", () => decide("reject", [row.place]), on("rejected"), "r"));
    if (row.decision) line.append(button("Clear", () => decide("clear", [row.place]), "", "c"));
    line.append(button("Edit", () => startEdit(row, article), "", "e"));
  }
  line.append(button(row.note ? "Change note" : "Note", () => takeNote(row, article), "", "n"));
  if (row.has_story) line.append(button("How it came about", () => showStory(row, article), "", "o"));
  return line;
};

const KEYS = {
  a: (row) => row.can_decide && decide("accept", [row.place]),
  r: (row) => row.can_decide && !row.reason && decide("reject", [row.place]),
  c: (row) => row.can_decide && decide("clear", [row.place]),
  e: (row, article) => row.can_decide && startEdit(row, article),
  n: (row, article) => takeNote(row, article),
  o: (row, article) => row.has_story && showStory(row, article),
};

