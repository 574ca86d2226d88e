// How one pair looks: what was asked and said, beside its text with the evidence marked.

const marked = (text, words, cls) => {
  const node = make("div", undefined, cls);
  const start = words ? text.indexOf(words) : -1;
  if (start < 0) { node.textContent = text; return node; }
  node.append(text.slice(0, start), make("mark", words), text.slice(start + words.length));
  return node;
};

const factsOf = (row) => {
  const dl = make("dl");
  const put = (label, value) => {
    if (value === null || value === undefined || value === "") return;
    dl.append(make("dt", label), make("dd", value, "foreign"));
  };
  put("Dropped for", row.reason && (row.detail ? `${row.reason}: ${row.detail}` : row.reason));
  put("Note", row.note);
  for (const [key, detail] of row.findings) put(key, detail);
  put("Flags", row.flags.join(", "));
  put("Grounding", row.grounding === null ? "" : row.grounding.toFixed(2));
  put("Support", row.support === null ? "" : row.support.toFixed(2));
  put("Rating", row.score === null ? "" : row.scores ? `${row.score.toFixed(2)} (${row.scores})` : row.score.toFixed(2));
  put("Type", row.kind);
  put("Title", row.title);
  put("Author", row.author);
  put("Source", row.source);
  put("Language", row.language);
  put("Model", row.model);
  put("Fields", row.fields);
  put("Other answer", row.alternative);
  put("Id", row.id);
  return dl;
};

const badges = (row) => {
  const line = make("p", undefined, "badges");
  if (row.reason) line.append(make("span", "dropped by the run", "badge fail"), " ");
  if (row.reason && row.decision === "accepted") line.append(make("span", "accepted anyway", "badge ok"), " ");
  else if (row.decision) line.append(make("span", row.decision, `badge ${row.decision === "accepted" ? "ok" : "fail"}`), " ");
  if (row.edited) line.append(make("span", "edited", "badge warn"));
  return line.childNodes.length ? line : null;
};

const cardOf = (row) => {
  const article = make("article", undefined, "panel pair");
  article.tabIndex = -1;
  article.dataset.place = row.place;
  article.setAttribute("aria-label", `Pair ${row.place}`);
  if (row.gone) {
    article.append(make("p", `Pair ${row.place}: ${row.gone}`, "note foreign"));
    return article;
  }
  if ((row.reason && row.decision !== "accepted") || row.decision === "rejected") article.classList.add("rejected");
  if (row.decision === "accepted") article.classList.add("accepted");
  const grid = make("div", undefined, "sample");
  const main = make("div", undefined, "main"), side = make("div", undefined, "side");
  const top = badges(row);
  if (top) main.append(top);
  if (row.system) main.append(make("p", `System: ${row.system}`, "foreign note"));
  for (const [role, text] of row.turns) {
    if (role !== "user" && row.reasoning && role !== "raw answer" && !main.querySelector(".thought")) {
      main.append(make("p", `Thought: ${row.reasoning}`, "foreign note thought"));
    }
    main.append(make(role === "user" ? "h3" : "p", role === "user" || role === "assistant" ? text : `${role}: ${text}`, "foreign"));
  }
  if (source.isLive) main.append(toolsOf(row, article));
  main.append(factsOf(row));
  if (row.chunk) {
    const chunk = marked(row.chunk, row.evidence, "foreign chunk");
    chunk.tabIndex = 0; // so that it can be scrolled without a mouse
    chunk.setAttribute("role", "group"); // no landmark: there is one for each pair
    chunk.setAttribute("aria-label", "The text that it was written from");
    side.append(make("p", "Written from", "note"), chunk);
  } else if (row.evidence) {
    side.append(make("p", "Evidence", "note"), make("blockquote", row.evidence, "foreign"));
  }
  grid.append(main);
  if (side.childNodes.length) grid.append(side);
  else grid.classList.add("alone");
  for (const node of grid.querySelectorAll("p, h3, dd, blockquote")) {
    if (node.textContent.length < 4000) continue;
    node.classList.add("long"); // scrolls by itself, else one pair is the whole page
    node.tabIndex = 0;
  }
  article.append(grid);
  return article;
};

