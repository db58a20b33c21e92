// The threshold slider and the gallery. Text from the data becomes text nodes, never HTML.
"use strict";

const byId = (id) => document.getElementById(id);
const dataOf = (id) => JSON.parse(byId(id).textContent);
const grouped = (number) => number.toLocaleString("en");

function startThreshold(counts) {
  const slider = byId("threshold");
  const point = byId("roc-point");
  const steps = counts.tp.length - 1;
  const share = (part, of) => (of ? part / of : 0);

  function show() {
    const at = slider.valueAsNumber;
    const [tp, fp, tn, fn] = ["tp", "fp", "tn", "fn"].map((name) => counts[name][at]);
    for (const [name, count] of Object.entries({ tp, fp, tn, fn })) byId(name).textContent = grouped(count);
    const threshold = (at / steps).toFixed(3);
    byId("threshold-value").textContent = threshold;
    slider.setAttribute("aria-valuetext", threshold);
    const precision = share(tp, tp + fp), recall = share(tp, tp + fn);
    const rates = {
      accuracy: share(tp + tn, tp + tn + fp + fn), precision, recall,
      F1: share(2 * precision * recall, precision + recall), "false positive rate": share(fp, fp + tn),
    };
    const shown = Object.entries(rates).map(([name, rate]) => `${name} ${rate.toFixed(4)}`);
    byId("threshold-rates").textContent = shown.join(", ");
    if (point) {
      const { left, right, top, bottom } = point.dataset;
      point.setAttribute("cx", Number(left) + share(fp, fp + tn) * (right - left));
      point.setAttribute("cy", Number(bottom) - recall * (bottom - top));
    }
  }

  slider.addEventListener("input", show);
  show();
}

function startGallery(rows) {
  const PAGE = 60; // images of a page: few elements, so that any filter is fast
  const form = byId("filter"), list = byId("pictures"), pageField = byId("page");
  const names = rows.path.map((path) => path.toLowerCase());
  let found = [], page = 1;

  const value = (id) => (byId(id) ? byId(id).value : "");
  const text = (tag, kind, content) => {
    const element = document.createElement(tag);
    element.className = kind;
    element.textContent = content;
    return element;
  };

  function bound(id, otherwise) {
    const number = byId(id).valueAsNumber;
    return Number.isNaN(number) ? otherwise : number;
  }

  function filter() {
    const name = value("by-name").trim().toLowerCase(), label = value("by-label");
    const status = value("by-status") ? rows.statuses.indexOf(value("by-status")) : -1;
    const low = bound("by-low", -Infinity), high = bound("by-high", Infinity);
    const ranged = low > -Infinity || high < Infinity;
    found = [];
    for (let i = 0; i < names.length; i++) {
      if (label !== "" && rows.label[i] !== Number(label)) continue;
      if (status >= 0 && rows.status[i] !== status) continue;
      // A row without a score matches no range of scores.
      if (ranged && !(rows.score[i] !== null && rows.score[i] >= low && rows.score[i] <= high)) continue;
      if (name && !names[i].includes(name)) continue;
      found.push(i);
    }
    sort(value("sort"));
    show(1);
  }

  function sort(how) {
    if (how === "name") found.sort((a, b) => (names[a] < names[b] ? -1 : names[a] > names[b] ? 1 : a - b));
    if (how !== "high" && how !== "low") return;
    const sign = how === "high" ? -1 : 1;
    const score = (i) => rows.score[i] ?? sign * Infinity; // rows without a score come last
    found.sort((a, b) => (score(a) === score(b) ? a - b : sign * (score(a) - score(b))));
  }

  function show(wanted) {
    const pages = Math.max(1, Math.ceil(found.length / PAGE));
    page = Math.min(pages, Math.max(1, Math.trunc(wanted) || 1));
    const first = (page - 1) * PAGE, shown = found.slice(first, first + PAGE);
    list.replaceChildren(...shown.map(item));
    byId("count").textContent = found.length
      ? `${grouped(first + 1)} to ${grouped(first + shown.length)} of ${grouped(found.length)} images`
      : "No image matches.";
    byId("pages").textContent = grouped(pages);
    pageField.value = page;
    pageField.max = pages;
    // Not the attribute disabled: a disabled button loses the focus.
    byId("previous").setAttribute("aria-disabled", page === 1);
    byId("next").setAttribute("aria-disabled", page === pages);
  }

  function item(i) {
    const element = document.createElement("li");
    if (rows.picture[i]) {
      const picture = document.createElement("img");
      picture.src = `data:image/jpeg;base64,${rows.picture[i]}`;
      picture.alt = "";
      element.append(picture);
    } else {
      element.append(text("span", "none", rows.reason[i] || "no picture"));
    }
    const status = rows.statuses[rows.status[i]], label = rows.labels[rows.label[i]];
    const predicted = text("span", status === "ok" ? "predicted" : "predicted wrong", "");
    predicted.append(text("bdi", "", label ?? (status === "error" ? "error" : "score")));
    if (rows.score[i] !== null) predicted.append(` ${Number(rows.score[i].toPrecision(4))}`);
    if (status === "unsure") predicted.append(" (unsure)");
    const path = text("span", "path", "");
    path.append(text("bdi", "", rows.path[i]));
    element.append(predicted, path);
    return element;
  }

  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("input", filter);
  byId("all").addEventListener("click", () => {
    form.reset();
    filter();
  });
  byId("previous").addEventListener("click", () => show(page - 1));
  byId("next").addEventListener("click", () => show(page + 1));
  pageField.addEventListener("change", () => show(pageField.valueAsNumber));
  filter();
}

if (byId("threshold-data")) startThreshold(dataOf("threshold-data"));
if (byId("gallery-data")) startGallery(dataOf("gallery-data"));
