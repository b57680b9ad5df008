// Requests to the server: JSON in and out, errors as one class. It knows no routes.

export class ApiError extends Error {
  constructor(
    readonly status: number,
    readonly code: string,
    message: string,
    readonly hint: string,
  ) {
    super(message);
  }
}

/** Ask the server and return its answer; `body` is sent as JSON unless it is a file. */
export async function request<Answer>(method: string, path: string, body?: unknown): Promise<Answer> {
  return (await (await send(method, path, body)).json()) as Answer;
}

/** Ask the server for a plain text. */
export const requestText = async (path: string): Promise<string> => (await send("GET", path)).text();

async function send(method: string, path: string, body?: unknown): Promise<Response> {
  const init: RequestInit = { method };
  if (body instanceof Blob) init.body = body;
  else if (body !== undefined) {
    init.body = JSON.stringify(body);
    init.headers = { "Content-Type": "application/json" };
  }
  let answer: Response;
  try {
    answer = await fetch(path, init);
  } catch {
    throw new ApiError(
      0,
      "unreachable",
      "The server does not answer.",
      "Is it running? This page tries again.",
    );
  }
  if (answer.ok) return answer;
  throw await errorOf(answer);
}

async function errorOf(answer: Response): Promise<ApiError> {
  const text = await answer.text();
  try {
    const { error } = JSON.parse(text) as { error: { code: string; message: string; hint: string } };
    return new ApiError(answer.status, error.code, error.message, error.hint);
  } catch {
    return new ApiError(answer.status, "http", `The server answered ${answer.status}.`, text.slice(0, 200));
  }
}
