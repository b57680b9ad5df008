// Which knobs of a job are shown where there is little room, one in each row. It draws nothing.

import type { KnobSchema } from "../api/types";
import { type Path, type Values, hintsOf, isRecord, isShown, titleOf } from "./schema";

export interface Row {
  path: Path;
  label: string;
  knob: KnobSchema;
  /** Whether it has another value than its default. */
  isChanged: boolean;
}

export const placeOf = (path: Path): string => path.join(".");

/** Return the plain knobs, and those that were changed, wherever they are; `params` holds what was changed. */
export function rowsOf(schema: KnobSchema, params: Values, above: Path = [], labels = ""): Row[] {
  return Object.entries(schema.properties ?? {}).flatMap(([name, knob]): Row[] => {
    const value = params[name];
    const path = [...above, name];
    const label = labels + titleOf(name, knob.properties ? {} : knob);
    if (knob.properties) return rowsOf(knob, isRecord(value) ? value : {}, path, `${label} · `);
    const isChanged = value !== undefined;
    const isPlain = !above.length && !hintsOf(knob).advanced && isShown(knob, params, schema);
    return isPlain || isChanged ? [{ path, label, knob, isChanged }] : [];
  });
}
