// What our components share: building elements, reading pictures, the camera. Texts become text nodes, never markup.
const make = (tag, attributes = {}, ...children) => {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, "");
    else if (value !== false && value != null) node.setAttribute(name, value);
  }
  node.append(...children.filter((child) => child != null && child !== false));
  return node;
};
const ICONS = {
  add: "M12 5v14M5 12h14",
  camera: "M4 8h3l2-3h6l2 3h3v11H4zM12 10a3.5 3.5 0 1 0 0 7 3.5 3.5 0 0 0 0-7",
  send: "M12 20V5M6 11l6-6 6 6",
  stop: "M7 7h10v10H7z",
  remove: "M6 6l12 12M18 6L6 18",
  copy: "M9 9h11v11H9zM15 9V4H4v11h5",
  again: "M20 12a8 8 0 1 1-2.5-5.8M20 4v4h-4",
  edit: "M4 20l1-4L16 5l3 3L8 19zM14 7l3 3",
  save: "M12 4v11M7 11l5 5 5-5M5 20h14",
  fresh: "M12 5v14M5 12h14",
  place: "M4 5h16v14H4zM4 15l5-5 4 4 3-3 4 4",
  film: "M3 5h18v14H3zM8 5v14M16 5v14M3 12h18",
  moon: "M20 14a8 8 0 1 1-9-11 6.5 6.5 0 0 0 9 11z",
  sun: "M12 8a4 4 0 1 0 0 8 4 4 0 0 0 0-8M12 2v3M12 19v3M2 12h3M19 12h3M5 5l2 2M17 17l2 2M5 19l2-2M17 7l2-2",
};
const icon = (name) => {
  const svg = document.createElementNS("http://www.w3.org/2000/svg", "svg");
  svg.setAttribute("viewBox", "0 0 24 24");
  svg.setAttribute("aria-hidden", "true");
  svg.setAttribute("class", "ivl-icon");
  const path = document.createElementNS("http://www.w3.org/2000/svg", "path");
  path.setAttribute("d", ICONS[name]);
  svg.append(path);
  return svg;
};
const fill = (text, values) => (text || "").replace(/\{(\w+)\}/g, (all, name) => (name in values ? values[name] : all));
const iconButton = (name, label, onclick, extra = {}) =>
  make("button", { type: "button", class: "ivl-icon-button", "aria-label": label, title: label, onclick, ...extra }, icon(name));
const readFile = (file) =>
  new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result);
    reader.onerror = () => reject(reader.error);
    reader.readAsDataURL(file);
  });
const picturesOf = (transfer) => [...(transfer?.files || [])];
// Shows the camera in a dialog; gives a data URI, or null when the person thinks better of it.
const takePicture = async (words) => {
  const stream = await navigator.mediaDevices.getUserMedia({ video: { facingMode: "environment" } });
  return new Promise((resolve) => {
    const video = make("video", { autoplay: true, playsinline: true, muted: true });
    video.muted = true;
    video.srcObject = stream;
    const done = (value) => {
      stream.getTracks().forEach((track) => track.stop());
      dialog.close();
      dialog.remove();
      resolve(value);
    };
    const snap = () => {
      const canvas = make("canvas", { width: video.videoWidth, height: video.videoHeight });
      canvas.getContext("2d").drawImage(video, 0, 0);
      done(canvas.toDataURL("image/jpeg", 0.92));
    };
    const dialog = make(
      "dialog", { class: "ivl-camera", "aria-label": words.camera, oncancel: () => done(null) }, video,
      make("div", { class: "ivl-camera-buttons" },
        make("button", { type: "button", class: "ivl-button", onclick: () => done(null) }, words.cancel),
        make("button", { type: "button", class: "ivl-button ivl-primary", onclick: snap }, words.take)),
    );
    document.body.append(dialog);
    dialog.showModal();
  });
};
