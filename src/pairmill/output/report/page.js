// The page: filters, the list, keys, and over a server what is new.

const NAMES = ["search", "state", "mark", "finding", "rating", "source", "author", "kind", "language"];
const PAGE = 25;
const list = by("list"), more = by("more"), count = by("count"), bulk = by("bulk");
let rows = [], total = 0, decidable = 0, at = -1, asked = 0, upto, newest = 0, marksVersion = "";

const wanted = () => Object.fromEntries(NAMES.map((name) => [name, by(name).value]));
const number = (value) => value.toLocaleString("en");

// Kept or dropped as tabs, and under the dropped ones their reasons: buttons over two of the filters.
const tab = (box, key, label, isOn, act) => {
  let node = [...box.children].find((child) => child.dataset.key === key);
  if (!node) {
    node = button(label, act);
    node.dataset.key = key;
    box.append(node);
  }
  if (node.textContent !== tidy(label)) node.textContent = tidy(label);
  node.setAttribute("aria-pressed", String(isOn));
};
const choose = (given) => { for (const [id, value] of Object.entries(given)) setFilter(by(id), value); apply(); };
const hasOption = (node, value) => [...node.options].some((option) => option.value === value);
const setFilter = (node, value) => {
  if (value && node.options && !hasOption(node, value)) {
    const option = make("option", value);
    option.value = value;
    node.append(option);
  }
  node.value = value;
};
const showTabs = () => {
  const progress = state.progress || {};
  const dropped = source.isLive ? progress.rejects || 0 : source.rejects;
  const kept = source.isLive ? progress.pairs || 0 : source.total - dropped;
  const chosen = by("state").value, reasons = by("reasons");
  const leave = Object.fromEntries(facetsOf("reason").map(([name]) => [name, 1]));
  const go = (value) => () => choose({ state: value, ...(leave[by("finding").value] ? { finding: "" } : {}) });
  tab(by("tabs"), "", `All (${number(kept + dropped)})`, chosen === "", go(""));
  tab(by("tabs"), "kept", `In the dataset (${number(kept)})`, chosen === "kept", go("kept"));
  tab(by("tabs"), "flagged", "With a finding", chosen === "flagged", go("flagged"));
  if (dropped) tab(by("tabs"), "rejected", `Dropped (${number(dropped)})`, chosen === "rejected", go("rejected"));
  reasons.hidden = chosen !== "rejected";
  for (const [name, times] of facetsOf("reason").slice(0, 30)) {
    const isOn = by("finding").value === name;
    tab(reasons, `=${name}`, `${name} ${number(times)}`, isOn, () => choose({ finding: by("finding").value === name ? "" : name }));
  }
};
let facets = {};
const facetsOf = (name) => facets[name] || [];

const fill = (found) => {
  facets = found;
  for (const [id, entries] of Object.entries(found)) {
    if (id === "reason") continue; // buttons of their own
    const select = by(id), chosen = select.value, known = JSON.stringify(entries);
    if (select.dataset.known === known || select === document.activeElement) continue; // it may be open
    select.dataset.known = known;
    const options = entries.map(([name, times]) => {
      const option = make("option", `${name} (${number(times)})`);
      option.value = name;
      return option;
    });
    select.replaceChildren(select.options[0], ...options);
    setFilter(select, chosen);
    select.closest("label").hidden = !entries.length && !chosen;
  }
};

const told = () => {
  const what = source.isLive ? `${number(total)} found` : `${number(total)} of ${number(source.total)} listed here`;
  const fresh = source.isLive && upto !== undefined ? newest - upto : 0;
  const text = `${what}, ${number(rows.length)} shown`;
  if (count.dataset.told === `${text} ${fresh}`) return; // else it would be read out again
  count.dataset.told = `${text} ${fresh}`;
  count.textContent = text;
  if (fresh > 0) {
    const link = button(`${number(fresh)} new`, apply, "link");
    count.append("; ", link);
  }
};

const show = (pairs) => {
  rows.push(...pairs);
  list.append(...pairs.map(cardOf));
  more.hidden = rows.length >= total || !pairs.length;
  told();
};

const load = guarded(async (isFresh) => {
  const ticket = ++asked;
  const want = { ...wanted(), upto: source.isLive ? upto : undefined };
  const found = await source.page(want, by("sort").value, isFresh ? 0 : rows.length, PAGE);
  if (ticket !== asked) return; // another filter was chosen meanwhile
  total = found.total;
  decidable = found.decidable ?? total;
  if (isFresh) {
    rows = [];
    at = -1;
    list.replaceChildren();
  }
  show(found.pairs);
  if (source.isLive) showBulk();
});

const apply = async () => {
  keepFilter();
  showTabs();
  upto = newest || undefined;
  await load(true);
};

// The filter stands behind the # of the address, so that a page loaded again has it still.
const keepFilter = () => {
  const given = new URLSearchParams(Object.entries({ ...wanted(), sort: by("sort").value }).filter(([name, value]) => value && value !== (name === "sort" ? "worst" : "")));
  if (String(given) || location.hash.startsWith("#?")) history.replaceState(null, "", `#${String(given) ? `?${given}` : ""}`);
};
const takeFilter = () => {
  if (!location.hash.startsWith("#?")) return;
  for (const [name, value] of new URLSearchParams(location.hash.slice(2))) {
    if (!NAMES.includes(name) && name !== "sort") continue;
    const node = by(name);
    const isFixed = name === "sort" || name === "state" || name === "mark" || name === "rating";
    if (isFixed && !hasOption(node, value)) continue;
    setFilter(node, value);
  }
};

const showBulk = () => {
  bulk.hidden = !total;
  const some = decidable === total ? "" : ` of ${number(total)}`;
  const ask = (action, label) => {
    const sure = make("span", decidable === total ? `${label} all ${number(total)}?` : `${label} ${number(decidable)}${some}?`);
    const filter = { ...wanted(), upto };
    const expected = total;
    const yes = button("Yes", guarded(async () => {
      const answer = await source.decideAll(action, filter, expected);
      took(answer, `${number(answer.count)} pairs: ${PAST[action]}`);
      await load(true);
    }), "strong");
    bulk.replaceChildren(sure, " ", yes, button("No", showBulk));
    yes.focus();
  };
  const label = total === 1 ? "1 found" : decidable === total ? `all ${number(total)} found` : `${number(decidable)}${some} found`;
  const isDropped = by("state").value === "rejected";
  bulk.replaceChildren(
    ...(decidable ? [button(`Accept ${label}${isDropped ? " anyway" : ""}`, () => ask("accept", "Accept"))] : []),
    ...(decidable && !isDropped ? [button(`Reject ${label}`, () => ask("reject", "Reject"))] : []),
    button("Clear decisions", () => ask("clear", "Clear the decisions on")),
  );
  if (work.last) {
    const pairs = work.last.pairs;
    bulk.append(button(`Undo ${work.last.action} of ${number(pairs)} ${pairs === 1 ? "pair" : "pairs"}`, undo, "", "u"));
  }
};

const focusOn = async (place) => {
  if (!rows.length) return;
  at = Math.max(0, Math.min(place, total - 1));
  if (at >= rows.length) await load(false);
  at = Math.min(at, rows.length - 1);
  const target = list.children[at];
  target.scrollIntoView({ block: "start" });
  target.focus({ preventScroll: true });
};

document.addEventListener("keydown", async (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
  if (event.key === "/") { event.preventDefault(); by("search").focus(); return; }
  const step = { j: 1, k: -1 }[event.key];
  if (step) { await focusOn(at + step); return; }
  if (!source.isLive) return;
  if (event.key === "u") { await undo(); return; }
  const focused = event.target.closest?.("article");
  if (focused) at = [...list.children].indexOf(focused);
  const row = rows[at];
  if (!row || row.gone || !KEYS[event.key]) return;
  event.preventDefault();
  const done = await KEYS[event.key](row, list.children[at]);
  if (done && (event.key === "a" || event.key === "r")) await focusOn(at + 1);
});

let timer = 0;
by("filters").addEventListener("submit", (event) => event.preventDefault());
by("filters").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(apply, 60); });
more.addEventListener("click", () => load(false));

// Over a server: what is decided, and what is new

work.replace = (row) => {
  const place = rows.findIndex((other) => other.place === row.place);
  if (place < 0) return;
  rows[place] = row;
  const old = list.children[place], fresh = cardOf(row);
  const hadFocus = old.contains(document.activeElement);
  old.replaceWith(fresh);
  if (hadFocus) fresh.focus({ preventScroll: true });
};
work.refreshCounts = (answer) => {
  if (answer.marks_version) marksVersion = answer.marks_version;
  state.marks = answer.marks;
  showLive();
  showBulk();
};
work.reload = () => load(true);

let state = {}, overview = 0;
const showLive = () => {
  const live = by("live");
  const put = [];
  const add = (label, text) => text && put.push([label, text]);
  for (const [label, text] of state.live || []) add(label, text);
  const marks = Object.entries(state.marks || {}).map(([what, times]) => `${number(times)} ${what}`).join(", ");
  add("marks", marks || "none yet");
  const progress = state.progress || {};
  const [done, all] = progress.bytes || [0, 0];
  if (!progress.is_done && all) add("index", `${Math.floor((100 * done) / all)} %, ${number(progress.pairs || 0)} pairs so far`);
  if (!state.is_run && progress.is_done) add("pairs", number(progress.pairs || 0));
  if (progress.damaged) add("unreadable", `${number(progress.damaged)} records`);
  if (progress.chunks) add("texts", progress.chunks === "reading" ? "being looked up" : progress.chunks);
  for (const line of state.notices || []) add("marks file", line);
  const text = JSON.stringify(put);
  if (live.dataset.told === text) return;
  live.dataset.told = text;
  live.replaceChildren(...put.flatMap(([label, said]) => [make("dt", label), make("dd", said, "foreign")]));
};

// The server's own HTML, in which foreign text stands escaped; no script in it would run.
const showParts = async () => {
  const parts = await source.overview();
  overview = parts.version;
  for (const [id, html] of [["verdict", parts.verdict], ["figures", parts.figures]]) {
    const body = new DOMParser().parseFromString(html, "text/html").body;
    by(id).replaceChildren(...body.childNodes);
  }
  const again = make("p", undefined, "tools");
  again.append(button("Judge again", guarded(async () => { await source.judge(); say("Being judged again"); by("verdict").setAttribute("aria-busy", "true"); })));
  by("verdict").removeAttribute("aria-busy");
  if (parts.note) by("verdict").append(make("p", `Not judged yet: ${parts.note}`, "note foreign"));
  by("verdict").append(again);
};

const look = async () => {
  let pause = document.hidden ? 5000 : 1000;
  try {
    state = await source.state();
    trouble(state.problem);
    fill(state.progress.facets || {});
    showTabs();
    work.last = state.last;
    const isFirst = !newest, isDone = state.progress.is_done;
    newest = state.newest;
    showLive();
    if (!rows.length && newest && (isFirst || !asked)) await apply();
    else if (marksVersion && state.marks_version !== marksVersion && !document.querySelector(".form")) {
      marksVersion = state.marks_version; // decided in another window
      const depth = rows.length;
      const found = await source.page({ ...wanted(), upto }, by("sort").value, 0, Math.min(Math.max(depth, PAGE), 100));
      for (const row of found.pairs) work.replace(row);
    }
    marksVersion = state.marks_version;
    showBulk.was !== JSON.stringify([state.last, total]) && !bulk.contains(document.activeElement) && showBulk();
    showBulk.was = JSON.stringify([state.last, total]);
    told();
    if (state.overview && state.overview !== overview) await showParts();
    if (!isDone) pause = 400;
  } catch (error) {
    trouble(error);
    pause = 5000;
  }
  setTimeout(look, pause);
};

takeFilter();
by("state").closest("label").hidden = true; // the tabs say the same
if (source.isLive) {
  by("verdict").append(make("p", "The verdict is being made.", "note"));
  look();
} else {
  fill(source.facets());
  by("mark").closest("label").hidden = !data.pairs.some((row) => row.decision || row.edited || row.note);
  by("rating").closest("label").hidden = !data.pairs.some((row) => row.score !== null);
  apply();
}
