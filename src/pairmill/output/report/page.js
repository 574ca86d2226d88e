"use strict";
// Every text goes into the page by textContent: what models and crawled pages say stays text.
(() => {
  const rows = JSON.parse(document.getElementById("data").textContent);
  const by = (id) => document.getElementById(id);
  const list = by("list"), more = by("more"), count = by("count");
  const PAGE = 25;
  let found = rows, shown = 0, at = -1;

  const make = (tag, text, cls) => {
    const node = document.createElement(tag);
    if (text !== undefined && text !== null) node.textContent = text;
    if (cls) node.className = cls;
    return node;
  };

  const fill = (id, names) => {
    const counts = new Map();
    for (const row of rows) for (const name of names(row)) if (name) counts.set(name, (counts.get(name) || 0) + 1);
    for (const [name, times] of [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 200)) {
      const option = make("option", `${name} (${times})`);
      option.value = name;
      by(id).append(option);
    }
  };
  const findings = (row) => [...new Set([...row.findings.map((f) => f[0]), ...row.flags, row.reason])];
  fill("finding", findings);
  fill("source", (row) => [row.source]);
  fill("kind", (row) => [row.kind]);
  fill("language", (row) => [row.language]);
  for (const row of rows) row.text = [row.title, row.source, row.reason, row.id, ...row.turns.map((t) => t[1])].join("\n").toLowerCase();

  const orders = {
    worst: (a, b) => b.badness - a.badness || a.place - b.place,
    grounding: (a, b) => (a.grounding ?? 2) - (b.grounding ?? 2) || a.place - b.place,
    score: (a, b) => (a.score ?? 9) - (b.score ?? 9) || a.place - b.place,
    long: (a, b) => b.length - a.length || a.place - b.place,
    short: (a, b) => a.length - b.length || a.place - b.place,
    order: (a, b) => a.place - b.place,
  };

  // A text with each place of some words in it marked.
  const marked = (text, words, cls) => {
    const node = make("div", undefined, cls);
    const start = words ? text.indexOf(words) : -1;
    if (start < 0) { node.textContent = text; return node; }
    node.append(text.slice(0, start), make("mark", words), text.slice(start + words.length));
    return node;
  };

  const facts = (row, into) => {
    const dl = make("dl");
    const put = (label, value) => {
      if (value === null || value === undefined || value === "") return;
      dl.append(make("dt", label), make("dd", value, "foreign"));
    };
    put("Reason", row.reason && (row.detail ? `${row.reason}: ${row.detail}` : row.reason));
    for (const [key, detail] of row.findings) put(key, detail);
    put("Flags", row.flags.join(", "));
    put("Grounding", row.grounding === null ? "" : row.grounding.toFixed(2));
    put("Support", row.support === null ? "" : row.support.toFixed(2));
    put("Rating", row.score === null ? "" : row.score.toFixed(2));
    put("Type", row.kind);
    put("Title", row.title);
    put("Source", row.source);
    put("Model", row.model);
    put("Fields", row.fields);
    put("Other answer", row.alternative);
    put("Id", row.id);
    into.append(dl);
  };

  const card = (row) => {
    const article = make("article", undefined, `panel${row.reason ? " rejected" : ""}`);
    article.tabIndex = -1;
    const grid = make("div", undefined, "sample");
    const main = make("div"), side = make("div", undefined, "side");
    if (row.reason) main.append(make("span", "rejected", "badge fail"));
    if (row.system) main.append(make("p", `System: ${row.system}`, "foreign note"));
    if (row.reasoning) main.append(make("p", `Thought: ${row.reasoning}`, "foreign note"));
    for (const [role, text] of row.turns) {
      main.append(make(role === "user" ? "h3" : "p", role === "user" || role === "assistant" ? text : `${role}: ${text}`, "foreign"));
    }
    facts(row, side);
    if (row.chunk) {
      side.append(make("p", "Written from", "note"), marked(row.chunk, row.evidence, "foreign chunk"));
    } else if (row.evidence) {
      side.append(make("p", "Evidence", "note"), make("blockquote", row.evidence, "foreign"));
    }
    grid.append(main, side);
    article.append(grid);
    return article;
  };

  const extend = () => {
    for (const row of found.slice(shown, shown + PAGE)) list.append(card(row));
    shown = Math.min(shown + PAGE, found.length);
    more.hidden = shown >= found.length;
    count.textContent = `${found.length.toLocaleString("en")} of ${rows.length.toLocaleString("en")} listed here, ${shown.toLocaleString("en")} shown`;
  };

  const apply = () => {
    const words = by("search").value.toLowerCase().split(/\s+/).filter(Boolean);
    const state = by("state").value, finding = by("finding").value;
    const source = by("source").value, kind = by("kind").value, language = by("language").value;
    found = rows.filter((row) =>
      (!state || (state === "rejected" ? row.reason : !row.reason && (state === "kept" || row.findings.length || row.flags.length))) &&
      (!finding || findings(row).includes(finding)) &&
      (!source || row.source === source) && (!kind || row.kind === kind) &&
      (!language || row.language === language) &&
      words.every((word) => row.text.includes(word)));
    found.sort(orders[by("sort").value]);
    list.replaceChildren();
    shown = 0;
    at = -1;
    extend();
  };

  let timer = 0;
  by("filters").addEventListener("submit", (event) => event.preventDefault());
  by("filters").addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(apply, 60); });
  more.addEventListener("click", extend);
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(INPUT|SELECT|TEXTAREA)$/.test(event.target.tagName)) return;
    if (event.key === "/") { event.preventDefault(); by("search").focus(); return; }
    const step = { j: 1, k: -1 }[event.key];
    if (!step || !found.length) return;
    at = Math.max(0, Math.min(at + step, found.length - 1));
    if (at >= shown) extend();
    const target = list.children[at];
    target.scrollIntoView({ block: "start" });
    target.focus({ preventScroll: true });
  });
  apply();
})();
