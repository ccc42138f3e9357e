// What a page of the site does in a browser: it talks over ActionCable, sends a form, fetches a page.
const line = new WebSocket(`ws://${location.host}/cable`, ["actioncable-v1-json"]);
const identifier = JSON.stringify({ channel: "EchoChannel", name: "visitor" });
const heard = [];
line.onmessage = ({ data }) => {
  const message = JSON.parse(data);
  if (message.type === "welcome") {
    line.send(JSON.stringify({ command: "subscribe", identifier }));
  } else if (message.type === "confirm_subscription") {
    line.send(JSON.stringify({ command: "message", identifier, data: JSON.stringify({ action: "say", text: "grüß Gott" }) }));
  } else if (message.message) {
    heard.push(JSON.stringify(message.message));
    if (heard.length === 2) document.getElementById("cable").textContent = heard.sort().join(" ");
  }
};
const form = new FormData();
form.append("file", new File(["x".repeat(100000)], "long.txt", { type: "text/plain" }));
form.append("note", "from a browser");
const post = fetch("/upload", { method: "POST", body: form }).then((answer) => answer.text());
const away = fetch("/away").then((answer) => answer.text().then((text) => `${answer.redirected} ${new URL(answer.url).pathname} ${text}`));
const report = fetch("/report").then((answer) => answer.blob().then((blob) => `${answer.headers.get("content-disposition")} ${blob.size}`));
const missing = fetch("/assets/missing.css").then((answer) => answer.text().then(() => answer.status));
Promise.all([post, away, report, missing]).then((all) => {
  document.getElementById("fetched").textContent = all.join("; ");
});
