// Reads the JSON Schema of a job's knobs: references, optional values, groups. It draws nothing.

import type { Hints, KnobSchema } from "../api/types";

export const hintsOf = (schema: KnobSchema): Hints => schema["x-ui"] ?? {};

/** Return a schema without references, and with `anyOf: [type, null]` as `type: [type, "null"]`, which forms draw as one field. */
export function inlined(schema: KnobSchema, root: KnobSchema = schema): KnobSchema {
  const { $ref, anyOf, allOf, ...own } = schema;
  let result: KnobSchema = { ...own };
  delete result.$defs;
  if ($ref) result = { ...resolve($ref, root), ...result };
  if (allOf?.length === 1 && allOf[0]) result = { ...inlined(allOf[0], root), ...result };
  if (anyOf) {
    const real = anyOf.filter((one) => one.type !== "null");
    if (real.length === 1 && real[0]) {
      const only = inlined(real[0], root);
      const type = only.type === undefined || Array.isArray(only.type) ? only.type : [only.type, "null"];
      result = { ...only, ...result, ...(only.properties ? {} : { type }) };
    } else result = { ...result, anyOf: anyOf.map((one) => inlined(one, root)) };
  }
  if (result.properties) {
    const properties = Object.entries(result.properties);
    result.properties = Object.fromEntries(properties.map(([name, knob]) => [name, inlined(knob, root)]));
  }
  if (result.items) result.items = inlined(result.items, root);
  return result;
}

function resolve(reference: string, root: KnobSchema): KnobSchema {
  const found = root.$defs?.[reference.split("/").pop() ?? ""];
  return found ? inlined(found, root) : {};
}

/** Return what a knob is called: the title its author gave it, else its name as words ("Cfg Scale" is nobody's title). */
export function titleOf(name: string | number, { title }: KnobSchema): string {
  const words = String(name).replaceAll("_", " ");
  const isOwn = title && title !== words.replace(/\b\w/g, (letter) => letter.toUpperCase());
  return isOwn ? title : words.charAt(0).toUpperCase() + words.slice(1);
}

/** Tell whether a knob is shown, given the values beside it. */
export function isShown(schema: KnobSchema, values: Record<string, unknown>, siblings: KnobSchema): boolean {
  const depends = hintsOf(schema).depends ?? {};
  return Object.entries(depends).every(
    ([name, wanted]) => (values[name] ?? siblings.properties?.[name]?.default) === wanted,
  );
}

export interface KnobGroup {
  title: string;
  names: string[];
}

/** Return the plain knobs by their group, in the order of the schema, and the advanced ones. Nested groups stand alone. */
export function arrange(schema: KnobSchema): { groups: KnobGroup[]; advanced: string[]; nested: string[] } {
  const groups: KnobGroup[] = [];
  const advanced: string[] = [];
  const nested: string[] = [];
  for (const [name, knob] of Object.entries(schema.properties ?? {})) {
    const { group = "", advanced: isAdvanced } = hintsOf(knob);
    if (knob.properties) nested.push(name);
    else if (isAdvanced) advanced.push(name);
    else {
      const known = groups.find(({ title }) => title === group);
      if (known) known.names.push(name);
      else groups.push({ title: group, names: [name] });
    }
  }
  return { groups, advanced, nested };
}

/** Tell whether a knob wants a whole row: texts do, everything else half of it. */
export const isWide = (schema: KnobSchema): boolean => hintsOf(schema).component === "textarea";

/** Return which of the knobs take a whole row: the wide ones, and those that would have nothing beside them. */
export function wholeRows(wide: readonly boolean[]): boolean[] {
  const whole = [...wide];
  let isHalfFull = false;
  wide.forEach((one, at) => {
    if (one) isHalfFull = false;
    else if (!isHalfFull && (wide[at + 1] ?? true)) whole[at] = true;
    else isHalfFull = !isHalfFull;
  });
  return whole;
}

/** Return the values that differ from the defaults: what is sent and what a link holds. */
export function changed(values: Record<string, unknown>, schema: KnobSchema): Record<string, unknown> {
  const kept: Record<string, unknown> = {};
  for (const [name, value] of Object.entries(values)) {
    const knob = schema.properties?.[name];
    if (knob?.properties && isRecord(value)) {
      const inner = changed(value, knob);
      if (Object.keys(inner).length) kept[name] = inner;
    } else if (value !== undefined && JSON.stringify(value) !== JSON.stringify(knob?.default))
      kept[name] = value;
  }
  return kept;
}

/** Return JSON that is the same for equal values, whatever the order of their names. */
export function canonical(value: unknown): string {
  return JSON.stringify(value, (_, inner: unknown) =>
    isRecord(inner) ? Object.fromEntries(Object.entries(inner).sort(([a], [b]) => (a < b ? -1 : 1))) : inner,
  );
}

export const isRecord = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

export interface Sweep {
  each: unknown[];
}

export const isSweep = (value: unknown): value is Sweep => isRecord(value) && Array.isArray(value["each"]);

export type Values = Record<string, unknown>;
/** Where a knob is: its name, after those of the groups it lies in. */
export type Path = (string | number)[];

export function valueAt(values: Values, path: Path): unknown {
  return path.reduce<unknown>((inner, name) => (isRecord(inner) ? inner[name] : undefined), values);
}

export function setAt(values: Values, [name, ...rest]: Path, value: unknown): Values {
  if (name === undefined) return values;
  const inner = values[name];
  return { ...values, [name]: rest.length ? setAt(isRecord(inner) ? inner : {}, rest, value) : value };
}
