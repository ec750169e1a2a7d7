// The service's API: who answers, and answers piece by piece.

/** What went wrong: the service's error object, or that there was no answer. */
export class Problem extends Error {
  constructor(message, { status = 0, code = "", seconds = 0 } = {}) {
    super(message);
    Object.assign(this, { status, code, seconds });
  }
}

export async function listModels(key) {
  return (await (await ask("/v1/models", key)).json()).data;
}

export async function readText(path, key) {
  return (await ask(path, key)).text();
}

/** The pieces of an answer, as objects. Raises Problem where it ends before it is complete. */
export async function* answer(model, messages, key, signal) {
  const body = JSON.stringify({ model, messages, stream: true });
  const response = await ask("/v1/chat/completions", key, { method: "POST", body, signal });
  for await (const data of events(response.body.getReader(), signal)) {
    if (data === "[DONE]") {
      return;
    }
    const piece = JSON.parse(data);
    if (piece.error) {
      throw problem(response, piece.error);
    }
    yield piece;
  }
  throw new Problem("The connection ended before the answer did.", { code: "cut_off" });
}

async function ask(path, key, options = {}) {
  const headers = { ...(options.body && { "Content-Type": "application/json" }), ...(key && { Authorization: `Bearer ${key}` }) };
  let response;
  try {
    response = await fetch(path, { ...options, headers, credentials: "omit", redirect: "error", cache: "no-store" });
  } catch (error) {
    throw options.signal?.aborted ? error : new Problem("The service cannot be reached.", { code: "unreachable" });
  }
  if (!response.ok) {
    const body = await response.json().catch(() => ({}));
    throw problem(response, body.error);
  }
  return response;
}

function problem(response, error) {
  const status = response.ok ? 0 : response.status;
  const seconds = Number(response.headers.get("retry-after")) || 0;
  return new Problem(error?.message || `The service answered with status ${response.status}.`, { status, code: error?.code ?? "", seconds });
}

/** The data of server-sent events. */
async function* events(reader, signal) {
  const decoder = new TextDecoder();
  let rest = "";
  while (true) {
    let chunk;
    try {
      chunk = await reader.read();
    } catch (error) {
      throw signal.aborted ? error : new Problem("The connection was lost before the answer ended.", { code: "cut_off" });
    }
    rest += decoder.decode(chunk.value ?? new Uint8Array(), { stream: !chunk.done });
    const parts = rest.split(/\r?\n\r?\n/);
    rest = parts.pop();
    for (const part of parts) {
      const data = part.split(/\r?\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trimStart());
      if (data.length) {
        yield data.join("\n");
      }
    }
    if (chunk.done) {
      return;
    }
  }
}
