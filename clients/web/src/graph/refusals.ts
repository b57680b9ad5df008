// Which node the server means when it refuses a graph. It asks nobody.

import type { ApiError } from "../api/http";
import type { GraphDocument } from "./document";

export interface Refusal {
  node: string;
  message: string;
  hint: string;
}

const ABOUT_JOB = /^Job (['"])(.+?)\1: (.+)$/s;

/** Return what is wrong with which node, or null if the error is about none of them: it begins `Job 'KEY': `. */
export function refusalOf(
  { message, hint }: Pick<ApiError, "message" | "hint">,
  { jobs }: GraphDocument,
): Refusal | null {
  const [, , node, about] = ABOUT_JOB.exec(message) ?? [];
  if (!node || !about || !(node in jobs)) return null;
  return { node, message: about, hint };
}
