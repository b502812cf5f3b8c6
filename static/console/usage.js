// The charts of the usage pages, and the two dates that only a time of one's own needs.
import { axis, colour } from "./charts.js";

(() => {
  const plots = [];

  const line = (element, label, name, few, first) => ({
    label,
    stroke: colour(element, name),
    fill: first ? `color-mix(in srgb, ${colour(element, name)} 12%, transparent)` : undefined,
    width: 2,
    points: { show: few, size: 5 },
    value: (_, number) => number?.toLocaleString() ?? "–",
  });

  const short = new Intl.NumberFormat("en", { notation: "compact" });

  const draw = (element, columns, words) => {
    const lines = element.dataset.lines.split(" ").map((one) => one.split(":"));
    const few = columns.labels.length <= 31;
    const named = (name) => words[name] ?? name.slice(-3); // p50, p95
    const shown = (index) => columns.labels[index]?.replace(/^\d{4}-/, "") ?? "";
    const options = {
      width: element.clientWidth,
      height: 200,
      cursor: { y: false },
      scales: { x: { time: false }, y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
      series: [
        { label: words.period, value: (_, index) => columns.labels[index] ?? "–" },
        ...lines.map(([name, tone], i) => line(element, named(name), tone, few, i === 0)),
      ],
      axes: [
        axis(element, { space: 80, incrs: [1, 2, 3, 6, 7, 12, 14, 24, 31, 62, 93], values: (_, ticks) => ticks.map(shown) }),
        axis(element, { size: 48, values: (_, ticks) => ticks.map((tick) => short.format(tick)) }),
      ],
    };
    const indices = columns.labels.map((_, index) => index);
    element.replaceChildren();
    const plot = new uPlot(options, [indices, ...lines.map(([name]) => columns[name])], element);
    const url = () => columns.urls[plot.cursor.idx];
    plot.over.addEventListener("click", () => url() && location.assign(url()));
    plots.push(plot);
  };

  const redraw = () => {
    for (const plot of plots.splice(0)) plot.destroy();
    const holder = document.querySelector("[data-usage]");
    if (!holder) return;
    const columns = JSON.parse(holder.dataset.usage);
    for (const element of holder.querySelectorAll("[data-lines]")) draw(element, columns, holder.dataset);
  };

  const range = document.querySelector("#usage-filter [name=range]");
  const offer = () => {
    for (const day of document.querySelectorAll("[data-custom]")) day.hidden = range.value !== "custom";
  };

  range.addEventListener("change", offer);
  document.addEventListener("htmx:afterSettle", redraw);
  document.addEventListener("theme", redraw);
  addEventListener("resize", redraw);
  offer();
  redraw();
})();
