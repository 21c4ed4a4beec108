(() => {
  "use strict";
  const read = (id) => JSON.parse(document.getElementById(id).textContent);
  const figures = read("figures"), themes = read("themes");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const touch = matchMedia("(pointer: coarse)");
  const narrow = matchMedia("(max-width: 640px)");
  const config = { responsive: true, displaylogo: false, modeBarButtons: [["toImage", "zoom2d", "pan2d", "resetScale2d"]] };

  const resolve = (value, theme) => {
    if (Array.isArray(value)) return value.map((held) => resolve(held, theme));
    if (value && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([key, held]) => [key, resolve(held, theme)]));
    }
    if (typeof value === "string" && value[0] === "@") return theme[value.slice(1)] ?? value;
    return value;
  };

  const draw = () => {
    const theme = dark.matches ? themes.dark : themes.light;
    const drawings = Object.entries(figures).map(([name, held]) => {
      const { data, layout } = resolve(held, theme);
      if (touch.matches) layout.dragmode = false; // a finger on a figure scrolls the page
      if (narrow.matches && layout.coloraxis) layout.coloraxis.colorbar.len = 0.5;
      return Plotly.react(name, data, layout, config);
    });
    return Promise.all(drawings).then(() => document.documentElement.setAttribute("data-drawn", drawings.length));
  };
  draw();
  dark.addEventListener("change", draw);
  narrow.addEventListener("change", draw);

  const key = (row, column) => {
    const cell = row.cells[column];
    const value = cell.dataset.value ?? cell.textContent.trim();
    if (value === "") return null;
    const number = Number(value);
    return Number.isNaN(number) ? value.toLowerCase() : number;
  };
  const compare = (a, b) => (typeof a === typeof b ? (a < b ? -1 : a > b ? 1 : 0) : typeof a === "number" ? -1 : 1);
  for (const table of document.querySelectorAll("table.sortable")) {
    const body = table.tBodies[0];
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.textContent = head.textContent;
      head.replaceChildren(button);
      button.addEventListener("click", () => {
        const up = head.getAttribute("aria-sort") !== "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", up ? "ascending" : "descending");
        const rows = [...body.rows].map((row) => [key(row, column), row]);
        rows.sort(([a], [b]) => (a === null ? 1 : b === null ? -1 : up ? compare(a, b) : compare(b, a)));
        if (rows.length) body.append(...rows.map(([, row]) => row));
      });
    });
  }

  for (const input of document.querySelectorAll("[data-filter]")) {
    const rows = [...document.getElementById(input.dataset.filter).tBodies[0].rows];
    input.addEventListener("input", () => {
      const wanted = input.value.toLowerCase();
      for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
    });
  }

  for (const button of document.querySelectorAll("[data-copy]")) {
    const source = document.getElementById(button.dataset.copy);
    const done = (word) => {
      button.textContent = word;
      setTimeout(() => (button.textContent = "Copy"), 1600);
    };
    button.addEventListener("click", () => {
      navigator.clipboard.writeText(source.textContent).then(
        () => done("Copied"),
        () => { // refused by the browser: leave the text selected for the reader's own copy key
          getSelection().selectAllChildren(source);
          done("Selected");
        },
      );
    });
  }
})();
