// The two charts of the overview: the last 30 minutes, one point a minute.
import { axis, colour } from "./charts.js";

(() => {
  const holder = document.querySelector("[data-chart-url]");
  if (!holder) return;
  const EVERY_MS = 10_000;
  const plots = [];
  let latest = null;

  const series = (label, name, fill) => ({
    label,
    stroke: colour(holder, name),
    fill: fill ? `color-mix(in srgb, ${colour(holder, name)} 15%, transparent)` : undefined,
    width: 2,
    points: { show: false },
  });

  // In the time zone of all other times on the page.
  const { timeZone } = document.documentElement.dataset;
  const minutes = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", timeZone });
  const clock = (seconds) => minutes.format(seconds * 1000);

  const draw = (id, lines) => {
    const element = document.getElementById(id);
    const options = {
      width: element.clientWidth,
      height: 180,
      legend: { show: true, live: false },
      cursor: { y: false },
      scales: { y: { range: (_, low, high) => [0, Math.max(high * 1.1, 1)] } },
      series: [{}, ...lines.map(([label, name], i) => series(label, name, i === 0))],
      axes: [
        axis(holder, { values: (_, ticks) => ticks.map(clock), space: 60 }),
        axis(holder, { size: 44, values: (_, ticks) => ticks.map((tick) => tick.toLocaleString()) }),
      ],
    };
    element.replaceChildren();
    const plot = new uPlot(options, [latest.minutes, ...lines.map((line) => line[2])], element);
    plot.over.addEventListener("click", () => openMinute(latest.minutes[plot.cursor.idx]));
    plots.push(plot);
  };

  // The requests of a minute: a click on the chart leads to its rows.
  const openMinute = (minute) => {
    if (minute === undefined) return;
    const iso = (seconds) => new Date(seconds * 1000).toISOString();
    const query = new URLSearchParams({ since: iso(minute), until: iso(minute + 60) });
    location.assign(`${holder.dataset.logUrl}?${query}`);
  };

  const redraw = () => {
    if (!latest) return;
    for (const plot of plots.splice(0)) plot.destroy();
    const words = holder.dataset;
    draw("chart-requests", [
      [words.requests, "primary", latest.requests],
      [words.errors, "red", latest.errors],
    ]);
    draw("chart-tokens", [[words.tokens, "teal", latest.tokens.map((sum) => sum / 60)]]);
  };

  const refresh = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(holder.dataset.chartUrl, { headers: { "HX-Request": "true", "X-Unattended": "1" } });
      if (!answer.ok) return;
      latest = await answer.json();
      redraw();
    } catch {
      // the next round tries again; the figures above already say that they are stalled
    }
  };

  document.addEventListener("theme", redraw);
  document.addEventListener("visibilitychange", refresh);
  addEventListener("resize", redraw);
  setInterval(refresh, EVERY_MS);
  refresh();
})();
