// What is filled into the forms of jobs, kept in the browser. Other pages put results and knobs into it.

import type { Values } from "../forms/schema";

export interface Draft {
  inputs: Values;
  params: Values;
}

export const EMPTY_DRAFT: Draft = { inputs: {}, params: {} };
export const draftKey = (name: string): string => `draft:${name}`;

export function readDraft(name: string): Draft {
  try {
    return {
      ...EMPTY_DRAFT,
      ...(JSON.parse(localStorage.getItem(draftKey(name)) ?? "{}") as Partial<Draft>),
    };
  } catch {
    return EMPTY_DRAFT;
  }
}

export function writeDraft(name: string, draft: Draft): void {
  localStorage.setItem(draftKey(name), JSON.stringify(draft));
}
