// What made a result, sorted by how much it says: its inputs, what was set, what was as always. It draws nothing.

import type { Job, KnobSchema } from "../api/types";
import { changed, hintsOf, isRecord } from "../forms/schema";

export type Fact = [name: string, value: string];

export interface Facts {
  inputs: Fact[];
  /** The seeds, and the knobs that had another value than their default. */
  own: Fact[];
  usual: Fact[];
}

/** Return the facts of a job; without the schema of its knobs, nobody knows which are as always. */
export function factsOf({ inputs, params }: Pick<Job, "inputs" | "params">, schema?: KnobSchema): Facts {
  const all = flat(params);
  const set = new Set(flat(schema ? changed(params, schema) : params).map(([name]) => name));
  const isSeed = ([name]: [string, unknown]) =>
    hintsOf(schema?.properties?.[name] ?? {}).component === "seed";
  const others = all.filter((fact) => !isSeed(fact));
  return {
    inputs: told(Object.entries(inputs).filter(([, value]) => typeof value === "string")),
    own: told([...all.filter(isSeed), ...others.filter(([name]) => set.has(name))]),
    usual: told(others.filter(([name]) => !set.has(name))),
  };
}

/** Return facts as texts, without those that say nothing. */
export const told = (facts: readonly (readonly [string, unknown])[]): Fact[] =>
  facts.flatMap(([name, value]): Fact[] => {
    const text = typeof value === "string" ? value : JSON.stringify(value ?? "");
    return ["", '""', "[]"].includes(text) ? [] : [[name, text]];
  });

/** Return nested knobs as `hires.scale`. */
function flat(values: Record<string, unknown>, prefix = ""): [string, unknown][] {
  return Object.entries(values).flatMap(([name, value]): [string, unknown][] =>
    isRecord(value) ? flat(value, `${prefix}${name}.`) : [[`${prefix}${name}`, value]],
  );
}
