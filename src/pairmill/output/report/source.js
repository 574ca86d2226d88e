// Where the pairs come from: the page itself, or the server that sent it.

const data = JSON.parse(document.getElementById("data").textContent);
const by = (id) => document.getElementById(id);

// Control and direction marks show as what they are: something that does not belong there.
const tidy = (text) => String(text).replace(/(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Co}\p{Zl}\p{Zp}]/gu, "\ufffd");

const make = (tag, text, cls) => {
  const node = document.createElement(tag);
  // Every text goes into the page by textContent: what models and crawled pages say stays text.
  if (text !== undefined && text !== null) node.textContent = tidy(text);
  if (cls) node.className = cls;
  return node;
};

const plain = (text) => text.normalize("NFKD").toLowerCase().replace(/\p{M}+/gu, "").replace(/[^\p{L}\p{N}_]+/gu, " ");
const dense = /[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]/;
const namesIn = (row) => [...new Set([...row.findings.map((f) => f[0]), ...row.flags, row.reason])].filter(Boolean);

// All pairs stand in the page: they are filtered and sorted here.
const embedded = (rows) => {
  for (const row of rows) {
    row.text = ` ${plain([row.title, row.source, row.reason, row.detail, row.id, ...row.turns.map((t) => t[1])].join(" "))}`;
  }
  const tests = {
    state: { kept: (r) => !r.reason, flagged: (r) => !r.reason && namesIn(r).length, rejected: (r) => r.reason },
    mark: {
      none: (r) => !r.reason && !r.decision, accepted: (r) => r.decision === "accepted",
      rejected: (r) => r.decision === "rejected", edited: (r) => r.edited, noted: (r) => r.note,
    },
    rating: {
      low: (r) => r.score !== null && r.score < 3, middle: (r) => r.score >= 3 && r.score < 4,
      high: (r) => r.score >= 4, none: (r) => r.score === null && !r.reason,
    },
  };
  const up = (name, missing) => (a, b) => (a[name] ?? missing) - (b[name] ?? missing) || a.place - b.place;
  const orders = {
    worst: (a, b) => b.badness - a.badness || a.place - b.place,
    grounding: up("grounding", 2), support: up("support", 2), score: up("score", 9), short: up("length", 0),
    long: (a, b) => b.length - a.length || b.place - a.place,
    order: (a, b) => a.place - b.place, newest: (a, b) => b.place - a.place,
  };
  const facet = (names) => {
    const counts = new Map();
    for (const row of rows) for (const name of names(row)) if (name) counts.set(name, (counts.get(name) || 0) + 1);
    return [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1)).slice(0, 200);
  };
  let last = "", found = rows;
  return {
    isLive: false,
    total: rows.length,
    rejects: rows.filter((r) => r.reason).length,
    facets: () => ({
      finding: facet(namesIn), source: facet((r) => [r.source]), author: facet((r) => [r.author]),
      reason: facet((r) => [r.reason]), kind: facet((r) => [r.kind]), language: facet((r) => [r.language]),
    }),
    page: async (want, sort, offset, limit) => {
      const asked = JSON.stringify([want, sort]);
      if (asked !== last) {
        last = asked;
        const words = plain(want.search || "").split(" ").filter(Boolean);
        found = rows.filter((row) =>
          Object.keys(tests).every((name) => !want[name] || tests[name][want[name]](row)) &&
          (!want.finding || namesIn(row).includes(want.finding)) &&
          ["source", "author", "kind", "language"].every((name) => !want[name] || row[name] === want[name]) &&
          words.every((word) => row.text.includes(dense.test(word) ? word : ` ${word}`)));
        found.sort(orders[sort]);
      }
      return { total: found.length, pairs: found.slice(offset, offset + limit) };
    },
  };
};

// The server is asked for each page of them. Its token came in the page's own address.
const served = () => {
  const token = new URLSearchParams(location.search).get("token") || "";
  const ask = async (path, body) => {
    const headers = { "X-Pairmill-Token": token };
    if (body !== undefined) headers["Content-Type"] = "application/json";
    let answer;
    try {
      answer = await fetch(path, {
        method: body === undefined ? "GET" : "POST", headers, cache: "no-store", credentials: "omit",
        body: body === undefined ? undefined : JSON.stringify(body),
      });
    } catch {
      throw new Error("The viewer does not answer: it was ended. Start 'pairmill view' again.");
    }
    const found = await answer.json().catch(() => ({}));
    if (!answer.ok) {
      const error = new Error(found.error || `The viewer refused (${answer.status}).`);
      error.status = answer.status;
      throw error;
    }
    return found;
  };
  return {
    isLive: true,
    ask,
    page: (want, sort, offset, limit) => {
      const query = new URLSearchParams({ sort, offset, limit });
      for (const [name, value] of Object.entries(want)) if (value !== "" && value !== undefined) query.set(name, value);
      return ask(`/api/pairs?${query}`);
    },
    state: () => ask("/api/state"),
    overview: () => ask("/api/overview"),
    pair: (place) => ask(`/api/pairs/${place}`),
    story: (place) => ask(`/api/pairs/${place}/story`),
    decide: (action, places, note) => ask("/api/marks", { action, pairs: places, note: note || "" }),
    decideAll: (action, filter, expected) => ask("/api/marks", { action, filter, expected }),
    edit: (place, edits) => ask(`/api/pairs/${place}/edit`, { edits }),
    undo: (action) => ask("/api/undo", { action }),
    judge: () => ask("/api/judge", {}),
  };
};

const source = data.live ? served() : embedded(data.pairs);

