// Undo and redo for the canvas: former states, one for each thing that a person did. It holds nothing itself.

const KEPT = 100;

export interface History<State> {
  past: readonly State[];
  future: readonly State[];
  /** What the last change was, if more of the same belongs to it: letters typed into one knob. */
  tag?: string;
}

export const NO_HISTORY: History<never> = { past: [], future: [] };

/** Return a history that knows the state before a change; one with the tag of the change before it belongs to that one. */
export function remembered<State>(
  history: History<State>,
  before: () => State,
  tag?: string,
): History<State> {
  if (tag !== undefined && tag === history.tag) return history;
  return { past: [...history.past.slice(1 - KEPT), before()], future: [], tag };
}

interface Step<State> {
  state: State;
  history: History<State>;
}

/** Return the state before the last change, or null if there is none. */
export function undone<State>({ past, future }: History<State>, now: State): Step<State> | null {
  const state = past.at(-1);
  return state === undefined
    ? null
    : { state, history: { past: past.slice(0, -1), future: [...future, now] } };
}

/** Return the state that was undone last, or null if there is none. */
export function redone<State>({ past, future }: History<State>, now: State): Step<State> | null {
  const state = future.at(-1);
  return state === undefined
    ? null
    : { state, history: { past: [...past, now], future: future.slice(0, -1) } };
}
