"use strict";
// What a server or a page said reaches the document through textContent alone.
const byId = (id) => document.getElementById(id);
const number = (value, digits = 0) =>
  value == null ? "–" : value.toLocaleString("en", { maximumFractionDigits: digits });
const usd = (value) =>
  value == null ? "–" : "$" + value.toLocaleString("en", { minimumFractionDigits: 2, maximumFractionDigits: 4 });
const duration = (seconds) => {
  if (seconds == null) return "–";
  const s = Math.round(seconds), pad = (n) => String(n).padStart(2, "0");
  const clock = `${pad(Math.floor(s / 60) % 60)}:${pad(s % 60)}`;
  return s >= 3600 ? `${Math.floor(s / 3600)}:${clock}` : clock;
};
const make = (tag, text, className) => {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  return element;
};
const percent = (part) => part == null ? "–" : `${number(100 * part)} %`;
const entry = (name, value, detail) => {
  const box = make("div"), dd = make("dd", value);
  if (detail) dd.append(make("small", detail));
  box.append(make("dt", name), dd);
  return box;
};

function tiles(run) {
  const left = run.reading_done ? `of ${number(run.planned)}` : `of ${number(run.planned)} read so far`;
  const flight = run.pools.reduce((sum, pool) => sum + pool.in_flight, 0);
  const width = run.pools.reduce((sum, pool) => sum + pool.concurrency, 0);
  const cap = run.max_usd == null ? "" : `cap ${usd(run.max_usd)}`;
  const used = run.pools.map((pool) => pool.quota_used).filter((part) => part != null);
  byId("tiles").replaceChildren(
    entry("pairs", number(run.pairs), `${number(run.dropped)} dropped`),
    entry("units", number(run.units), `${left}, ${number(run.rejected)} rejected`),
    entry("pairs a minute", number(run.pairs_per_min)),
    entry("time left", duration(run.eta_s), `${duration(run.elapsed_s)} so far`),
    entry("spent", usd(run.usd), cap),
    entry("calls in flight", number(flight), `width ${number(width)}`),
    entry("quota used", used.length ? percent(Math.max(...used)) : "–", used.length > 1 ? "the fullest pool" : "over a minute"),
    entry("calls", number(run.calls), `${number(run.replayed)} replayed, ${number(run.repaired)} ${run.repaired === 1 ? "repair" : "repairs"}`),
  );
}

function rate(run) {
  const rates = [...run.history, run.pairs_per_min];
  const most = Math.max(1, ...rates);
  const line = document.createElementNS("http://www.w3.org/2000/svg", "polyline");
  const step = 600 / Math.max(1, rates.length - 1);
  line.setAttribute("points", rates.map((value, i) => `${(i * step).toFixed(1)},${(115 - 105 * value / most).toFixed(1)}`).join(" "));
  byId("rate").replaceChildren(line);
  byId("rate-note").textContent = `now ${number(run.pairs_per_min)}, most ${number(most)}, over the last ${duration(rates.length * run.history_point_s)}`;
}

function pools(run) {
  byId("pools").replaceChildren(...run.pools.map((pool) => {
    const row = make("tr");
    const state = !pool.alive ? "given up" : pool.cause ? pool.cause + (pool.paused_s ? ` (${number(pool.paused_s, 1)} s)` : "") : "going";
    row.append(make("td", pool.name), make("td", pool.model));
    for (const value of [pool.in_flight, pool.concurrency, pool.waiting, pool.requests_per_s])
      row.append(make("td", number(value, 1), "number"));
    row.append(make("td", percent(pool.quota_used), "number"), make("td", number(pool.refused), "number"));
    row.append(make("td", state));
    return row;
  }));
}

const counts = (id, found) => {
  const rows = Object.entries(found).sort((a, b) => b[1] - a[1]).map(([name, count]) => entry(name, number(count)));
  byId(id).replaceChildren(...(rows.length ? rows : [make("p", "none", "soft")]));
};

function last(run) {
  byId("last").replaceChildren(...run.last.map((pair) => {
    const box = make("article");
    box.dir = "auto";
    box.append(make("h3", pair.instruction), make("p", pair.answer), make("p", pair.title, "soft"));
    return box;
  }));
}

function show(run) {
  document.title = `${number(run.pairs)} pairs · pairmill`;
  byId("folder").textContent = run.folder;
  byId("subtitle").textContent = `${run.model} · recipe ${run.recipe}`;
  byId("state").textContent = run.health;
  byId("state").classList.remove("lost");
  const bar = byId("bar");
  if (run.planned) bar.value = run.units / run.planned;
  tiles(run); rate(run); pools(run);
  counts("failures", run.failures); counts("skipped", run.skipped);
  last(run);
}

const source = new EventSource("events");
source.onmessage = (message) => show(JSON.parse(message.data));
source.onerror = () => {
  byId("state").textContent = "no connection: the run has ended, or this server cannot be reached";
  byId("state").classList.add("lost");
};
