// What the server is asked.

async function answer(response) {
  const found = await response.json();
  if (!response.ok) throw new Error(found.hint ? `${found.error}: ${found.hint}` : found.error);
  return found;
}

export async function ask(path, words = {}) {
  const query = new URLSearchParams(words).toString();
  return answer(await fetch(`/api/${path}${query ? `?${query}` : ""}`));
}

export async function tell(path, words = {}) {
  return answer(await fetch(`/api/${path}?${new URLSearchParams(words)}`, { method: "POST", headers: { "x-burstline": "1" } }));
}

export function listen(snapshot, trouble) {
  const stream = new EventSource("/api/stream");
  stream.onmessage = (event) => snapshot(JSON.parse(event.data));
  stream.addEventListener("trouble", (event) => trouble(JSON.parse(event.data)));
  stream.onerror = () => trouble("the server does not answer; it is tried again");
}
