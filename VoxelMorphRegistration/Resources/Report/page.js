"use strict";

// A viewer is its style: data-mode, data-pair and --mix (0 shows the fixed volume, 1 the moving one).
for (const viewer of document.querySelectorAll(".viewer")) {
  const slider = viewer.querySelector("input[type=range]");
  const show = () => {
    viewer.style.setProperty("--mix", slider.value / 100);
    for (const chosen of viewer.querySelectorAll("input[type=radio]:checked")) viewer.dataset[chosen.dataset.sets] = chosen.value;
  };
  viewer.addEventListener("input", show);
  viewer.addEventListener("change", show);
  for (const stage of viewer.querySelectorAll(".stage")) {
    const drag = (event) => {
      if (viewer.dataset.mode !== "curtain" || !(event.buttons & 1)) return;
      const box = stage.getBoundingClientRect();
      slider.value = 100 - (100 * (event.clientX - box.left)) / box.width;
      show();
    };
    stage.addEventListener("pointerdown", drag);
    stage.addEventListener("pointermove", drag);
  }
  show();
}

// A cell's data-value is what it is sorted by, else its text; empty cells come last either way.
const valueOf = (row, column) => {
  const cell = row.cells[column];
  return "value" in cell.dataset ? cell.dataset.value : cell.textContent.trim();
};
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...head.childNodes);
    head.append(button);
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      for (const each of heads) each.removeAttribute("aria-sort");
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const isNumber = head.classList.contains("number");
      const known = [], unknown = [];
      for (const row of table.tBodies[0].rows) (valueOf(row, column) === "" ? unknown : known).push(row);
      known.sort((first, second) => {
        const a = valueOf(first, column), b = valueOf(second, column);
        const order = isNumber ? a - b : a.localeCompare(b, undefined, { numeric: true });
        return down ? -order : order;
      });
      table.tBodies[0].append(...known, ...unknown);
    });
  });
}
for (const find of document.querySelectorAll("input.find")) {
  const table = document.getElementById(find.dataset.table);
  find.addEventListener("input", () => {
    const wanted = find.value.trim().toLowerCase();
    for (const row of table.tBodies[0].rows) row.hidden = !row.textContent.toLowerCase().includes(wanted);
  });
}
for (const button of document.querySelectorAll(".command button")) {
  button.addEventListener("click", async () => {
    const text = button.parentElement.querySelector("pre");
    try {
      await navigator.clipboard.writeText(text.textContent);
      button.textContent = "Copied";
    } catch {
      getSelection().selectAllChildren(text);
    }
  });
}
