// What all charts share: colours that follow the theme, and axes.

// A canvas knows no CSS variables: let an element work the colour out.
export function colour(element, name) {
  element.style.setProperty("outline-color", `var(--tblr-${name})`);
  return getComputedStyle(element).outlineColor;
}

export function axis(element, extra) {
  return {
    stroke: colour(element, "secondary"),
    grid: { stroke: colour(element, "border-color"), width: 1 },
    ticks: { show: false },
    font: "12px system-ui",
    ...extra,
  };
}
