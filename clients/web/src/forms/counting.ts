// What is asked to count a text, and how its answer is read. The job that counts is named by a hint; nothing is sent here.

import type { Hints, JobRequest, KnobSchema, Signature } from "../api/types";
import { isRecord } from "./schema";

export interface Count {
  tokens: number;
  limit?: number;
  /** The text that is too much and will be left out. */
  cut?: string;
  /** Sentences about the text, for people. */
  notes: string[];
}

/** Return the request that counts a text: knobs beside it that the counting job has too go with it. */
export function countRequest(
  { job, params }: NonNullable<Hints["counter"]>,
  counting: Signature,
  text: string,
  beside: Record<string, unknown>,
): JobRequest {
  const shared = Object.keys((counting.params as KnobSchema).properties ?? {}).filter(
    (name) => beside[name] !== undefined,
  );
  const [port] = counting.inputs;
  return {
    job,
    inputs: port ? { [port.name]: text } : {},
    params: { ...Object.fromEntries(shared.map((name) => [name, beside[name]])), ...params },
  };
}

/** Return what a counting job answered, or null if that is no count. */
export function countOf(answer: unknown): Count | null {
  if (!isRecord(answer) || typeof answer["tokens"] !== "number") return null;
  const { tokens, limit, cut, notes } = answer;
  return {
    tokens,
    ...(typeof limit === "number" ? { limit } : {}),
    ...(typeof cut === "string" && cut ? { cut } : {}),
    notes: Array.isArray(notes) ? notes.filter((note) => typeof note === "string") : [],
  };
}
