// The claims board's filters, the course map's neighbours, keyboard scrolling. Everything is readable without this script.
document.addEventListener("DOMContentLoaded", () => {
  const board = document.getElementById("board");
  if (board) {
    const chapter = document.getElementById("board-chapter"), verdict = document.getElementById("board-verdict");
    const rows = [...board.tBodies[0].rows];
    const filter = () => {
      let shown = 0;
      for (const row of rows) {
        row.hidden = (chapter.value && row.dataset.chapter !== chapter.value) || (verdict.value && row.dataset.verdict !== verdict.value);
        shown += !row.hidden;
      }
      document.getElementById("board-count").textContent = `${shown} claim${shown === 1 ? "" : "s"}`;
    };
    chapter.addEventListener("change", filter);
    verdict.addEventListener("change", filter);
    filter();  // a browser may restore an earlier choice
  }
  for (const box of document.querySelectorAll("pre, .cell_output")) {
    if (box.scrollWidth > box.clientWidth) box.tabIndex = 0;  // what scrolls can be scrolled by keyboard
  }
  for (const map of document.querySelectorAll(".course-map")) {
    const lines = [...map.querySelectorAll("path")];
    const mark = (id) => lines.forEach((line) => {
      line.classList.toggle("before", line.dataset.to === id);
      line.classList.toggle("after", line.dataset.from === id);
    });
    for (const lesson of map.querySelectorAll(".lesson")) {
      const target = lesson.closest("a") ?? lesson;
      for (const event of ["mouseenter", "focus"]) target.addEventListener(event, () => mark(lesson.dataset.id));
      for (const event of ["mouseleave", "blur"]) target.addEventListener(event, () => mark(null));
    }
  }
});
