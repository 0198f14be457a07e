// Draws the points of a run of clustering on a canvas; the list on the page says the same in words.
const figure = document.querySelector("[data-plot]");
const HUES = [215, 28, 155, 345, 262, 190, 46, 320, 90, 25];

function colour(cluster, dark) {
  return cluster < 0 ? "#8a9199" : `hsl(${HUES[cluster % HUES.length]} 60% ${dark ? 65 : 42}%)`;
}

function draw(canvas, clusters) {
  const pen = canvas.getContext("2d");
  const ink = getComputedStyle(document.body).color;
  const dark = /^rgb\((\d+)/.exec(ink)?.[1] > 128;
  // As many points as the screen has there, so that dots and numbers have one size on a desk and on a telephone.
  const density = devicePixelRatio || 1;
  const width = canvas.width = Math.round(canvas.clientWidth * density);
  const height = canvas.height = Math.round(width * 8 / 15);
  const place = (x, y) => [width / 2 + (x / 1000) * (width / 2 - 20), height / 2 - (y / 1000) * (height / 2 - 20)];
  pen.clearRect(0, 0, width, height);
  for (const each of [...clusters].reverse()) {
    pen.fillStyle = colour(each.cluster, dark);
    pen.globalAlpha = 0.65;
    for (let at = 0; at < each.at.length; at += 2) {
      pen.beginPath();
      pen.arc(...place(each.at[at], each.at[at + 1]), 3.5 * density, 0, 2 * Math.PI);
      pen.fill();
    }
  }
  pen.globalAlpha = 1;
  pen.fillStyle = ink;
  pen.font = `600 ${14 * density}px system-ui, sans-serif`;
  pen.textAlign = "center";
  for (const each of clusters) {
    if (each.cluster < 0 || !each.at.length) continue;
    const count = each.at.length / 2;
    const sum = (first) => each.at.reduce((total, value, at) => total + (at % 2 === first ? value : 0), 0) / count;
    pen.fillText(String(each.cluster), ...place(sum(0), sum(1)));
  }
}

if (figure) {
  const answer = await fetch(figure.dataset.plot, { credentials: "same-origin" });
  if (answer.ok) {
    const clusters = await answer.json();
    figure.hidden = false;
    const again = () => draw(figure.querySelector("canvas"), clusters);
    new ResizeObserver(again).observe(figure);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", again);
  }
}
