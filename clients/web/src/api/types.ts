// The shapes of the HTTP API under short names, from the generated schema, and those of JSON Schema that forms need.

import type { components } from "./schema";

type Schemas = components["schemas"];

export type Job = Schemas["Job"];
export type JobState = Job["state"];
export type Signature = Omit<Schemas["Signature"], "inputs" | "outputs"> & {
  inputs: Port[];
  outputs: Port[];
};
export type Port = Omit<Schemas["Port"], "x-ui"> & { "x-ui"?: Hints };
export type Artifact = Schemas["Artifact"];
export type ServerEvent = Schemas["Event"];
export type Plugin = Schemas["Plugin"];
export type Worker = Schemas["Worker"];
export type Host = Schemas["Host"];
/** What to run; everything but the name has a default. */
export type JobRequest = Pick<Schemas["JobRequest"], "job"> & {
  inputs?: Record<string, unknown>;
  params?: Record<string, unknown>;
  priority?: number;
  cache?: boolean;
};
export type PortType = Artifact["type"];

/** How a form shows a knob, beside its JSON Schema. */
export interface Hints {
  component?: "slider" | "textarea" | "seed" | "mask" | "color" | "model" | "password";
  kind?: string;
  group?: string;
  advanced?: boolean;
  unit?: string;
  /** How far a slider moves at once; other values are right too. */
  step?: number;
  depends?: Record<string, unknown>;
  /** The job that tells how long a text is while it is typed, and what it is to be told beside the text. */
  counter?: { job: string; params: Record<string, unknown> };
}

export interface KnobSchema {
  type?: string | string[];
  title?: string;
  description?: string;
  default?: unknown;
  enum?: unknown[];
  const?: unknown;
  examples?: unknown[];
  minimum?: number;
  maximum?: number;
  exclusiveMinimum?: number;
  exclusiveMaximum?: number;
  multipleOf?: number;
  anyOf?: KnobSchema[];
  allOf?: KnobSchema[];
  properties?: Record<string, KnobSchema>;
  items?: KnobSchema;
  $ref?: string;
  $defs?: Record<string, KnobSchema>;
  "x-ui"?: Hints;
}

export const ENDINGS: readonly JobState[] = ["succeeded", "failed", "cancelled"];
export const UNFINISHED_STATES: readonly JobState[] = ["running", "queued", "waiting"];
export const isFinal = (job: Job): boolean => ENDINGS.includes(job.state);
