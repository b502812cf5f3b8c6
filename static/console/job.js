// The live curves of a job: new points are asked for until it is over.
import { axis, colour } from "./charts.js";

const EVERY_MS = 2_000;
const SPEED_OVER_MS = 5_000; // tokens per second are a mean over so much GPU time
const holder = document.querySelector("[data-curves]");
const points = []; // {step, train, held, rate, tokens, ms, speed}, by step
const plots = [];
let last = 0;
let over = false;
let isReading = false;
if (holder) begin();

function begin() {
  refresh();
  setInterval(() => over || document.hidden || refresh(), EVERY_MS);
  document.addEventListener("theme", redraw);
  document.addEventListener("visibilitychange", () => document.hidden || over || refresh());
  addEventListener("resize", redraw);
}

async function refresh() {
  if (isReading) return; // an older answer must not come after a newer one
  isReading = true;
  let more;
  try {
    const answer = await fetch(`${holder.dataset.curves}?after=${last}`, { headers: { "HX-Request": "true", "X-Unattended": "1" } });
    if (!answer.ok) throw new Error(answer.statusText);
    more = await answer.json();
  } catch {
    holder.classList.add("stalled"); // the next round tries again
    return;
  } finally {
    isReading = false;
  }
  holder.classList.remove("stalled");
  over = more.over;
  if (more.last === last && points.length) return;
  last = more.last;
  more.step.forEach((step, n) => add(step, more, n));
  redraw();
}

function add(step, more, n) {
  // A crash may have undone steps: what comes again replaces what is drawn.
  while (points.length && points.at(-1).step >= step) points.pop();
  const point = {
    step,
    train: more.train_loss[n],
    held: more.held_out_loss[n],
    rate: more.learning_rate[n],
    tokens: more.tokens[n],
    ms: more.active_ms[n],
  };
  point.speed = speedAt(point);
  points.push(point);
}

function speedAt({ tokens, ms }) {
  const before = points.findLast((one) => ms - one.ms >= SPEED_OVER_MS) ?? points[0];
  return before && ms > before.ms ? Math.max(0, ((tokens - before.tokens) * 1000) / (ms - before.ms)) : null;
}

function redraw() {
  for (const plot of plots.splice(0)) plot.destroy();
  holder.querySelector("[data-empty]").hidden = points.length > 0;
  for (const element of holder.querySelectorAll("[data-lines]")) draw(element);
  holder.dataset.drawn = points.at(-1)?.step ?? "";
}

function draw(element) {
  const lines = element.dataset.lines.split(" ").map((one) => one.split(":"));
  const columns = lines.map(([name]) => points.map((point) => point[name]));
  const known = columns.some((column) => column.some((value) => value !== null));
  element.closest("[data-chart]").hidden = !known;
  element.replaceChildren();
  if (!known) return;
  const options = {
    width: element.clientWidth,
    height: 200,
    cursor: { y: false },
    scales: { x: { time: false }, y: { range: (_, low, high) => bounds(element, low, high) } },
    series: [
      { label: holder.dataset.step, value: (_, step) => step?.toLocaleString("en") ?? "–" },
      ...lines.map(([name, tone]) => series(element, name, tone)),
    ],
    axes: [
      axis(element, { space: 60, incrs: [1, 2, 5, 10, 20, 50, 100, 200, 500, 1e3, 2e3, 5e3, 1e4, 1e5, 1e6] }),
      axis(element, { size: 56, values: (_, ticks) => ticks.map(brief) }),
    ],
  };
  plots.push(new uPlot(options, [points.map(({ step }) => step), ...columns], element));
}

function bounds(element, low, high) {
  if (element.dataset.from === "0") return [0, high * 1.1 || 1];
  const margin = (high - low) * 0.1 || 0.1;
  return [Math.max(0, low - margin), high + margin];
}

function series(element, name, tone) {
  const few = points.length <= 60;
  return {
    label: holder.dataset[name],
    stroke: colour(element, tone),
    width: 2,
    spanGaps: true, // held-out losses come at some steps alone
    points: { show: name === "held" || few, size: 5 },
    value: (_, number) => (number === null || number === undefined ? "–" : brief(number)),
  };
}

function brief(number) {
  if (number !== 0 && Math.abs(number) < 0.01) return number.toExponential(1);
  return number.toLocaleString("en", { maximumSignificantDigits: 4 });
}
