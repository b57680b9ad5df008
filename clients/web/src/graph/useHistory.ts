// Undo and redo for the canvas: a list of former states, one for each thing that a person did.

import { useCallback, useRef, useState } from "react";

const KEPT = 100;

export function useHistory<State>(restore: (state: State) => void) {
  const past = useRef<State[]>([]);
  const future = useRef<State[]>([]);
  const [, redraw] = useState(0);

  /** Remember the state before a change. */
  const remember = useCallback((state: State) => {
    past.current = [...past.current.slice(1 - KEPT), state];
    future.current = [];
    redraw((count) => count + 1);
  }, []);

  const step = (from: typeof past, to: typeof past, now: State) => {
    const state = from.current.pop();
    if (state === undefined) return;
    to.current.push(now);
    restore(state);
    redraw((count) => count + 1);
  };

  return {
    remember,
    undo: (now: State) => step(past, future, now),
    redo: (now: State) => step(future, past, now),
    canUndo: past.current.length > 0,
    canRedo: future.current.length > 0,
  };
}
